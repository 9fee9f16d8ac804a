"""Figures of eigenvalues: the landmarks' kernels W, and the signed difference of the two kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.rendering.plots.canvas import INK, PAPER, SMALL, SOFT, dress, label_ends, log_ticks, shortened
from kernelscope.report.digits import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import OnePair, Pairs
    from kernelscope.report.fields import LandmarkSpectrum

LEADING = 12  #: eigenvalues of the difference that are drawn


def landmark_spectrum(ax: Axes, shown: Pairs) -> None:
    """Eigenvalues of W_T and W_S, descending, on a log scale, with the line at 1 that the paper assumes them above."""
    lines: list[tuple[str, LandmarkSpectrum, str, str]] = []
    teachers: dict[str, LandmarkSpectrum] = {}
    for pair in shown.pairs:
        if pair.landmark_spectrum is not None:
            teachers.setdefault(pair.teacher_layer, pair.landmark_spectrum.teacher)
    for layer, spectrum in teachers.items():
        lines.append((f"teacher {layer}" if len(teachers) > 1 else "teacher", spectrum, INK, "."))
    for pair, label, pen in zip(shown.pairs, shown.labels, shown.strokes):
        if pair.landmark_spectrum is not None:
            lines.append((label, pair.landmark_spectrum.student, pen.colour, pen.marker))
    positive = [v for _, spectrum, _, _ in lines for v in spectrum.eigenvalues[: spectrum.rank] if v > 0]
    low, high = min([*positive, 1.0]), max([*positive, 1.0])
    ax.set_yscale("log")
    ax.set_ylim(low / 3, high * 2)
    most = max((len(spectrum.eigenvalues) for _, spectrum, _, _ in lines), default=1)
    size = 5 if most <= 40 else 2.5
    ends = [(1.0, "1: assumed above", SOFT)]
    for label, spectrum, colour, marker in lines:
        seen = spectrum.eigenvalues[: spectrum.rank]
        ax.plot(range(1, len(seen) + 1), seen, color=colour, marker=marker, markersize=size, linewidth=1.4, zorder=3)
        rest = range(len(seen) + 1, len(spectrum.eigenvalues) + 1)
        ax.plot(rest, [low / 2] * len(rest), "v", color=colour, markerfacecolor=PAPER, markersize=size, zorder=3)
        end = seen[-1] if seen and not rest else low / 2
        ends.append((end, f"{shortened(label, 22)}\u00a0 {number(spectrum.min)}", colour))
    ax.axhline(1.0, color=SOFT, linewidth=1.1, dashes=(4, 3))
    zeros = any(spectrum.rank < len(spectrum.eigenvalues) for _, spectrum, _, _ in lines)
    dress(
        ax, shown.title, x="strongest first; beside each line its smallest"
        + ("\nopen triangles: zero to rounding" if zeros else ""),
        y="eigenvalue of W",
    )  # fmt: skip
    log_ticks(ax, "y")
    ax.set_xlim(0.5, most + 0.5)
    _whole_ticks(ax)
    label_ends(ax, ends)


def difference_spectrum(ax: Axes, shown: OnePair) -> None:
    """Eigenvalues of K_S − K_T over ‖K_T‖: above 0 what the student added, below 0 what it lost."""
    pair, pen = shown.pair, shown.stroke
    spectrum = pair.difference_spectrum
    assert spectrum is not None
    values = [value / pair.norm_teacher for value in spectrum.eigenvalues]
    added = sorted((v for v in values if v > 0), reverse=True)[:LEADING]
    lost = sorted(v for v in values if v < 0)[:LEADING]
    for part, colour in ((added, pen.colour), (lost, INK)):
        ax.vlines(range(1, len(part) + 1), 0, part, color=colour, linewidth=2)
        ax.plot(range(1, len(part) + 1), part, "o", color=colour, markersize=4)
    reach = max([abs(v) for v in (*added, *lost)], default=1.0) or 1.0
    ax.set_ylim(-1.15 * reach if lost else -0.3 * reach, 1.15 * reach if added else 0.3 * reach)
    ax.set_xlim(0.3, max(len(added), len(lost), 5) + 0.7)
    squares = sum(v * v for v in values) or 1.0
    for part, word, count, place, colour in (
        ([v for v in values if v > 0], "added by the student", spectrum.positive, 0.96, pen.colour),
        ([v for v in values if v < 0], "lost from the teacher", spectrum.negative, 0.04, INK),
    ):
        share = sum(v * v for v in part) / squares
        said = "under 1%" if 0 < share < 0.01 else percent(share, 0)
        ax.text(
            0.98, place, f"{word}: {said} in {count} direction{'' if count == 1 else 's'}", transform=ax.transAxes,
            ha="right", va="top" if place > 0.5 else "bottom", fontsize=SMALL, color=colour,
        )  # fmt: skip
    dress(
        ax,
        shown.title,
        x=f"strongest {LEADING} of each sign\npercent: share of the squared difference",
        y="eigenvalue / ‖K_T‖",
    )
    ax.axhline(0, color=SOFT, linewidth=0.8)
    ax.spines["bottom"].set_visible(False)
    _whole_ticks(ax)


def _whole_ticks(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
