"""``blame``: what each layer of a compressed network adds to the difference, and which one broke it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kernelscope.report.json_answer import JsonAnswer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "kernelscope.blame"
FORMAT_VERSION = 1
MOST = 0.5  #: share of all layers' own squared losses that the named ones carry together
FEW = 3  #: layers that may be named; where it takes more, no single one broke it
NOTHING = 1e-6  #: own loss below which a layer does what the teacher's does


@dataclass(frozen=True)
class LayerBlame:
    """One layer's loss: ``‖Y_S − Y_T‖_F / ‖Y_T‖_F`` of outputs as they are.

    Attributes:
        layer: its path, with ``@2`` for a second call. kind: of module.
        own: of what the student's layer makes of the teacher's input, against the teacher's output.
        inherited: of what the teacher's layer makes of the student's input. total: of both networks' outputs.
        by_head: outputs differ in shape, and losses are those that a linear head leaves on examples held out: ``total``
            at the output, ``inherited`` at the input, ``own`` what is more.
    """

    layer: str
    kind: str
    own: float | None
    inherited: float | None
    total: float | None
    by_head: bool = False


@dataclass(frozen=True)
class Blame(JsonAnswer):
    """Every layer in the order in which they ran; ``print`` it for the worst and the answer."""

    teacher: str
    student: str
    n: int
    layers: tuple[LayerBlame, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def ranked(self) -> tuple[LayerBlame, ...]:
        """Layers by their own loss, the largest first; those without one last."""
        return tuple(sorted(self.layers, key=lambda each: -1.0 if each.own is None else each.own, reverse=True))

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The few layers that carry most of all layers' own squared losses; none where it takes more than three."""
        own = [each for each in self.ranked if (each.own or 0.0) > NOTHING]
        whole, carried = sum((each.own or 0.0) ** 2 for each in own), 0.0
        for count, each in enumerate(own[:FEW], start=1):
            carried += (each.own or 0.0) ** 2
            if carried >= MOST * whole:
                return tuple(layer.layer for layer in own[:count])
        return ()

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        if not self.ranked or not (self.ranked[0].own or 0.0) > NOTHING:
            return "no layer does anything else than the teacher's"
        if self.named:
            named = set(self.named)
            told = ", ".join(
                f"{each.layer} (own {each.own:.2g} of {each.total:.2g})" for each in self.ranked if each.layer in named
            )
            return f"{told} broke it" if len(named) == 1 else f"{told} broke it together"
        worst = self.ranked[0]
        return f"no layer alone broke it: the loss is spread, at most {worst.own:.2g} of its own at {worst.layer}"

    def to_dict(self) -> dict[str, Any]:
        found = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return {**found, "named": list(self.named), "verdict": self.verdict}

    def to_records(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(layer) for layer in self.layers]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw own and total loss over depth and return matplotlib's axes."""
        from kernelscope.rendering.plots import blame

        return blame.draw(self, ax)

    def __str__(self) -> str:
        from kernelscope.rendering import blame_table

        return blame_table.text(self)
