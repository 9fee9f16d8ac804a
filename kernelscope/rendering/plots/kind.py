"""What a kind of figure is: how it is chosen from a report, drawn, and placed on a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from kernelscope.rendering.plots import canvas
from kernelscope.rendering.plots.selection import Asked, once
from kernelscope.rendering.plots.svg import to_svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from kernelscope.report.report import TransferReport


class Shown(Protocol):
    """What a figure draws: a title, and how many rows of bars or points it has."""

    @property
    def title(self) -> str: ...
    @property
    def rows(self) -> int: ...


S = TypeVar("S", bound=Shown)


@dataclass(frozen=True)
class Kind(Generic[S]):
    """One kind of figure.

    Attributes:
        title: its title, before what differs from report to report.
        section: where it stands on a page, a key of ``SECTIONS``.
        draw: draws what ``select`` found.
        select: what to draw of a report, or the reason why there is nothing.
        place: which of these figures a page has.
        caption: the paragraph above them on a page; empty where they go on with the figures before.
        size: width and height in inches. growth: more height for every row beyond four.
    """

    name: str
    title: str
    section: str
    draw: Callable[[Axes, S], None]
    select: Callable[[TransferReport, Asked, str], S | str]
    place: Callable[[TransferReport], list[Asked]] = once
    caption: str = ""
    size: tuple[float, float] = (canvas.WIDTH, canvas.HEIGHT)
    growth: float = 0.2

    def axes(self, report: TransferReport, asked: Asked, ax: Axes | None = None) -> Axes | str:
        """The figure, drawn on ``ax`` or on a figure of its own; or the reason why there is none."""
        shown = self.select(report, asked, self.title)
        if isinstance(shown, str):
            return shown
        if ax is None:
            width, height = self.size
            ax = canvas.new_axes(width, height + self.growth * max(0, shown.rows - 4))
        self.draw(ax, shown)
        return ax

    def svg(self, report: TransferReport, asked: Asked, prefix: str) -> str | None:
        """The figure as an ``<svg>`` element, its ids beginning with ``prefix``; None if there is nothing to draw."""
        with canvas.own_style():
            ax = self.axes(report, asked)
            return None if isinstance(ax, str) else to_svg(canvas.figure_of(ax), prefix, ax.get_title(loc="left"))
