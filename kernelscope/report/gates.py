"""Gates: limits on numbers of a report, and on a student beside another, held against the worse end of what is known.

The loss has its rounding interval, or its sampling interval where that is asked for; fields named in a pair's
``intervals`` have theirs. Any other number is judged at a point, which is said. What is not known passes no gate.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from kernelscope.errors import GateFailed, UsageError, plain
from kernelscope.kernels.nystrom.bounds import NAMES
from kernelscope.report.fields import PairReport
from kernelscope.report.notes import NOT_SAMPLED, NOTE, ROWS_TELL, STREAMED
from kernelscope.report.report import TransferReport, difference_interval
from kernelscope.report.similarity_fields import key_of

LOSS = ("transfer_loss", "ladder.raw")

#: What does not rest on K_S − K_T and so means something where the loss is not resolved. What is not here passes no
#: gate there without an interval of its own: a new field is not to pass unnoticed.
APART_FROM_THE_DIFFERENCE = (
    *("n", "d_teacher", "d_student", "resolved", "rounding_certified", "storage_floor"),
    *("norm_teacher", "norm_student", "alignment", "scale_ratio", "optimal_scale", "cka", "cka_debiased"),
    *("null.*", "landmarks.*", "landmark_spectrum.*", "feature_spectrum.*", "nystrom.residual_*", "nystrom.tail_*"),
    *("neighbours.*", "outputs.*", "within_class_cka.*"),
)

POINT = "judged at a point, no interval"
SMALL = "too small to sample, judged by rounding"
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
    def parse(cls, text: str, *, at_most: bool) -> Gate:
        """``transfer_loss=0.3`` as a gate.

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
        _require_number(name)
        return cls(name, limit, at_most)

    def judge(self, pair: PairReport, *, sampling: bool = False) -> Judged:
        """``sampling``: the loss is judged over other examples, not by rounding alone."""
        known = _known(pair, self.field, sampling)
        return _held_against(self.field, self.limit, self.at_most, known, _where(pair.student, _layers(pair)))


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
                yield _held_against(gate, self.by, True, known, _where(student, layers), "difference")

    def _difference(self, report: TransferReport, mine: PairReport | None, theirs: PairReport | None) -> _Known:
        """Where ``loss(student) − loss(other)`` lies over other examples."""
        if mine is None or theirs is None:
            absent = "the student" if mine is None else plain(self.other)
            return _Known(by=f"{absent} was not measured there; choose layers of both with --layers or --pairs")
        if mine.student in self.same:
            return _Known(0.0, 0.0, SAME_FILE)
        paired = difference_interval(report, mine, theirs)
        if paired is not None:
            known = _Known(*paired)
            rounding = _Known(*mine.rounding_interval).minus(_Known(*theirs.rounding_interval))
            return known if mine.resolved and theirs.resolved else known.or_worse(rounding)
        own = [_over_examples(pair) for pair in (mine, theirs)]
        small = [known.by == SMALL for known in own]
        unknown = next((known for known in own if known.is_nothing), None)
        if unknown is None and not any(small):
            unknown = _Known(by="no paired interval: the two were not resampled alike; give --groups for both")
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


@dataclass(frozen=True)
class _Known:
    """Where a number lies; anywhere at all by default, for the reason ``by``. Else ``by`` is what an interval lacks."""

    low: float = -math.inf
    high: float = math.inf
    by: str = ""

    @property
    def is_nothing(self) -> bool:
        return self.low == -math.inf and self.high == math.inf

    def minus(self, other: _Known) -> _Known:
        return _Known(self.low - other.high, self.high - other.low)

    def or_worse(self, other: _Known) -> _Known:
        return _Known(min(self.low, other.low), max(self.high, other.high))


def _held_against(gate: str, limit: float, at_most: bool, known: _Known, where: str, what: str | None = None) -> Judged:
    worst = known.high if at_most else known.low
    if worst <= limit if at_most else worst >= limit:
        return Judged(gate, where, None, known.by)
    rule = f"{gate if what is None else f'{gate}, {what}'} {'<=' if at_most else '>='} {_short(limit)}"
    said = [] if known.is_nothing else [f"is {_digits(worst, limit)}"]
    if known.low != known.high and said:
        said = [f"{said[0]} in [{_digits(known.low, limit)}, {_digits(known.high, limit)}]"]
    said += [known.by] if known.by else []
    return Judged(gate, where, f"FAILED {rule}: {', '.join(said)} ({where})", known.by)


def _known(pair: PairReport, field: str, sampling: bool) -> _Known:
    if field in LOSS:
        return _over_examples(pair) if sampling else _Known(*pair.rounding_interval)
    value = _value(pair, field)
    if value is None:
        return _Known(by="not measured for this pair")
    own = pair.intervals.get(field)
    if own is not None:
        return _Known(*own)
    if not pair.resolved and not any(fnmatchcase(field, pattern) for pattern in APART_FROM_THE_DIFFERENCE):
        low, high = pair.rounding_interval
        return _Known(by=f"has no interval, and the loss is not resolved ({low:.2g} to {high:.2g}); gate transfer_loss")
    return _Known(value, value, POINT)


def _over_examples(pair: PairReport) -> _Known:
    """The loss over other examples of the same kind; where it is too small to be sampled, over these alone."""
    rounding = _Known(*pair.rounding_interval)
    if pair.sampling_interval is not None:
        sampled = _Known(*pair.sampling_interval)
        return sampled if pair.resolved else sampled.or_worse(rounding)
    if rounding.high <= ROWS_TELL:
        return dataclasses.replace(rounding, by=SMALL)
    return _Known(by=f"no interval over examples: {_why_not_sampled(pair)}")


def _why_not_sampled(pair: PairReport) -> str:
    if NOTE in pair.notes or STREAMED in pair.notes:
        return "one pass gives none; name layers with --pairs T=S, leave out --no-features"
    if pair.route == "pairs-estimate":
        return "drawn pairs of examples give none; pass --route blocked"
    if pair.transfer_loss <= ROWS_TELL:
        return f"the loss is too small to sample, but rounding alone may bring it to {pair.rounding_interval[1]:.2g}"
    said = (note.removeprefix(NOT_SAMPLED) for note in pair.notes if note.startswith(NOT_SAMPLED))
    return f"{next(said, 'too few examples or groups, or one carries all of the loss')}; measure more examples"


@cache
def _leaves() -> dict[str, tuple[Any, tuple[str | int, ...]]]:
    """Every value of a pair by its dotted name: its type, and the way to it."""

    def walk(kind: Any, name: str, path: tuple[str | int, ...]) -> Iterator[tuple[str, Any, tuple[str | int, ...]]]:
        if typing.get_origin(kind) in (types.UnionType, typing.Union):
            kind = next(each for each in typing.get_args(kind) if each is not types.NoneType)
        inner: dict[str, Any] = {}
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            inner = typing.get_type_hints(kind)
        elif name == "paper.bounds":
            inner = dict.fromkeys(NAMES, typing.get_args(kind)[1])
        for key, hint in inner.items():
            yield from walk(hint, f"{name}.{key_of(key)}" if name else key, (*path, key))
        if name.endswith("_interval"):
            yield from ((f"{name}_{end}", float, (*path, i)) for i, end in enumerate(("low", "high")))
        elif not inner:
            yield name, kind, path

    return {name: (kind, path) for name, kind, path in walk(PairReport, "", ())}


def _require_number(name: str) -> None:
    """Yes and no count as 1 and 0."""
    leaves = _leaves()
    kind, _ = leaves.get(name, (None, ()))
    if kind in (int, float, bool):
        return
    if kind is None:
        numbers = [leaf for leaf, (each, _) in leaves.items() if each in (int, float, bool)]
        near = difflib.get_close_matches(name, numbers, n=3, cutoff=0.4)
        raise UsageError(f"a report has no number {name!r}; nearest: {', '.join(near) or 'see docs/report.md'}")
    raise UsageError(f"{name} is {'text' if kind is str else 'a list'}, not a number; gate one such as transfer_loss")


def _value(pair: PairReport, field: str) -> float | None:
    value: Any = pair
    for step in _leaves()[field][1]:
        if value is None:
            return None
        value = getattr(value, step) if isinstance(step, str) and not isinstance(value, dict) else value[step]
    return None if value is None else float(value)


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
