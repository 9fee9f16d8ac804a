"""What the drawing functions are given: pairs of layers, one pair, or networks, with labels, colours and a title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelscope.rendering.plots.canvas import Stroke
    from kernelscope.report.fields import NetworkReport, PairReport


@dataclass(frozen=True)
class Pairs:
    """Several pairs of layers, each with its label and stroke.

    ``beside``: pairs that stand in figures beside this one, so that they may share a scale.
    """

    title: str
    pairs: tuple[PairReport, ...]
    labels: tuple[str, ...]
    strokes: tuple[Stroke, ...]
    beside: tuple[PairReport, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class OnePair:
    """What a figure of one pair is drawn from."""

    title: str
    pair: PairReport
    stroke: Stroke
    rows: int = 1


@dataclass(frozen=True)
class Networks:
    """Networks with label and colour (None: the teacher's ink), and the quantity and layer that are followed.

    ``unit``: what training is counted in, epochs or steps.
    """

    title: str
    networks: tuple[tuple[NetworkReport, str, int | None], ...]
    quantity: str
    layer: str = ""
    rows: int = 1
    unit: str = "epoch"
