"""What every figure shares: paper, palette and labels that do not collide."""

from __future__ import annotations

import math
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kernelscope.errors import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, PAPER = "#20242b", "#5d6673", "#dde1e7", "#fefefe"
# Okabe and Ito's colours, which colour-blind readers tell apart, the light ones darkened until thin lines show
COLOURS = ("#0072b2", "#c8500a", "#00875f", "#a8558b", "#8a6d00", "#3d8fc4")
MARKERS = ("o", "s", "D", "^", "v", "P")
#: colour -> CSS variable, so that a page may re-colour a figure for dark paper
VARIABLES = {INK: "ink", SOFT: "soft", GRID: "grid", PAPER: "paper"} | {c: f"c{i}" for i, c in enumerate(COLOURS)}
#: the same variables on dark paper
DARK = {
    "ink": "#e6e9ee",
    "soft": "#9aa4b2",
    "grid": "#333a45",
    "paper": "#1a1e25",
    "c0": "#5bb0ea",
    "c1": "#ff8f52",
    "c2": "#35c79a",
    "c3": "#e39ac6",
    "c4": "#d9b84a",
    "c5": "#9ccff2",
}
WIDTH, HEIGHT = 4.8, 3.3
TEXT, SMALL = 9.0, 8.0
STYLE = {
    "font.size": TEXT,
    "font.family": "DejaVu Sans",
    "axes.facecolor": "none",
    "axes.edgecolor": SOFT,
    "axes.unicode_minus": True,
    "text.color": INK,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Stroke:
    """How one pair is drawn: the student's colour, and marker, weight and shade for its layer."""

    colour: str
    marker: str = "o"
    weight: float = 1.8
    shade: float = 1.0


def stroke(student: int, layer: int = 0, *, one_student: bool = False) -> Stroke:
    """A student keeps one colour in every figure; among several layers of one student the later ones are lighter."""
    colour = COLOURS[student % len(COLOURS)]
    if not one_student:
        return Stroke(colour, MARKERS[(student + student // len(COLOURS)) % len(MARKERS)])
    return Stroke(colour, MARKERS[layer % len(MARKERS)], 1.8 if layer == 0 else 1.0, max(0.3, 1.0 - 0.4 * layer))


@contextmanager
def own_style() -> Iterator[None]:
    """The figures' own settings, whatever the user's are, and the user's again afterwards."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


def new_axes(width: float = WIDTH, height: float = HEIGHT) -> Axes:
    """Axes on a figure of their own, which no window and no pyplot knows of."""
    from kernelscope.rendering.plots.own_figure import OwnFigure

    figure = OwnFigure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    return figure.subplots()


def dress(
    ax: Axes, title: str, *, x: str = "", y: str = "", grid: Literal["x", "y", ""] = "y", room: float = 0.74
) -> None:
    """Title in words, labels, and no more lines than are read; ``room``: share of the figure right of its labels."""
    ax.set_title(
        wrapped(ax, title, TEXT + 1, room), loc="left", fontsize=TEXT + 1, color=INK, fontweight="bold", pad=10
    )
    ax.set_xlabel("\n".join(wrapped(ax, line, SMALL, room + 0.1) for line in x.split("\n")), color=SOFT, fontsize=SMALL)
    ax.set_ylabel(y, color=SOFT, fontsize=SMALL)
    ax.tick_params(axis="both", which="both", colors=SOFT, labelcolor=INK, labelsize=SMALL, length=0)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(side == "bottom" and grid == "y")
        ax.spines[side].set_color(SOFT)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color=GRID, linewidth=0.8)


def wrapped(ax: Axes, text: str, size: float, room: float) -> str:
    """``text`` in lines no wider than a share of the figure."""
    inches = room * figure_of(ax).get_figwidth() * _share_of_figure(ax)[0]
    return textwrap.fill(text, max(24, int(72 * inches / (0.56 * size))))


def words(text: str) -> str:
    """Somebody's text for a figure: no invisible characters, and a dollar is a dollar, not mathematics."""
    return plain(text).replace("$", r"\$")


def shortened(text: str, most: int = 24) -> str:
    """A name that fits beside a line; the end, which tells files apart, is kept."""
    text = plain(text)
    return words(text if len(text) <= most else f"{text[: most // 3]}…{text[-(most - most // 3 - 1) :]}")


def spread(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """The positions nearest to ``wanted``, at least ``gap`` apart and, if they fit, within ``low .. high``."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[float]] = []  # [sum, count] of positions less their share of gaps: isotonic regression
    for place, i in enumerate(order):
        blocks.append([wanted[i] - place * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    level = [total / count for total, count in blocks for _ in range(int(count))]
    found = [0.0] * len(wanted)
    for place, i in enumerate(order):
        highest = high - (len(wanted) - 1 - place) * gap
        found[i] = max(min(level[place] + place * gap, highest), low + place * gap)
    return found


def stacked(wanted: Sequence[float], gap: float, high: float = 1.0) -> list[float]:
    """Positions at least ``gap`` apart, none below its wanted one unless the highest would pass ``high``."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    found = [0.0] * len(wanted)
    least = -math.inf
    for i in order:
        found[i] = max(wanted[i], least)
        least = found[i] + gap
    most = high
    for i in reversed(order):
        found[i] = min(found[i], most)
        most = found[i] - gap
    return found


def log_ticks(ax: Axes, axis: Literal["x", "y"]) -> None:
    """Few powers of ten in plain figures, not as typeset powers, which cost half of a figure's time."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ticks = ax.xaxis if axis == "x" else ax.yaxis
    ticks.set_major_locator(LogLocator(numticks=6 if axis == "y" else 5))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    ax.minorticks_off()


def power_of_ten(value: float) -> str:
    """``0.01``, ``1,000``, ``10⁶``."""
    if not 0 < value < math.inf:  # a margin that left float64
        return ""
    exponent = round(math.log10(value))
    if -3 <= exponent < 0:
        return f"{value:.{-exponent}f}"
    if 0 <= exponent <= 4:
        return f"{value:,.0f}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def heights(ax: Axes, values: Sequence[float]) -> list[float]:
    """Data values as fractions of the axes' height, whatever the scale; limits must stand already."""
    to_axes = ax.transScale + ax.transLimits
    x = ax.get_xlim()[0]
    return [float(to_axes.transform((x, value))[1]) for value in values]


def line_height(ax: Axes, size: float = SMALL) -> float:
    """Height of a line of text as a fraction of the axes' height."""
    return 1.35 * size / max(1.0, 72 * figure_of(ax).get_figheight() * 0.72 * _share_of_figure(ax)[1])


def figure_of(ax: Axes) -> Figure:
    """The whole figure, also of axes inside a part of it."""
    figure: Figure = ax.figure.figure
    return figure


def _share_of_figure(ax: Axes) -> tuple[float, float]:
    """About how much of the figure's width and height are these axes'."""
    spec = ax.get_subplotspec()
    return (1.0, 1.0) if spec is None else (1.0 / spec.get_gridspec().ncols, 1.0 / spec.get_gridspec().nrows)


def label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], x: float = 1.015) -> None:
    """(value, text, colour) written beside the axes at the height of the value, moved apart where they collide."""
    places = spread(heights(ax, [value for value, _, _ in ends]), line_height(ax))
    for (_, text, colour), place in zip(ends, places):
        ax.text(x, place, text, transform=ax.transAxes, va="center", ha="left", fontsize=SMALL, color=colour)
