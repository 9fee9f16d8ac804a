"""Figures of the paper's theory: Theorem 2 term by term, and every bound beside the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.rendering.plots.canvas import INK, PAPER, SMALL, SOFT, dress, log_ticks, shortened
from kernelscope.report.bounds import PRINTED, TITLES
from kernelscope.report.digits import multiple, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import OnePair, Pairs
    from kernelscope.report.fields import BoundValue, PairReport

TERMS = ("the loss itself", "term A, student", "term A, teacher", "term B, class centres", "Theorem 2, their sum")


def theorem2(ax: Axes, shown: Pairs) -> None:
    """The loss, Theorem 2's terms n·e·A_S, n·e·A_T and B, and its bound, all over ‖K_T‖, as bars on a log scale."""
    rows = [row for pair in shown.pairs if (row := _theorem2_terms(pair))]
    positive = [value for row in rows for value in row if value > 0]
    low, high = min(positive, default=1.0) / 4, max(positive, default=1.0)
    thick = 0.78 / max(1, len(rows))
    for i, (row, label, pen) in enumerate(zip(rows, shown.labels, shown.strokes)):
        places = -np.arange(len(TERMS)) - (i - (len(rows) - 1) / 2) * thick
        ax.barh(
            places, [max(v, low) - low for v in row], left=low, height=0.86 * thick, color=pen.colour, alpha=pen.shade
        )
        for term, (place, value) in enumerate(zip(places, row)):
            said = number(value, 2) + (f"\u00a0 {shortened(label)}" if term == 0 and len(rows) > 1 else "")
            ax.text(max(value, low) * 1.15, place, said, va="center", ha="left", fontsize=SMALL - 1, color=INK)
    ax.set_xscale("log")
    ax.set_xlim(low, high * max(4.0, (high / low) ** 0.16))
    ax.set_yticks(-np.arange(len(TERMS)), TERMS)
    dress(ax, shown.title, x="in units of the loss, on a log scale", grid="x")
    log_ticks(ax, "x")


def _theorem2_terms(pair: PairReport) -> list[float]:
    if pair.paper is None or pair.paper.theorem2 is None:
        return []
    t = pair.paper.theorem2
    n_e = pair.n * t.e
    terms = (pair.norm_difference, n_e * t.term_a_student, n_e * t.term_a_teacher, t.term_b, t.bound)
    return [term / pair.norm_teacher for term in terms]


def comparable(pair: PairReport, most: float = math.inf) -> list[tuple[str, BoundValue, float]]:
    """(name, bound, bound / truth) of every bound with a place on a log scale."""
    if pair.paper is None or pair.norm_difference <= 0:
        return []
    found = ((name, pair.paper.bounds.get(name)) for name in TITLES)
    return [(name, b, b.over_truth) for name, b in found if b and b.over_truth and 0 < b.over_truth < most]


def bounds(ax: Axes, shown: OnePair) -> None:
    """Every bound over the truth on a log scale: printed ones open, corrected ones filled, vacuous ones named."""
    pair, pen = shown.pair, shown.stroke
    rows = comparable(pair)
    factors = [factor for _, _, factor in rows]
    low, high = min([*factors, 1.0]), max([*factors, 1.0])
    room = max(2.0, (high / low) ** 0.1)
    free = min(math.hypot(pair.norm_student, pair.norm_teacher) / pair.norm_difference, high * room)
    ax.axvspan(free, high * room * 2, color=SOFT, alpha=0.09, linewidth=0)
    ax.axvline(1, color=INK, linewidth=1.2)
    for place, (name, b, factor) in enumerate(rows):
        colour = SOFT if name in PRINTED else pen.colour
        ax.plot([1, factor], [-place, -place], color=colour, linewidth=1.4, alpha=0.5, zorder=2)
        ax.plot(
            [factor], [-place], "o" if b.holds else "X", markersize=7, color=colour, zorder=3,
            markerfacecolor=PAPER if name in PRINTED and b.holds else colour, markeredgewidth=1.5,
        )  # fmt: skip
        said = (
            multiple(factor) + ("" if b.holds else "\u00a0 fails") + ("\u00a0 vacuous" if b.vacuous and b.holds else "")
        )
        beside = ax.get_yaxis_transform()
        ax.text(1.02, -place, said, transform=beside, va="center", ha="left", fontsize=SMALL, color=INK)
    ax.set_xscale("log")
    ax.set_xlim(low / room, high * room)
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.set_yticks([-place for place in range(len(rows))], [TITLES[name] for name, *_ in rows])
    dress(
        ax, shown.title, grid="x", room=0.56,
        x="bound / truth, on a log scale\nopen: as printed, filled: corrected, cross: fails\n"
        "grey: no better than the two norms alone",
    )  # fmt: skip
    log_ticks(ax, "x")
