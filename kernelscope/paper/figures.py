"""The paper's figures from our students: curves over seeds, losses, gains, bounds, correlations; each an ``<svg>``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.paper import drawing, published, words
from kernelscope.paper.cells import EMBEDDING, LOGITS, LOSSES, Cells, points
from kernelscope.paper.drawing import Line, Mark
from kernelscope.paper.plan import FIGURES, Cell
from kernelscope.paper.prediction import PREDICTORS
from kernelscope.paper.systems import SYSTEMS
from kernelscope.rendering.plots.canvas import COLOURS, INK, SOFT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernelscope.paper.corollaries import Summary
    from kernelscope.paper.findings import Findings
    from kernelscope.paper.plan import Plan
    from kernelscope.paper.prediction import Group
    from kernelscope.paper.rows import Row

Curve = dict[int, float]
MARKERS = {"raw": "o", "scaled": "D", "head_held_out": "s"}
LAYER = {"fig3b": LOGITS}  #: where a figure is not of the embedding


def of(found: Findings, figure: str) -> list[str]:
    """The drawings of one of the paper's figures or tables."""
    cells, plan = found.cells, found.study.plan
    match figure:
        case "fig2" | "fig6" | "fig7":
            drawn = [accuracy(cells, figure), losses(cells, figure)]
        case "fig3a" | "fig3b":
            drawn = [transfer_loss(cells, figure), losses(cells, figure)]
        case "fig4" | "fig5":
            drawn = [trajectories(cells, figure)]
        case _:
            shown = dict.fromkeys((cell.scene, cell.role) for cell in FIGURES[figure])
            drawn = [gains(plan, cells, figure, scene, role) for scene, role in shown]
    return [svg for svg in drawn if svg is not None]


def accuracy(cells: Cells, figure: str) -> str | None:
    """Validation accuracy by epoch."""
    lines = _lines(cells, FIGURES[figure], lambda row: dict(enumerate(row.validation_top1, start=1)))
    return drawing.curves(lines, "Accuracy while training", "validation accuracy", f"ks-{figure}") if lines else None


def transfer_loss(cells: Cells, figure: str) -> str | None:
    """Transfer loss by epoch."""
    layer = LAYER.get(figure, EMBEDDING)
    lines = _lines(cells, FIGURES[figure], lambda row: _curve(row, "transfer_loss", layer))
    title = f"Transfer loss at the {layer}"
    return drawing.curves(lines, title, "loss, validation images", f"ks-{figure}") if lines else None


def trajectories(cells: Cells, figure: str) -> str | None:
    """The estimate beside the loss (Figure 4), or the smallest eigenvalues of W (Figure 5); ours dashed."""
    if figure == "fig4":
        shown = {"transfer_loss": "loss", "expanded_estimate": "estimate, expanded", "estimate": "the paper's estimate"}
        levels, y = {}, "over ‖K_T‖ (log scale)"
    else:
        shown = {"min_eigenvalue_teacher": "teacher", "min_eigenvalue_student": "student"}
        levels = {"assumed above": published.ASSUMED_EIGENVALUE, "the paper's above": published.SMALLEST_EIGENVALUE}
        levels, y = {f"{said} {at:g}": at for said, at in levels.items()}, "smallest eigenvalue (log scale)"
    lines = []
    for colour, (key, label) in zip(COLOURS, shown.items()):
        found = _lines(cells, FIGURES[figure], lambda row, key=key: _curve(row, key, EMBEDDING))  # type: ignore[misc]
        for line in found[:1] if label == "teacher" else found:
            said = f"{label} (ours)" if line.dashed else label
            lines.append(replace(line, label=said, colour=colour))
    title = words.HEADINGS[figure]
    return drawing.curves(lines, title, y, f"ks-{figure}", log=True, levels=levels) if lines else None


def losses(cells: Cells, figure: str) -> str | None:
    """Loss as it is, after the best scalar and after a head, on test images."""
    layer, rows = LAYER.get(figure, EMBEDDING), []
    for number, cell in enumerate(FIGURES[figure]):
        marks = []
        for offset, quantity in zip((-0.24, 0.0, 0.24), LOSSES):
            found = cells.spread(cell, quantity, layer)
            if found is not None:
                ends = (found.mean - (found.sd or 0.0), found.mean + (found.sd or 0.0))
                colour, marker = COLOURS[number % len(COLOURS)], MARKERS[quantity]
                marks.append(Mark(found.mean, *ends, colour, marker, quantity == "raw", 5.5, offset))
        printed = published.LOSS_AFTER_FC.get(cell.system) if figure == "fig3b" else None
        if marks and printed is not None:
            marks.append(Mark(printed, colour=INK, marker="x"))
        if marks:
            rows.append((words.system(cell.system), marks))
    x = "loss; filled: as it is, diamond: after scalar\nsquare: after a held-out head; bar: sd over seeds"
    x += "\ncross: the paper's" if figure == "fig3b" else ""
    title = f"What is left at the {layer}"
    return drawing.dots(rows, title, x, f"ks-{figure}-losses", limits=(0, None)) if rows else None


def gains(plan: Plan, cells: Cells, figure: str, scene: str, role: str) -> str | None:
    """Accuracy above no teacher of each system, ours beside the paper's."""
    plain, rows = Cell(scene, role, "ce"), []
    for cell in FIGURES[figure]:
        pairs = cells.paired(cell, plain)
        if (cell.scene, cell.role) != (scene, role) or cell == plain or not pairs:
            continue
        each = [100 * ((a.top1 or 0.0) - (b.top1 or 0.0)) for a, b in pairs]
        colour = COLOURS[1] if SYSTEMS[cell.system].ours else COLOURS[0]
        marks = [Mark(gain, colour=colour, filled=False, size=3.5) for gain in each]
        marks.append(Mark(float(np.mean(each)), colour=colour))
        printed = published.gain(figure, role, cell.system, "ce") if figure != "digits" else None
        if printed is not None:
            marks.append(Mark(100 * printed, marker="D", filled=False, size=6))
        rows.append((words.system(cell.system), marks))
    x = "points above no teacher; small: a seed, large: mean\ndiamond: the paper's, on its own data"
    title = f"Gains of {words.student(plan, scene, role)}"
    return drawing.dots(rows, title, x, f"ks-{figure}-{scene}-{role}", line=0.0) if rows else None


def slack(bounds: Sequence[Summary]) -> str | None:
    """How many times too large each bound is: least, median and largest over students and epochs."""
    rows = []
    for found in bounds:
        if found.slack is not None:
            low, middle, high = found.slack
            colour = SOFT if found.printed else COLOURS[0]
            rows.append((found.title, [Mark(middle, low, high, colour, filled=not found.printed)]))
    x = "larger side over smaller, log scale; open: as printed\nbar: least to largest over students and epochs"
    title = "How far the bounds are from the truth"
    return drawing.dots(rows, title, x, "ks-slack", line=1.0, log=True) if rows else None


def prediction(group: Group) -> str:
    """Spearman's correlation of each number with accuracy, and its interval over methods."""
    ordered = sorted(group.found.items(), key=lambda item: -abs(item[1].value or 0.0))
    rows, said = [], []
    for name, found in ordered:
        if found.value is not None:
            colour = SOFT if found.zero else COLOURS[0]
            rows.append((PREDICTORS[name], [Mark(found.value, found.low, found.high, colour, filled=not found.zero)]))
            said.append("0" if found.zero else words.coefficient(found.value))
    title = f"{words.capital(group.scene)}, {words.within(group)}: {group.students} students of {group.methods} methods"
    x = "Spearman with test accuracy; bar: 95 % over methods\nopen: no different from 0"
    prefix = f"ks-prediction-{group.scene}-{group.epochs}-{group.within}"
    return drawing.dots(rows, title, x, prefix, line=0.0, limits=(-1.08, 1.08), said=said)


def _curve(row: Row, key: str, layer: str) -> Curve:
    """A quantity by epoch, where it is there and above 0."""
    return {epoch: point[key] for epoch, point in points(row, layer) if point[key]}


def _lines(cells: Cells, shown: Sequence[Cell], curve: Callable[[Row], Curve]) -> list[Line]:
    """A line for each cell with students, over the epochs that all of them have."""
    lines = []
    for number, cell in enumerate(shown):
        found = [curve(row) for row in cells.students(cell)]
        epochs = sorted(set.intersection(*map(set, found))) if found else []
        if not epochs:
            continue
        values = np.array([[of_seed[epoch] for epoch in epochs] for of_seed in found], float)
        sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(epochs))
        colour, ours = COLOURS[number % len(COLOURS)], SYSTEMS[cell.system].ours
        lines.append(Line(words.system(cell.system), epochs, values.mean(axis=0), sd, colour, ours))
    return lines
