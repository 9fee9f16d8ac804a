"""Figures of the loss itself: what each fix would leave of it, and which classes and parts of the kernel carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.rendering.plots.canvas import (
    GRID,
    INK,
    PAPER,
    SMALL,
    SOFT,
    Stroke,
    dress,
    heights,
    line_height,
    shortened,
    spread,
    stacked,
)
from kernelscope.report.digits import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import OnePair, Pairs
    from kernelscope.report.fields import PairReport

RUNGS = ("as it is", "after best\nscalar", "after best\nlinear head", "width\nfloor", "both means\nremoved*")
CENTRED = len(RUNGS) - 1
FAR = 2.5  #: chance above so many times the largest rung is written, not drawn
HUNDREDFOLD = 200
ALIKE = 5  #: scales so many times apart are not shared
GAP = "\u00a0 "  #: one space would be swallowed between a name and its number
MOST_CLASSES_WRITTEN = 12
MOST_CLASSES_NAMED = 40


def ladder(ax: Axes, shown: Pairs) -> None:
    """Loss as it is, after a scalar, after a head, and the width floor, one line a pair; chance dashed.

    The rung with both means removed is on another kernel, so it stands aside and is not joined to the others.
    The figures beside this one share its scale if their losses are of its size.
    """
    pairs, labels, strokes = shown.pairs, shown.labels, shown.strokes
    rows: list[list[float | None]] = [
        [p.ladder.raw, p.ladder.scaled, p.ladder.head, p.ladder.width_floor, p.ladder.centred] for p in pairs
    ]
    known = [value for row in rows for value in row if value is not None]
    chances = [pair.null.transfer_loss for pair in pairs]
    top = _top(pairs)
    if shown.beside and _top(shown.beside) <= ALIKE * top:
        top = max(top, _top(shown.beside))
    _loss_scale(ax, known, top)
    named: list[tuple[float, str, str, bool]] = []
    for pair, row, label, chance, pen in zip(pairs, rows, labels, chances, strokes):
        look: dict[str, Any] = {"color": pen.colour, "marker": pen.marker, "markersize": 6, "zorder": 3}
        joined = [(x, value) for x, value in enumerate(row[:CENTRED]) if value is not None]
        ax.plot(*zip(*joined), linewidth=pen.weight, **look)
        if pair.ladder.centred is not None:
            ax.plot([CENTRED], [pair.ladder.centred], markerfacecolor=PAPER, **look)
        named.append((pair.ladder.raw, f"{shortened(label, 18)}{GAP}{number(row[0])}", pen.colour, True))
        if chance is not None and chance <= top:
            ax.plot([-0.2, CENTRED - 0.65], [chance, chance], color=pen.colour, linewidth=1.1, dashes=(4, 3), zorder=2)
            named.append((chance, f"chance{_whose(label, labels)}{GAP}{number(chance)}", pen.colour, False))
    _name_on_the_left(ax, named)
    _write_values(ax, rows, strokes)
    rungs = RUNGS if any(pair.ladder.centred is not None for pair in pairs) else RUNGS[:CENTRED]
    if rungs is RUNGS:
        ax.axvline(CENTRED - 0.5, color=GRID, linewidth=1)
    ax.set_xlim(-0.2, len(rungs) - 0.55)
    ax.set_xticks(range(len(rungs)), rungs)
    ax.set_yticks([])
    dress(ax, shown.title, x=_footnote(labels, chances, top, rungs is RUNGS), room=0.56)


def _top(pairs: Sequence[PairReport]) -> float:
    """The largest rung, or chance if it is not far above."""
    rungs = max(max(pair.ladder.raw, pair.ladder.centred or 0.0) for pair in pairs)
    chances = (pair.null.transfer_loss or 0.0 for pair in pairs)
    return max(rungs, *(chance for chance in chances if chance <= FAR * rungs), 1e-300)


def _loss_scale(ax: Axes, known: Sequence[float], top: float) -> None:
    """Linear from 0; where values are some hundredfold apart, logarithmic with 0 at the bottom."""
    positive = [value for value in known if value > 0]
    if positive and top > HUNDREDFOLD * min(positive):
        ax.set_yscale("symlog", linthresh=min(positive), linscale=0.5)
        ax.set_ylim(0, top * 3)
    else:
        ax.set_ylim(0, 1.08 * top)
    ax.yaxis.minorticks_off()


def _name_on_the_left(ax: Axes, named: Sequence[tuple[float, str, str, bool]]) -> None:
    places = spread(heights(ax, [value for value, *_ in named]), line_height(ax))
    for (_, text, colour, line), place in zip(named, places):
        ax.text(
            -0.015, place, text, transform=ax.transAxes, va="center", ha="right", fontsize=SMALL, color=colour,
            fontweight="bold" if line else "normal",
        )  # fmt: skip


def _write_values(ax: Axes, rows: Sequence[Sequence[float | None]], strokes: Sequence[Stroke]) -> None:
    """Values above and right of their dots, where a falling line never runs; the first stands with the name."""
    for x in range(1, len(RUNGS)):
        said: dict[str, tuple[float, str]] = {}  # what several lines share is written once, in nobody's colour
        for row, pen in zip(rows, strokes):
            if (value := row[x]) is not None:
                text = number(value)
                shared = text in said and said[text][1] != pen.colour
                said[text] = (value, SOFT if shared else pen.colour)
        places = stacked(heights(ax, [value for value, _ in said.values()]), line_height(ax))
        for (text, (_, colour)), place in zip(said.items(), places):
            ax.annotate(
                text,
                (x, place),
                xycoords=ax.get_xaxis_transform(),
                xytext=(5, 7),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=colour,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )


def _whose(label: str, labels: Sequence[str]) -> str:
    return f", {shortened(label, 18)}" if len(labels) > 1 else ""


def _footnote(labels: Sequence[str], chances: Sequence[float | None], top: float, aside: bool) -> str:
    said = ["0 = the teacher's kernel"]
    if any(chance is not None and chance <= top for chance in chances):
        said[0] += "; dashed: examples shuffled"
    far = [f"{number(c)}{_whose(label, labels)}" for label, c in zip(labels, chances) if c is not None and c > top]
    if far:
        said.append(f"chance beyond the top: {'; '.join(far)}")
    if aside:
        said.append("* relative to the teacher's kernel without its mean")
    return "\n".join(said)


def classes(ax: Axes, shown: OnePair) -> None:
    """Share of ‖K_S − K_T‖² of every pair of classes, L × L."""
    from matplotlib.colors import LinearSegmentedColormap

    pair = shown.pair
    assert pair.classes is not None
    shares = 100 * np.asarray(pair.classes.loss)
    names = [shortened(name, 12) for name in pair.classes.names]
    colours = LinearSegmentedColormap.from_list("share", ["#f4f6f9", "#9cc3e0", "#2f7fb8", "#0b3c5d"])
    top = max(float(shares.max(initial=0.0)), 1e-12)
    ax.imshow(shares, cmap=colours, vmin=0, vmax=top, aspect="equal", interpolation="nearest")
    if len(names) <= MOST_CLASSES_WRITTEN:
        for (i, j), share in np.ndenumerate(shares):
            light = share > 0.55 * top
            ax.text(
                j, i, f"{share:.1f}", ha="center", va="center", fontsize=6, in_layout=False,
                color="#ffffff" if light else "#1f2933",
            )  # fmt: skip
    dress(ax, shown.title, grid="")
    step = max(1, len(names) // MOST_CLASSES_NAMED)
    places, written = range(0, len(names), step), names[::step]
    crowded = len(written) > MOST_CLASSES_WRITTEN or max(map(len, written), default=0) > 3
    ax.set_xticks(places, written, rotation=90 if crowded else 0)
    ax.set_yticks(places, written)
    ax.set_xlabel(f"percent of the squared difference, class by class; darkest {top:.1f}%", color=SOFT, fontsize=SMALL)


def anova(ax: Axes, shown: Pairs) -> None:
    """Shares of ‖K_S − K_T‖²: what class means see of it, and the rest, one bar a pair."""
    parts = (
        ("between class means", INK, PAPER),
        ("means against members", SOFT, PAPER),
        ("within classes: unseen by the centres", GRID, INK),
    )
    pairs = shown.pairs
    places = np.arange(len(pairs))[::-1]
    left = np.zeros(len(pairs))
    shares = np.array([[p.anova.mean_mean, p.anova.mean_within, p.anova.within_within] for p in pairs if p.anova])
    for (part, colour, text), column in zip(parts, shares.T):
        ax.barh(places, column, left=left, height=0.56, color=colour, edgecolor=PAPER, linewidth=1, label=part)
        for place, start, share in zip(places, left, column):
            if share >= 0.08:
                middle = start + share / 2
                ax.text(
                    middle, place, f"{share:.0%}", ha="center", va="center", fontsize=SMALL, color=text, in_layout=False
                )
        left = left + column
    dress(ax, shown.title, grid="")
    ax.set_xlim(0, max(1.0, float(left.max(initial=0.0))))
    ax.set_ylim(-0.6, len(pairs) - 0.4)
    ax.set_xticks([])
    ax.set_yticks(places, [shortened(label, 22) for label in shown.labels])
    ax.spines["bottom"].set_visible(False)
    ax.legend(
        loc="upper left", bbox_to_anchor=(-0.01, -0.02), ncols=1, frameon=False, fontsize=SMALL, handlelength=1,
        borderaxespad=0.2,
    )  # fmt: skip
