"""A verdict on each claim, from paired differences of the students of the same seeds.

It is the first that applies: *not testable* where the interval's half-width exceeds the paper's own difference,
*confirmed* and *contradicted* where the 95 % interval lies on one side, else *direction only*. Of no difference at all
a claim with a sign is confirmed by chance in 2.5 % of studies.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from kernelscope.distill.comparison import Difference, of_accuracies, of_predictions, paired
from kernelscope.paper.cells import LOSSES, Cells, value
from kernelscope.paper.plan import Cell

if TYPE_CHECKING:
    from kernelscope.paper.claims import Claim
    from kernelscope.paper.rows import Row

Outcome = Literal["confirmed", "contradicted", "direction only", "not testable", "not run"]
OUTCOMES: tuple[Outcome, ...] = ("confirmed", "contradicted", "direction only", "not testable", "not run")

PLAIN = (0.6, 0.8)  #: accuracy of the plain student between which methods can tell themselves apart
TEACHER_ABOVE = 0.08
LEAST_IMAGES = 2000
ABOUT = 1.1  #: how far "about 23 %" reaches up
LONGEST_WARM_UP = 0.05  #: of all epochs; a single epoch is always allowed


@dataclass(frozen=True)
class Verdict:
    """A claim judged.

    Attributes:
        value: mean of first − second over the seeds, of ``ratio`` the mean log ratio, of ``level`` the mean itself;
            ``half_width`` of its 95 % interval, None below 3 seeds.
        own: the paper's own difference in the same units.
        agreeing: how many of ``seeds`` are on the paper's side.
        side: whether the interval lies on the claim's side (True), on the other (False), or on both (None).
        unmet: preconditions that do not hold.
    """

    claim: Claim
    outcome: Outcome
    value: float | None = None
    half_width: float | None = None
    own: float | None = None
    agreeing: int = 0
    seeds: int = 0
    side: bool | None = None
    unmet: tuple[str, ...] = ()


def judge(claim: Claim, cells: Cells) -> Verdict:
    """The verdict on one claim."""
    first, second = (Cell(claim.scene, claim.role, system) for system in (claim.first, claim.second))
    pairs = cells.paired(first, second)
    values = [(value(a, claim.quantity, claim.layer), value(b, claim.quantity, claim.layer)) for a, b in pairs]
    kept = [i for i, (a, b) in enumerate(values) if a is not None and b is not None]
    if not kept:
        return Verdict(claim, "not run")
    pairs = [pairs[i] for i in kept]
    a, b = np.array([values[i] for i in kept], float).T
    difference, signed, own = _difference(claim, pairs, a, b)
    side = _side(claim, difference)
    return Verdict(
        claim,
        _outcome(difference, own, side),
        difference.value,
        difference.half_width,
        own,
        _agreeing(claim, signed),
        len(kept),
        side,
        unmet(cells, claim.scene, claim.role, [row for pair in pairs for row in pair]),
    )


def after(verdict: Verdict, cells: Cells) -> dict[str, Verdict]:
    """The same claim of a loss after the best scalar and after a linear head; empty for other quantities."""
    if verdict.claim.quantity != "raw":
        return {}
    return {rung: judge(replace(verdict.claim, quantity=rung), cells) for rung in LOSSES if rung != "raw"}


def _difference(
    claim: Claim, pairs: list[tuple[Row, Row]], a: np.ndarray, b: np.ndarray
) -> tuple[Difference, np.ndarray, float | None]:
    """The mean difference with its interval, the seeds' differences, and the paper's own in the same units."""
    size = claim.size
    if claim.relation == "level":
        return paired(a, np.zeros(len(a)), "seeds"), a, None
    if claim.relation == "ratio":
        logs = np.log(a) - np.log(b)
        return paired(logs, np.zeros(len(a)), "seeds"), logs, abs(math.log(size)) if size else None
    if claim.quantity == "top1":
        return _of_accuracy(pairs, a, b), a - b, size
    own = None if size is None else abs(1 - size) * float(b.mean()) if claim.relation == "lower" else size
    return paired(a, b, "seeds"), a - b, own


def _of_accuracy(pairs: list[tuple[Row, Row]], a: np.ndarray, b: np.ndarray) -> Difference:
    """Over seeds and test images; the images' variance from an upper limit where predictions were not kept.

    Never narrower than over the seeds alone: with three, degrees of freedom after Satterthwaite confirm 4 % by chance.
    """
    first, second = ([right for pair in pairs if (right := pair[i].right()) is not None] for i in (0, 1))
    if len(first) == len(second) == len(pairs):
        found = of_predictions(np.stack(first), np.stack(second))
    else:
        found = of_accuracies(a, b, pairs[0][0].test_images)
    alone = paired(a, b, "seeds").half_width
    return found if alone is None else replace(found, half_width=max(alone, found.half_width or 0.0))


def _agreeing(claim: Claim, signed: np.ndarray) -> int:
    """How many seeds are on the paper's side."""
    size = claim.size or 0.0
    match claim.relation:
        case "higher":
            agrees = signed > 0
        case "lower":
            agrees = signed < 0
        case "ratio":
            agrees = signed <= math.log(size * ABOUT)
        case "similar":
            agrees = np.abs(signed) < size
        case "no higher":
            agrees = signed < size
        case "level":
            agrees = signed > size
    return int(np.count_nonzero(agrees))


def _outcome(difference: Difference, own: float | None, side: bool | None) -> Outcome:
    half = difference.half_width
    if half is None or (own is not None and half > own):
        return "not testable"
    return "direction only" if side is None else "confirmed" if side else "contradicted"


def _side(claim: Claim, difference: Difference) -> bool | None:
    """On which side the whole interval lies."""
    if difference.half_width is None:
        return None
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    confirmed, contradicted = _sides(claim, low, high)
    return True if confirmed else False if contradicted else None


def _sides(claim: Claim, low: float, high: float) -> tuple[bool, bool]:
    """Whether the interval lies on the paper's side, and whether on the other."""
    size = claim.size or 0.0
    match claim.relation:
        case "higher":
            return low > 0, high < 0
        case "lower":
            return high < 0, low > 0
        case "ratio":  # nearer to the paper's than to 1 on a log scale, and about as low; or not as low
            said = math.log(size * ABOUT)
            return low <= said and high < math.log(size) / 2, low > said
        case "similar":
            return -size < low and high < size, high < -size or low > size
        case "no higher":
            return high < size, low > size
        case "level":
            return low > size, high < size


def unmet(cells: Cells, scene: str, role: str, students: list[Row]) -> tuple[str, ...]:
    """Preconditions of a comparison that do not hold: accuracies that can differ, enough images, a short warm-up."""
    found = []
    plain = cells.spread(Cell(scene, role, "ce"), "top1")
    teacher = next((row.teacher_top1 for row in students if row.teacher_top1 is not None), None)
    if plain is not None and not PLAIN[0] <= plain.mean <= PLAIN[1]:
        found.append(f"plain student at {100 * plain.mean:.1f} %, not between {PLAIN[0]:.0%} and {PLAIN[1]:.0%}")
    if plain is not None and teacher is not None and teacher - plain.mean < TEACHER_ABOVE:
        found.append(
            f"teacher {100 * (teacher - plain.mean):.1f} points above the plain student, not {TEACHER_ABOVE:.0%}"
        )
    images = min((row.test_images for row in students), default=0)
    if images < LEAST_IMAGES:
        found.append(f"{images:,} test images, not {LEAST_IMAGES:,}")
    longest = max((warm_up(row) / row.epochs for row in students if warm_up(row) > 1), default=0.0)
    if longest > LONGEST_WARM_UP:
        found.append(f"warm-up over {longest:.0%} of the epochs, not {LONGEST_WARM_UP:.0%}")
    return tuple(found)


def warm_up(row: Row) -> int:
    """Epochs before a loss that needs landmarks of the epoch before sets in, where the method does not say: 5 or 1."""
    stated = [int(epochs) for epochs in re.findall(r"warm_up=(\d+)", row.method)]
    if stated:
        return max(stated)
    waits = "kda" in row.method and "landmarks=running" not in row.method
    return (5 if row.epochs >= 60 else 1) if waits else 0
