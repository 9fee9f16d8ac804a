"""Figures that place a student: among baselines, by its neighbours, and layer against layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import plain
from kernelscope.rendering.plots.canvas import GRID, INK, PAPER, SMALL, SOFT, dress, shortened
from kernelscope.report.digits import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import OnePair, Pairs
    from kernelscope.report.fields import PairReport

BEST_OF_THIS_WIDTH, ZERO_KERNEL = "best rank-d_S student", "zero kernel"
MOST_WRITTEN = 10  #: layers a side up to which losses are written into the cells


def levels(pair: PairReport) -> list[tuple[str, float, float | None]]:
    """(name, loss, loss after the best scalar) of the student and of everything there is to read it by, best first."""
    found: list[tuple[str, float, float | None]] = [("the student", pair.transfer_loss, pair.ladder.scaled)]
    found += [(plain(r.name), r.transfer_loss, r.scaled) for r in pair.references]
    if pair.null.transfer_loss is not None:
        found.append(("its examples shuffled", pair.null.transfer_loss, None))
    if pair.ladder.width_floor is not None:
        found.append((BEST_OF_THIS_WIDTH, pair.ladder.width_floor, None))
    return sorted([*found, (ZERO_KERNEL, 1.0, None)], key=lambda level: level[1])


def references(ax: Axes, shown: OnePair) -> None:
    """Loss and loss after the best scalar of the student and of the baselines, on one axis."""
    rows, pen = levels(shown.pair), shown.stroke
    for place, (name, raw, scaled) in enumerate(rows):
        own = name == "the student"
        colour = pen.colour if own else SOFT
        if scaled is not None:
            ax.plot([scaled, raw], [place, place], color=colour, linewidth=1.6 if own else 1.1, zorder=2)
            ax.plot([scaled], [place], "o", color=colour, markerfacecolor=PAPER, markersize=7, zorder=3)
        ax.plot([raw], [place], "o", color=colour, markersize=7 if own else 6, zorder=4)
        said = number(raw) + ("" if scaled is None else f", scaled {number(scaled)}")
        ax.text(
            1.02, place, said, transform=ax.get_yaxis_transform(), va="center", ha="left", fontsize=SMALL, color=INK,
            fontweight="bold" if own else "normal",
        )  # fmt: skip
    ax.set_xlim(0, 1.06 * max(raw for _, raw, _ in rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [shortened(name, 30) for name, *_ in rows])
    dress(ax, shown.title, x="transfer loss\nfilled: as it is, open: after the best scalar", grid="x", room=0.5)


def neighbours(ax: Axes, shown: Pairs) -> None:
    """Share of nearest neighbours both networks name, and of the teacher's that the student's features find."""
    ks = sorted({pair.neighbours.k for pair in shown.pairs if pair.neighbours})
    for place, (pair, pen) in enumerate(zip(shown.pairs, shown.strokes)):
        n = pair.neighbours
        assert n is not None
        ax.plot([n.chance, n.overlap], [place, place], color=pen.colour, linewidth=5, alpha=0.3, zorder=2)
        ax.plot([n.chance], [place], "|", color=SOFT, markersize=13, markeredgewidth=1.6, zorder=3)
        if n.recall is not None:
            ax.plot([n.recall], [place], "x", color=pen.colour, markersize=7, markeredgewidth=1.8, zorder=4)
        ax.plot([n.recall_aligned], [place], "o", color=pen.colour, markerfacecolor=PAPER, markersize=7, zorder=4)
        ax.plot([n.overlap], [place], "o", color=pen.colour, markersize=7, zorder=5)
        said = f"{number(n.overlap, 2)} at loss {number(pair.transfer_loss, 2)}"
        ax.text(
            1.02, place, said, transform=ax.get_yaxis_transform(), va="center", ha="left", fontsize=SMALL, color=INK
        )
    ax.set_xlim(0, 1.02)
    ax.set_ylim(len(shown.pairs) - 0.4, -0.6)
    ax.set_yticks(range(len(shown.pairs)), [shortened(label, 22) for label in shown.labels])
    dress(
        ax, shown.title, grid="x", room=0.56,
        x=f"share of the {' or '.join(map(str, ks))} nearest; tick: chance\nfilled: named by both networks\n"
        "in the teacher's index, cross: raw, open: after rotation",
    )  # fmt: skip


def layers(ax: Axes, shown: Pairs) -> None:
    """What is left after the best scalar of every teacher layer against every student layer."""
    from matplotlib.colors import LinearSegmentedColormap

    rows = list(dict.fromkeys(pair.teacher_layer for pair in shown.pairs))
    columns = list(dict.fromkeys(pair.student_layer for pair in shown.pairs))
    values = np.full((len(rows), len(columns)), np.nan)
    for pair in shown.pairs:
        values[rows.index(pair.teacher_layer), columns.index(pair.student_layer)] = pair.ladder.scaled
    colours = LinearSegmentedColormap.from_list("left", ["#0b3c5d", "#2f7fb8", "#9cc3e0", "#f4f6f9"])
    ax.imshow(values, cmap=colours.with_extremes(bad=GRID), vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    if max(values.shape) <= MOST_WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                ax.text(
                    j, i, number(value, 2), ha="center", va="center", fontsize=7, in_layout=False,
                    color="#ffffff" if value < 0.5 else "#1f2933",
                )  # fmt: skip
    dress(ax, shown.title, grid="")
    ax.set_xticks(range(len(columns)), [shortened(name, 16) for name in columns], rotation=90)
    ax.set_yticks(range(len(rows)), [shortened(name, 16) for name in rows])
    ax.set_ylabel("teacher's layer", color=SOFT, fontsize=SMALL)
    ax.set_xlabel("student's layer\nloss after the best scalar: dark is near", color=SOFT, fontsize=SMALL)
