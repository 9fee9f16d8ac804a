"""Draws the README's figure, for light and dark paper, from the report of ``kernelscope demo``.

kernelscope demo --out out
python docs/figures/readme_figure.py out/report.json docs/figures
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from kernelscope.rendering.plots.canvas import COLOURS, DARK, GRID, INK, SOFT, VARIABLES, heights, line_height, spread
from kernelscope.report.report import TransferReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.report.fields import PairReport

NAMES = {"ce": "plain training", "kd": "KD", "kda": "KDA"}
#: what of a student's verdict is written beside its line, and where
NOTES = {
    "ce": (r"class \S+ carries \d+% of the loss", 1.37, 0.42),
    "kd": ("a matter of scale", 0.43, 0.66),
    "kda": ("nearly all of the teacher's kernel is there", 0.33, 0.06),
}
STEPS = ("as it is", "after the\nbest scalar", "after the best\nlinear head")
LIGHT = {variable: colour for colour, variable in VARIABLES.items()}
PAPERS = {"light": LIGHT, "dark": DARK}
# text as outlines: a page that shows the file as an image has no fonts of its own to offer
STYLE = {"svg.fonttype": "path", "svg.hashsalt": "readme", "font.family": "DejaVu Sans", "font.size": 10.5}


def draw(report: TransferReport, paper: dict[str, str]) -> Figure:
    """Loss of each student as it is, rescaled, and under a linear head, with chance and the interval over examples."""
    pairs = [pair for pair in report if pair.student_layer == "embedding"]
    figure = Figure(figsize=(7.6, 3.9), layout="constrained")
    ax = figure.subplots()
    ax.set_facecolor("none")
    ax.set_xlim(-0.62, 2.3)
    ax.set_ylim(0, 1.02)
    for pair, colour in zip(pairs, COLOURS):
        _one_student(ax, pair, paper[VARIABLES[colour]])
    _names(ax, pairs, paper)
    _ends(ax, pairs, paper)
    ax.set_xticks(range(len(STEPS)), STEPS, color=paper[VARIABLES[INK]])
    ax.set_yticks([0, 0.5, 1], ["teacher's kernel 0", "0.5", "all-zero student 1"], color=paper["soft"])
    ax.tick_params(length=0, pad=7, axis="x")
    ax.tick_params(length=0, pad=5, axis="y", labelsize=9)
    ax.grid(axis="y", color=paper[VARIABLES[GRID]], linewidth=0.8)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(
        "How much of the teacher's kernel is missing, and what would repair it",
        loc="left", x=-0.19, fontsize=12, fontweight="bold", color=paper[VARIABLES[INK]], pad=14,
    )  # fmt: skip
    return figure


def _one_student(ax: Axes, pair: PairReport, colour: str) -> None:
    steps = [pair.transfer_loss, pair.ladder.scaled, pair.ladder.head or 0.0]
    ax.plot(range(len(steps)), steps, "o-", color=colour, linewidth=2.4, markersize=6, zorder=3)
    if pair.sampling_interval is not None:
        low, high = pair.sampling_interval
        ax.vlines(0, low, high, color=colour, linewidth=1.5)
        ax.hlines([low, high], -0.045, 0.045, color=colour, linewidth=1.5)
    pattern, x, y = NOTES.get(Path(pair.student).stem, ("$^", 0, 0))
    if (note := re.search(pattern, pair.verdict or "")) is not None:
        ax.text(x, y, note[0], color=colour, fontsize=9.5)
    if pair.null.transfer_loss is not None:
        ax.hlines(pair.null.transfer_loss, -0.09, 0.09, color=colour, linewidth=1.8, linestyle=(0, (2, 1)), zorder=2)


def _names(ax: Axes, pairs: list[PairReport], paper: dict[str, str]) -> None:
    """Left of the first points: whose they are, and the loss; and what the dashes above them are."""
    named = [(pair.transfer_loss, _name(pair), paper[VARIABLES[c]], "bold") for pair, c in zip(pairs, COLOURS)]
    chances = [pair.null.transfer_loss or 0.0 for pair in pairs]
    named.append((max(chances), "chance (dashed)", paper[VARIABLES[SOFT]], "normal"))
    places = spread(heights(ax, [value for value, *_ in named]), line_height(ax, 10.5))
    for (_, text, colour, weight), place in zip(named, places):
        ax.text(
            -0.14, place, text, transform=ax.get_xaxis_transform(), ha="right", va="center", color=colour,
            fontweight=weight,
        )  # fmt: skip


def _ends(ax: Axes, pairs: list[PairReport], paper: dict[str, str]) -> None:
    """The values after each repair, moved apart where they collide."""
    for x, values in ((1, [p.ladder.scaled for p in pairs]), (2, [p.ladder.head or 0.0 for p in pairs])):
        places = spread(heights(ax, values), line_height(ax, 10.5))
        for value, place, colour in zip(values, places, COLOURS):
            ax.text(
                x + 0.07, place + (0.035 if x == 1 else 0), f"{value:.2f}", transform=ax.get_xaxis_transform(),
                va="center", color=paper[VARIABLES[colour]],
            )  # fmt: skip


def _name(pair: PairReport) -> str:
    stem = Path(pair.student).stem
    return f"{NAMES.get(stem, stem)}  {pair.transfer_loss:.2f}"


def main(report: Path, folder: Path) -> None:
    read = TransferReport.load(report)
    for name, paper in PAPERS.items():
        with rc_context(STYLE):
            figure = draw(read, paper)
            stream = io.StringIO()
            figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        (folder / f"readme-{name}.svg").write_text(_small(stream.getvalue()), encoding="utf-8")


def _small(svg: str) -> str:
    """Without comments, and with places to two decimals; scales of glyphs need all of theirs."""
    svg = re.sub(r" *<!--.*?-->\n", "", svg, flags=re.DOTALL)
    return re.sub(r'd="[^"]*"|translate\([^)]*\)', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), svg)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
