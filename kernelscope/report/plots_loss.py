"""Figures of the loss itself: what each fix would leave of it, and which classes and parts of the kernel carry it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelscope.report.canvas import (
    COLOURS,
    GRID,
    INK,
    MARKERS,
    PAPER,
    SMALL,
    SOFT,
    dress,
    heights,
    line_height,
    shortened,
    spread,
)
from kernelscope.report.transfer import PairReport
from kernelscope.report.wording import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUNGS = ("as it is", "after the\nbest scalar", "after the best\nlinear head", "width\nfloor")
CENTRED = "both means\nremoved*"
MOST_CLASSES_WRITTEN = 12
MOST_CLASSES_NAMED = 40


def ladder(ax: Axes, pairs: Sequence[PairReport], labels: Sequence[str], title: str, start: int = 0) -> None:
    """Loss as it is, after a scalar, after a head, and the width floor, one line a pair; chance dashed.

    The rung with both means removed is on another kernel, so it stands aside and is not joined to the others.
    """
    values = [[pair.ladder.raw, pair.ladder.scaled, pair.ladder.head, pair.ladder.width_floor] for pair in pairs]
    aside = [pair.ladder.centred for pair in pairs]
    chances = [pair.null.transfer_loss for pair in pairs]
    known = [v for row in [*values, aside] for v in row if v is not None]
    top = max([*known, 1e-300])
    near = [chance for chance in chances if chance is not None and chance <= 2.5 * top]
    _loss_scale(ax, known, max([top, *near]))
    for i, (row, centred, chance) in enumerate(zip(values, aside, chances)):
        colour, marker = COLOURS[(start + i) % len(COLOURS)], MARKERS[(start + i) % len(MARKERS)]
        places = [x for x, value in enumerate(row) if value is not None]
        ax.plot(places, [row[x] for x in places], color=colour, linewidth=1.8, marker=marker, markersize=6, zorder=3)
        if centred is not None:
            ax.plot([4], [centred], color=colour, marker=marker, markersize=6, markerfacecolor=PAPER, zorder=3)
        if chance is not None and chance <= 2.5 * top:
            ax.plot([-0.35, 3.35], [chance, chance], color=colour, linewidth=1.1, dashes=(4, 3), zorder=2)
    _write_values(ax, [[*row, centred] for row, centred in zip(values, aside)], start)
    _write_right(ax, pairs, labels, chances, near, start)
    ax.axvline(3.5, color=GRID, linewidth=1)
    ax.set_xlim(-0.45, 4.45)
    ax.set_xticks(range(5), [*RUNGS, CENTRED])
    dress(ax, title, y="loss (0 = the teacher's kernel)")
    ax.text(
        1, -0.3, "* in units of the teacher's kernel without its mean", transform=ax.transAxes, ha="right", va="top",
        fontsize=SMALL - 1, color=SOFT,
    )  # fmt: skip


def _loss_scale(ax: Axes, known: Sequence[float], top: float) -> None:
    """Linear from 0; where values are a hundredfold apart, logarithmic with 0 at the bottom."""
    positive = [value for value in known if value > 0]
    if positive and top > 200 * min(positive):
        ax.set_yscale("symlog", linthresh=min(positive), linscale=0.5)
        ax.set_ylim(0, top * 3)
    else:
        ax.set_ylim(0, 1.14 * top)


def _write_values(ax: Axes, rows: Sequence[Sequence[float | None]], start: int) -> None:
    """Every value right of its dot, apart from one another."""
    gap = line_height(ax)
    for x in range(5):
        column = [(i, value) for i, row in enumerate(rows) if (value := row[x]) is not None]
        places = spread(heights(ax, [value for _, value in column]), gap)
        for (i, value), place in zip(column, places):
            ax.annotate(
                number(value),
                (x, max(place, 0.0)),
                xycoords=ax.get_xaxis_transform(),
                xytext=(7, 5 if len(column) == 1 and x < 4 else 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=COLOURS[(start + i) % len(COLOURS)],
            )


def _write_right(
    ax: Axes,
    pairs: Sequence[PairReport],
    labels: Sequence[str],
    chances: Sequence[float | None],
    near: Sequence[float],
    start: int,
) -> None:
    """A key under the title, and the chance levels where the dashes end."""
    for i, label in enumerate(labels):
        colour, marker = COLOURS[(start + i) % len(COLOURS)], MARKERS[(start + i) % len(MARKERS)]
        ax.plot([], [], color=colour, marker=marker, markersize=5, linewidth=1.8, label=shortened(label, 30))
    if near:
        ax.plot([], [], color=SOFT, linewidth=1.1, dashes=(4, 3), label="chance: its examples shuffled")
    far = [chance for chance in chances if chance is not None and chance not in near]
    if far:
        ax.plot([], [], linestyle="none", label=f"chance is above: {', '.join(map(number, far))}")
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 0.995), ncols=2, frameon=False, fontsize=SMALL, handlelength=2.2,
        borderaxespad=0.2, columnspacing=1.6,
    )  # fmt: skip
