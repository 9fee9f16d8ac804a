"""The two kinds of figure that a study's page has: curves over epochs with bands, and rows of dots with bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.rendering.plots import canvas
from kernelscope.rendering.plots.canvas import INK, PAPER, SMALL, SOFT, dress, label_ends, log_ticks, own_style
from kernelscope.rendering.plots.svg import to_svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

DASHED = (0, (4, 2))


@dataclass(frozen=True)
class Line:
    """A curve over epochs with its standard deviation over seeds."""

    label: str
    epochs: Sequence[int]
    mean: np.ndarray
    sd: np.ndarray
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A dot in a row and the bar ``low .. high`` behind it; ``offset``: of its height from the row's."""

    value: float
    low: float | None = None
    high: float | None = None
    colour: str = SOFT
    marker: str = "o"
    filled: bool = True
    size: float = 7.0
    offset: float = 0.0


def curves(
    lines: Sequence[Line],
    title: str,
    y: str,
    prefix: str,
    *,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
) -> str:
    """Lines with bands of one standard deviation, labelled at their ends; ``levels``: dotted lines by their names."""
    from matplotlib.ticker import MaxNLocator

    levels = levels or {}
    with own_style():
        ax = canvas.new_axes()
        for line in lines:
            dash = DASHED if line.dashed else "-"
            ax.plot(line.epochs, line.mean, color=line.colour, linewidth=1.7, linestyle=dash)
            low = np.maximum(line.mean - line.sd, 0.5 * line.mean) if log else line.mean - line.sd
            ax.fill_between(line.epochs, low, line.mean + line.sd, color=line.colour, alpha=0.15, linewidth=0)
        for level in levels.values():
            ax.axhline(level, color=SOFT, linewidth=1.0, linestyle=(0, (2, 2)))
        values = [float(v) for line in lines for v in (*line.mean, *(line.mean + line.sd))] + [*levels.values()]
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        _limits(ax, min(values), max(values), log=log)
        dress(ax, title, x="epoch; band: one standard deviation over seeds", y=y)
        ends = [(float(line.mean[-1]), line.label, line.colour) for line in lines]
        label_ends(ax, ends + [(level, label, SOFT) for label, level in levels.items()])
        return to_svg(canvas.figure_of(ax), prefix, title)


def _limits(ax: Axes, low: float, high: float, *, log: bool) -> None:
    if log:
        ax.set_yscale("log")
        log_ticks(ax, "y")
        ax.set_ylim(low / 1.5, high * 1.5)
    else:
        room = 0.08 * (high - low) or 0.1
        ax.set_ylim(max(0.0, low - room), high + room)


def dots(
    rows: Sequence[tuple[str, Sequence[Mark]]],
    title: str,
    x: str,
    prefix: str,
    *,
    line: float | None = None,
    limits: tuple[float | None, float | None] | None = None,
    log: bool = False,
    said: Sequence[str] = (),
) -> str:
    """A row of marks for each name, the first on top; ``line``: a level beside them; ``said``: at their ends."""
    with own_style():
        ax = canvas.new_axes(canvas.WIDTH, 1.35 + 0.27 * len(rows))
        if line is not None:
            ax.axvline(line, color=INK, linewidth=1.0)
        for place, (_, marks) in enumerate(rows):
            for mark in marks:
                _draw(ax, mark, place + mark.offset)
        beside = ax.get_yaxis_transform()
        for place, text in enumerate(said):
            ax.text(1.02, place, text, transform=beside, va="center", ha="left", fontsize=SMALL, color=INK)
        if log:
            ax.set_xscale("log")
        if limits is not None:
            ax.set_xlim(*limits)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_yticks(range(len(rows)), [name for name, _ in rows])
        dress(ax, title, x=x, grid="x", room=0.66)
        if log:
            log_ticks(ax, "x")
        return to_svg(canvas.figure_of(ax), prefix, title)


def _draw(ax: Axes, mark: Mark, at: float) -> None:
    if mark.low is not None and mark.high is not None:
        ax.plot([mark.low, mark.high], [at, at], color=mark.colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
    face = mark.colour if mark.filled else PAPER
    ax.plot([mark.value], [at], mark.marker, color=mark.colour, markerfacecolor=face, markersize=mark.size)
