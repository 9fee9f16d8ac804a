"""``gate --pinned``: how far a network is from the rows that an earlier one was pinned by, and what changed most."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kernelscope.errors import UsageError, one_line, plain
from kernelscope.report.gates import Gate, Judged, held_against
from kernelscope.report.json_answer import JsonAnswer
from kernelscope.report.known_intervals import Known

FORMAT = "kernelscope.drift"
FORMAT_VERSION = 1
FIELDS = ("change", "loss", "overlap")
FEW = 5  #: examples that are named
MOST = 0.5  #: of a layer's squared change, from which on few examples are said to carry it


@dataclass(frozen=True)
class Changed:
    """An example and its share of a layer's squared change."""

    index: int
    id: str | None
    share: float


@dataclass(frozen=True)
class LayerDrift:
    """A layer of the network now, against its pinned rows.

    Attributes:
        change: ``‖X − X_pinned‖_F / ‖X_pinned‖_F``. limit: on it, from re-runs; None where limits were given.
        floor: what storing the pinned rows cost, in the same units.
        loss: ``‖K − K_pinned‖_F / ‖K_pinned‖_F``, which a rotation leaves. overlap: of each example's ``k`` nearest
            neighbours; None of too few or too many examples.
        worst: examples that changed most.
    """

    layer: str
    change: float
    limit: float | None
    floor: float
    loss: float
    overlap: float | None
    k: int | None
    worst: tuple[Changed, ...]


@dataclass(frozen=True)
class Drift(JsonAnswer):
    """A network against pinned rows; ``print`` it for the lines that ``gate`` prints.

    Attributes:
        gates: limits that were given, as ``(field, limit, at_most)``; without any, each layer's own limit holds.
        alarm: false-alarm rate that the layers' limits are for.
        differs: what else is not as it was: preprocessing, pooling, software.
    """

    pinned: str
    student: str
    n: int
    layers: tuple[LayerDrift, ...]
    gates: tuple[tuple[str, float, bool], ...]
    alarm: float | None
    differs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Judged, ...]:
        """Every gate on every layer."""
        found = []
        for layer in self.layers:
            limits = self.gates or ((FIELDS[0], layer.limit, True),)
            for field, limit, at_most in limits:
                value = getattr(layer, field)
                known = (
                    Known(by="not measured for so many or so few examples") if value is None else Known(value, value)
                )
                where = plain(f"{self.student}, {layer.layer}")
                assert limit is not None  # a file without limits from re-runs has gates
                found.append(held_against(field, limit, at_most, known, where))
        return tuple(found)

    @property
    def drifted(self) -> bool:
        return any(each.failure is not None for each in self.judged)

    @property
    def most(self) -> LayerDrift:
        """The layer that changed most, against its limit where it has one."""
        return max(self.layers, key=lambda each: each.change / (each.limit or 1.0))

    @property
    def verdict(self) -> str:
        """What changed most, in one sentence."""
        most = self.most
        overlap = "" if most.overlap is None else f", {most.k}-NN overlap {most.overlap:.3f}"
        limit = "" if most.limit is None or self.gates else f" (limit {most.limit:.2g})"
        numbers = f"{most.layer} changed by {most.change:.2g}{limit}, loss {most.loss:.2g}{overlap}"
        if not self.drifted:
            return plain(f"as pinned: {numbers}")
        differs = "".join(f"; {each}" for each in self.differs)
        return plain(f"drifted: {numbers}, {self._where()}{differs}")

    def _where(self) -> str:
        worst = self.most.worst
        carried = 0.0
        for count, each in enumerate(worst, 1):
            carried += each.share
            if carried >= MOST and count < self.n / 4:
                named = ", ".join(str(x.index) for x in worst[:count])
                return f"{carried:.0%} of it in example{'s' * (count > 1)} {named}"
        return f"spread over examples, most in {worst[0].index}" if worst else "in no example"

    def to_dict(self) -> dict[str, Any]:
        found = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        failed = [each.failure for each in self.judged if each.failure is not None]
        return {**found, "drifted": self.drifted, "failed": failed, "verdict": self.verdict}

    def to_records(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in dataclasses.asdict(layer).items() if k != "worst"} for layer in self.layers]

    def __str__(self) -> str:
        return "\n".join([each.failure for each in self.judged if each.failure is not None] + [self.verdict])


def parse_gate(text: str, *, at_most: bool) -> Gate:
    """``change=0.01`` as a limit on a number of a layer.

    Raises:
        UsageError: it is not FIELD=NUMBER, or there is no such number.
    """
    return Gate.parse(text, at_most=at_most, require=require_field)


def require_field(name: str) -> None:
    """Refuse a number that layers do not have.

    Raises:
        UsageError: naming those they have.
    """
    if name not in FIELDS:
        raise UsageError(f"unknown number {one_line(name, 40)!r} of pinned rows; there are {', '.join(FIELDS)}")
