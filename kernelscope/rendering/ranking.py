"""Several students in the order of their losses, with the ranks that this sample of examples leaves open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernelscope.rendering.wording import first_pairs, layer_name, short_names
from kernelscope.report.columns import sampled
from kernelscope.report.digits import loss_in_digits

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport

FEWEST = 3  #: students that are ranked; of two the one comparison says it


@dataclass(frozen=True)
class Place:
    """A student and its ranks, from 1: the best and the worst that no decided comparison rules out."""

    pair: PairReport
    best: int
    worst: int

    @property
    def ranks(self) -> str:
        """``2``, or ``2-4``."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


def ranking(report: TransferReport) -> list[Place]:
    """The students by their loss at the layers of the first one; nothing for fewer than three, or without intervals."""
    pairs = first_pairs(report)
    layers = {(pair.teacher_layer, pair.student_layer) for pair in pairs[:1]}
    pairs = sorted(
        (p for p in pairs if (p.teacher_layer, p.student_layer) in layers), key=lambda pair: pair.transfer_loss
    )
    compared = [c for c in report.comparisons if (c.teacher_layer, c.student_layer) in layers]
    if len(pairs) < FEWEST or not compared:
        return []
    better = {pair.student: 0 for pair in pairs}
    worse = dict(better)
    for c in compared:
        if c.decided:
            low, high = (c.first, c.second) if c.difference < 0 else (c.second, c.first)
            worse[low] += 1
            better[high] += 1
    return [Place(pair, 1 + better[pair.student], len(pairs) - worse[pair.student]) for pair in pairs]


def ranked(report: TransferReport) -> TransferReport:
    """The report with its students in the order of their ranking, if they have one."""
    places = {place.pair.student: number for number, place in enumerate(ranking(report))}
    if not places:
        return report
    return replace(report, pairs=tuple(sorted(report, key=lambda pair: places.get(pair.student, len(places)))))


def headline(report: TransferReport, places: list[Place]) -> str:
    """What the ranking is of, and what decides it."""
    where = {(place.pair.teacher_layer, place.pair.student_layer) for place in places}
    compared = sum((c.teacher_layer, c.student_layer) in where for c in report.comparisons)
    return (
        f"ranked by the loss at {layer_name(places[0].pair)}; students share ranks where {compared:,} paired "
        "comparisons, judged together, leave them open"
    )


def rows(report: TransferReport, places: list[Place]) -> list[tuple[str, str, str, str]]:
    """Ranks, student, loss, 95 % over examples."""
    names = short_names(report)
    return [(p.ranks, names[p.pair.student], loss_in_digits(p.pair), sampled(p.pair)) for p in places]
