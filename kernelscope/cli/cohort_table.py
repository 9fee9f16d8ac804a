"""What a cohort of students came to, on a terminal."""

from __future__ import annotations

from statistics import mean, stdev
from typing import TYPE_CHECKING

from kernelscope.distill.comparison import LEAST_SEEDS, Difference, Group, compared

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYERS = ("embedding", "logits")
#: of a trajectory's last point: the field and the column's title
COLUMNS = {
    "transfer_loss": "raw",
    "scaled": "best scalar",
    "head_held_out": "linear head",
    "neighbours": "neighbours",
}
PROSE = (
    "top-1 on test examples after the last epoch, in brackets at the best epoch on validation. The rest on validation "
    "examples after the last epoch: the loss ‖K_S−K_T‖_F/‖K_T‖_F raw, after the best scalar, after a linear head that "
    "was fitted on other examples (–: too few for one), and the share of 10 nearest neighbours kept."
)


def text(groups: Sequence[Group]) -> str:
    """Three rows a method, means over seeds; then each method against the first."""
    seeds = len(groups[0].students)
    lines = [f"{'':<11}" + "".join(f"  {title:>13}" for title in COLUMNS.values())]
    for group in groups:
        if not group.trained:
            lines.append(f"{_short(group.method)}: failed")
            continue
        top1 = spread([100 * x for x in group.top1()], 1)
        failed = f", {seeds - len(group.trained)} of {seeds} seeds failed" if len(group.trained) < seeds else ""
        lines.append(f"{_short(group.method)}: top-1 {top1} ({100 * mean(group.best()):.1f}){failed}")
        for layer in LAYERS:
            cells = [spread(group.at(layer, field), 3) for field in COLUMNS]
            lines.append(f"  {layer:<9}" + "".join(f"  {cell:>13}" for cell in cells))
    lines += ["", PROSE + (f" Means ± standard deviations over {seeds} seeds." if seeds > 1 else "")]
    for group in groups[1:]:
        words = [_in_words(name, difference) for name, difference in compared(group, groups[0]).items()]
        if words:
            lines.append(f"{_short(group.method)} − {_short(groups[0].method)}: {'; '.join(words)}")
    if len(groups) > 1 and seeds < LEAST_SEEDS:
        few = "one seed is" if seeds == 1 else f"{seeds} seeds are"
        lines.append(
            f"These differences have no interval: {few} too few to know how far others would differ; give at least "
            f"{LEAST_SEEDS} with --seeds."
        )
    return "\n".join(lines)


def spread(values: Sequence[float] | None, digits: int) -> str:
    """Mean and, of several values, standard deviation; – of none."""
    if not values:
        return "–"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _in_words(name: str, found: Difference) -> str:
    scale, digits, unit = (100, 1, " points") if name == "top1" else (1, 3, "")
    half = "" if found.half_width is None else f" ± {scale * found.half_width:.{digits}f}"
    over = "" if found.half_width is None else f" ({100 * found.level:.0f} % over {found.n} {found.over})"
    return f"{name.replace('top1', 'top-1')} {scale * found.value:+.{digits}f}{half}{unit}{over}"


def _short(method: str) -> str:
    return method if len(method) <= 50 else method[:49] + "…"
