"""Gates: limits on numbers of a report, and on a student beside another.

A gate fails if any value in the interval that the number is known to lie in violates the limit. A number without an
interval is judged at a point, and the output names it. What is not known passes no gate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kernelscope.errors import GateFailed, UsageError, plain
from kernelscope.report.dotted_names import require_number
from kernelscope.report.fields import PairReport
from kernelscope.report.known_intervals import SMALL, Known, known_of, over_examples
from kernelscope.report.report import TransferReport, difference_interval

ONE_SMALL = "one too small to sample, judged by each one's own interval"
SAME_FILE = "the same file, so no difference"


@dataclass(frozen=True)
class Judged:
    """A gate held against one pair: why it failed, if it did, and in ``by`` what decided in an interval's place."""

    gate: str
    where: str
    failure: str | None
    by: str


@dataclass(frozen=True)
class Gate:
    """``field <= limit`` (``at_most``) or ``field >= limit``, for every pair of a report."""

    field: str
    limit: float
    at_most: bool

    @classmethod
    def parse(cls, text: str, *, at_most: bool, require: Callable[[str], object] = require_number) -> Gate:
        """``transfer_loss=0.3`` as a gate; ``require`` refuses a field that is not known.

        Raises:
            UsageError: if it is not FIELD=NUMBER with a finite number, or a report has no such number.
        """
        name, _, number = (part.strip() for part in text.partition("="))
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not name or math.isnan(limit):
            raise UsageError(f"gate {text!r} is not FIELD=NUMBER; write for example transfer_loss=0.3")
        if math.isinf(limit):
            raise UsageError(f"the limit of gate {text!r} is not finite; write for example transfer_loss=0.3")
        require(name)
        return cls(name, limit, at_most)

    def judge(self, pair: PairReport, *, sampling: bool = False) -> Judged:
        """``sampling``: the loss is judged over other examples, not by rounding alone."""
        known = known_of(pair, self.field, sampling)
        return held_against(self.field, self.limit, self.at_most, known, _where(pair.student, _layers(pair)))


@dataclass(frozen=True)
class NoWorseThan:
    """``loss(student) − loss(other) <= by`` over other examples too, at every pair of layers, for every other student.

    Attributes:
        other: the name in the report of the student that the others are held against.
        same: names of students that are the very file of ``other``.
    """

    other: str
    by: float = 0.0
    same: tuple[str, ...] = ()

    @classmethod
    def last(cls, report: TransferReport, *, by: float, same: Sequence[bool]) -> NoWorseThan:
        """Against the last network of the report; ``same``: of each student before it, whether it is the same file.

        Raises:
            UsageError: if another student bears its name.
        """
        *names, other = [network.name for network in report.networks[1:]]
        if other in names:
            raise UsageError(f"two students are called {plain(other)} in the report; rename one of the files")
        return cls(other, by, tuple(name for name, is_same in zip(names, same) if is_same))

    def judge(self, report: TransferReport) -> Iterator[Judged]:
        """Every other student, at every pair of layers that it or ``other`` has."""
        found: dict[str, dict[tuple[str, str], PairReport]] = {}
        for pair in report:
            found.setdefault(pair.student, {})[_layers(pair)] = pair
        theirs = found.pop(self.other, {})
        gate = f"no-worse-than {plain(self.other)}"
        for student, mine in found.items():
            for layers in dict.fromkeys((*mine, *theirs)):
                known = self._difference(report, mine.get(layers), theirs.get(layers))
                yield held_against(gate, self.by, True, known, _where(student, layers), "difference")

    def _difference(self, report: TransferReport, mine: PairReport | None, theirs: PairReport | None) -> Known:
        """Where ``loss(student) − loss(other)`` lies over other examples."""
        if mine is None or theirs is None:
            absent = "the student" if mine is None else plain(self.other)
            return Known(by=f"{absent} was not measured there; choose layers of both with --layers or --pairs")
        if mine.student in self.same:
            return Known(0.0, 0.0, SAME_FILE)
        paired = difference_interval(report, mine, theirs)
        if paired is not None:
            known = Known(*paired)
            rounding = Known(*mine.rounding_interval).minus(Known(*theirs.rounding_interval))
            return known if mine.resolved and theirs.resolved else known.or_worse(rounding)
        own = [over_examples(pair) for pair in (mine, theirs)]
        small = [known.by == SMALL for known in own]
        unknown = next((known for known in own if known.is_nothing), None)
        if unknown is None and not any(small):
            unknown = Known(by="no paired interval: the two were not resampled alike; give --groups for both")
        return unknown or dataclasses.replace(own[0].minus(own[1]), by=SMALL if all(small) else ONE_SMALL)


def judge(
    report: TransferReport, gates: Sequence[Gate], *, sampling: bool = False, no_worse_than: NoWorseThan | None = None
) -> list[Judged]:
    """Every gate on every pair; limits are not for the student that the others are only compared with.

    Raises:
        GateFailed: if nothing was measured, so that nothing could fail.
    """
    other = None if no_worse_than is None else no_worse_than.other
    judged = [gate.judge(pair, sampling=sampling) for pair in report if pair.student != other for gate in gates]
    judged += [] if no_worse_than is None else no_worse_than.judge(report)
    if not judged:
        raise GateFailed("no pair of layers was measured, so no gate passes; check --layers and --pairs")
    return judged


def remarks(judged: Sequence[Judged]) -> str:
    """`` (judged at a point, no interval: cka, scale_ratio)``: what decided where an interval did not; or nothing."""
    said = []
    for by in dict.fromkeys(each.by for each in judged if each.by):
        gates = []
        for gate in sorted({each.gate for each in judged if each.by == by}):
            all_pairs = {each.where for each in judged if each.gate == gate}
            pairs = {each.where for each in judged if each.gate == gate and each.by == by}
            gates.append(gate if pairs == all_pairs else f"{gate} on {len(pairs)} of {len(all_pairs)} pairs")
        said.append(f"{by}: {', '.join(gates)}")
    return f" ({'; '.join(said)})" if said else ""


def held_against(gate: str, limit: float, at_most: bool, known: Known, where: str, what: str | None = None) -> Judged:
    """A limit held against where a number lies; ``what`` is said beside the gate's name where it fails."""
    worst = known.high if at_most else known.low
    if worst <= limit if at_most else worst >= limit:
        return Judged(gate, where, None, known.by)
    rule = f"{gate if what is None else f'{gate}, {what}'} {'<=' if at_most else '>='} {_short(limit)}"
    said = [] if known.is_nothing else [f"is {_digits(worst, limit)}"]
    if known.low != known.high and said:
        said = [f"{said[0]} in [{_digits(known.low, limit)}, {_digits(known.high, limit)}]"]
    said += [known.by] if known.by else []
    return Judged(gate, where, f"FAILED {rule}: {', '.join(said)} ({where})", known.by)


def _layers(pair: PairReport) -> tuple[str, str]:
    return pair.teacher_layer, pair.student_layer


def _where(student: str, layers: tuple[str, str]) -> str:
    return plain(f"{student}, {'='.join(layers)}")


def _short(limit: float) -> str:
    return f"{limit:g}" if float(f"{limit:g}") == limit else repr(limit)


def _digits(value: float, limit: float) -> str:
    """6 digits, or as many more as show on which side of the limit it lies."""
    side = (value > limit, value < limit)
    texts = (f"{value:.{digits}g}" for digits in range(6, 18))
    return next(text for text in texts if (float(text) > limit, float(text) < limit) == side)
