"""The paper's own numbers, as far as it prints them.

Qian, Li and Hu, *Efficient Kernel Transfer in Knowledge Distillation*. Accuracies are in per cent. Figures 2, 4, 6 and
7 are curves whose values the paper does not print: of them only what its text says is here. Cells that our copy lacks
(all of Table 1, ShuffleNetV2 without a teacher) are None.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """Mean and standard deviation of three runs, in per cent; None where the paper, or our copy of it, has none."""

    mean: float | None
    sd: float | None = None

    def __str__(self) -> str:
        if self.mean is None:
            return "–"
        return f"{self.mean:.1f}" if self.sd is None else f"{self.mean:.1f} ± {self.sd:.1f}"


#: columns of Tables 2 and 3 by our systems' keys; the last one is the teacher itself
COLUMNS = ("ce", "at", "rkd", "kda", "kd", "kda_logits", "combo", "teacher")
#: ResNet-18, ResNet-18-0.5 and ShuffleNetV2, whose roles S1, S2 and S3 our students take
STUDENTS = {"S1": "ResNet-18", "S2": "ResNet-18-0.5", "S3": "ShuffleNetV2"}


def _row(text: str) -> tuple[Accuracy, ...]:
    """Cells as the paper prints them."""
    return tuple(Accuracy(*map(float, cell.split("±"))) if cell != "–" else Accuracy(None) for cell in text.split())


TABLE2 = {
    "S1": _row("77.2 78.1±0.3 78.3±0.2 79.6±0.1 78.8±0.2 79.4±0.1 79.7±0.1 80.3"),
    "S2": _row("73.5 75.0±0.1 74.3±0.3 75.6±0.3 74.8±0.2 75.3±0.2 75.9±0.2 80.3"),
    "S3": _row("– 73.0±0.1 72.5±0.1 74.0±0.3 72.9±0.1 73.6±0.1 74.2±0.3 80.3"),
}
TABLE3 = {
    "S1": _row("63.4 64.4±0.1 63.9±0.2 65.2±0.3 64.9±0.2 65.4 65.5±0.1 66.6"),
    "S2": _row("60.3 61.0±0.1 60.6±0.2 61.7±0.3 61.3±0.1 61.9±0.2 62.2±0.2 66.6"),
    "S3": _row("60.6 61.3±0.1 61.2±0.2 62.0±0.2 61.5±0.1 62.3±0.2 62.4±0.1 66.6"),
}
MISSING = Accuracy(None)
#: Table 1 (ResNet-18, CIFAR-100): its cells are missing in our copy. The last two columns are Table 2's KDA before and
#: after the last FC layer, since "after pooling, the last layer of conv5_x becomes the layer before the last FC layer"
TABLE1 = {
    "ce": TABLE2["S1"][0],
    "kda_conv3": MISSING,
    "kda_conv4": MISSING,
    "kda": TABLE2["S1"][3],
    "kda_logits": TABLE2["S1"][5],
}

#: Figure 3a: "the loss from KDA is only about 23% of that in RKD"
KDA_OVER_RKD = 0.23
#: Figure 3b: "KDA can further reduce the transfer loss from 0.23 in KD to 0.2"
LOSS_AFTER_FC = {"kd": 0.23, "kda_logits": 0.2}
#: Figure 5: "the smallest eigenvalue is larger than 10"; what Corollaries 1 and 2 assume is 1
SMALLEST_EIGENVALUE, ASSUMED_EIGENVALUE = 10.0, 1.0

#: what the paper says of each figure and table, in its own words
WORDS = {
    "fig2": "two variants of KDA are significantly better than the baseline; class centers show the best performance",
    "fig3a": "both RKD and KDA are better than the baseline; the loss from KDA is only about 23% of that in RKD",
    "fig3b": "KD and KDA have much less transfer loss than the baseline; KDA reduces it from 0.23 in KD to 0.2",
    "fig4": "the difference between partial kernel matrices is closely correlated with that between whole ones",
    "fig5": "the smallest eigenvalue is larger than 10, consistent with our assumption",
    "fig6": "our method without W has a similar performance as the one with the root of W_T",
    "fig7": "more centers for each class cannot improve the performance significantly",
    "table1": "information from the teacher always helps; that from the later layers is more helpful",
    "table2": "all methods outperform training without a teacher; KDA surpasses RKD by 1.3%; Combo is slightly better",
    "table3": "KDA outperforms them no matter in which layer the transfer happens; two layers further improve",
}


def table(figure: str, role: str) -> dict[str, Accuracy]:
    """The row of a table for a student, by system; empty where the paper has none.

    Figures 2, 6 and 7 train what Table 2's first row does, so its cells stand beside them.
    """
    if figure == "table1":
        return TABLE1 if role == "S1" else {}
    rows = TABLE3 if figure == "table3" else TABLE2
    return dict(zip(COLUMNS, rows.get(role, ())))


def gain(figure: str, role: str, first: str, second: str) -> float | None:
    """How much more accurate the paper has the first than the second, as a share; None where it prints no number."""
    row = table(figure, role)
    a, b = row.get(first, MISSING).mean, row.get(second, MISSING).mean
    return None if a is None or b is None else (a - b) / 100
