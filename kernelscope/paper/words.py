"""How a study's findings are worded: the same on the page and in the text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelscope.paper import published
from kernelscope.paper.claims import OURS
from kernelscope.paper.systems import SYSTEMS
from kernelscope.report.digits import NONE, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.paper.cells import Spread
    from kernelscope.paper.claims import Claim
    from kernelscope.paper.findings import Judged
    from kernelscope.paper.plan import Plan
    from kernelscope.paper.prediction import Correlation, Group
    from kernelscope.paper.verdicts import Outcome, Verdict

HEADINGS = {
    "fig2": "Figure 2: which landmarks",
    "fig3a": "Figure 3a: transfer loss before the last layer",
    "fig3b": "Figure 3b: transfer loss after it",
    "fig4": "Figure 4: the estimate beside the loss",
    "fig5": "Figure 5: smallest eigenvalues",
    "fig6": "Figure 6: with W or without",
    "fig7": "Figure 7: centres per class",
    "table1": "Table 1: which layer",
    "table2": "Table 2: accuracy",
    "table3": "Table 3: accuracy, other data",
    "digits": "Beside them: digits",
    OURS: "Ours beside the paper's",
}
OUTCOMES: dict[Outcome, str] = {
    "confirmed": "confirmed",
    "contradicted": "contradicted",
    "direction only": "direction only",
    "not testable": "not testable at this size",
    "not run": "not run",
}


def short(figure: str) -> str:
    """``Figure 3a``."""
    return HEADINGS[figure].partition(":")[0] if figure not in (OURS, "digits") else figure


def system(key: str) -> str:
    """A system's name, marked if it is ours."""
    known = SYSTEMS[key]
    return f"{known.title} (ours)" if known.ours else known.title


def student(plan: Plan, scene: str, role: str) -> str:
    """``resnet8, for ResNet-18``."""
    arch = plan.scene(scene).students[role]
    stands_for = published.STUDENTS.get(role)
    return f"{arch}, for {stands_for}" if stands_for and plan.size != "paper" else arch


def role(plan: Plan, scene: str, key: str) -> str:
    """The architecture alone."""
    return plan.scene(scene).students[key]


def scene(plan: Plan, key: str) -> str:
    """``shapes, 48 classes, for CIFAR-100``."""
    found = plan.scene(key)
    return f"{found.title}, for {found.stands_for}" if found.stands_for not in (None, found.title) else found.title


def outcome(verdict: Verdict) -> str:
    """``direction only, 2 of 3 seeds``; of what is not testable also where its interval lies."""
    said = OUTCOMES[verdict.outcome]
    if verdict.outcome == "not run":
        return said
    if verdict.outcome == "not testable" and verdict.side is not None:
        said += ", though all of the interval is on " + ("its side" if verdict.side else "the other side")
    return f"{said}, {verdict.agreeing} of {verdict.seeds} seeds"


def mark(verdict: Verdict) -> str:
    """``direction only 2/3``, for a table; ``not testable (+)`` where the interval lies on the claim's side."""
    if verdict.outcome == "not run":
        return OUTCOMES["not run"]
    side = ""
    if verdict.outcome == "not testable" and verdict.side is not None:
        side = " (+)" if verdict.side else " (−)"
    return f"{verdict.outcome}{side} {verdict.agreeing}/{verdict.seeds}"


def measured(verdict: Verdict, *, unit: bool = True) -> str:
    """What came out, with its 95 % interval: ``+3.7 ± 1.2 points``, ``82 % (74 to 91 %)``."""
    value, half, claim = verdict.value, verdict.half_width, verdict.claim
    if value is None:
        return NONE
    if claim.relation == "ratio":
        low_high = "" if half is None else f" ({_share(value - half)} to {_share(value + half)})"
        return f"{_share(value)}{low_high}"
    if claim.quantity == "top1":
        return _signed(100 * value, None if half is None else 100 * half, 1) + (" points" if unit else "")
    if claim.relation == "level":
        return number(value) + ("" if not half else f" ± {number(half)}")
    return _signed(value, half, 3)


def own(claim: Claim, *, unit: bool = True) -> str:
    """The paper's own difference: ``+2.4 points``, ``23 %``, ``> 10``."""
    if claim.size is None:
        return NONE
    points = " points" if unit else ""
    match claim.relation:
        case "ratio" | "lower":
            return f"{claim.size:.0%}"
        case "level":
            return f"> {claim.size:g}"
        case "similar" | "no higher":
            return f"within {100 * claim.size:.1f}{points}"
        case _:
            return f"{100 * claim.size:+.1f}{points}"


def sentence(judged: Judged) -> str:
    """A claim, its verdict and what it rests on."""
    said = f"{capital(judged.verdict.claim.text)}: {verdict(judged.verdict)}"
    return "; ".join([said, *(f"{RUNGS[rung]} {verdict(found)}" for rung, found in judged.after.items())])


def verdict(found: Verdict) -> str:
    """``confirmed, 3 of 3 seeds (+3.7 ± 1.2 points; Table 2: +2.4 points)``."""
    if found.outcome == "not run":
        return outcome(found)
    paper = f"; {found.claim.source}: {own(found.claim)}" if found.claim.size is not None else ""
    return f"{outcome(found)} ({measured(found)}{paper})"


RUNGS = {"scaled": "after the best scalar", "head_held_out": "after a linear head"}


def summary(counts: Mapping[Outcome, int]) -> str:
    """``5 claims: 2 confirmed, 3 contradicted``."""
    total = sum(counts.values())
    listed = [f"{count} {OUTCOMES[said]}" for said, count in counts.items()]
    return f"{total or 'no'} claim{'' if total == 1 else 's'}{': ' if total else ''}{', '.join(listed)}"


def spread(found: Spread | None, scale: float = 1.0, decimals: int = 3) -> str:
    """``80.2 ± 3.7``."""
    if found is None:
        return NONE
    sd = "" if found.sd is None else f" ± {scale * found.sd:.{decimals}f}"
    return f"{scale * found.mean:.{decimals}f}{sd}"


def correlation(found: Correlation | None) -> str:
    """``+0.96 [+0.93, +0.98]``; where the interval contains it, ``0`` first."""
    if found is None or found.value is None:
        return NONE
    if found.low is None or found.high is None:
        return coefficient(found.value)
    inside = f"{coefficient(found.value)} [{coefficient(found.low)}, {coefficient(found.high)}]"
    return f"0 ({inside})" if found.zero else inside


def coefficient(value: float) -> str:
    """``+0.96``."""
    return f"{value:+.2f}".replace("-", "−")


def within(group: Group) -> str:
    """Which students a group is of."""
    return {"all": "all", "fixed": "at fixed training loss", "best": "the better half"}.get(group.within, group.within)


def capital(text: str) -> str:
    """The first letter large."""
    return text[:1].upper() + text[1:]


def _signed(value: float, half: float | None, decimals: int) -> str:
    text = f"{value:+.{decimals}f}".replace("-", "−")
    return text if half is None else f"{text} ± {half:.{decimals}f}"


def _share(log: float) -> str:
    return f"{math.exp(min(log, 50.0)):.0%}"
