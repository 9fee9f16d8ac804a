"""Agreement of every teacher layer with every student layer, the recommended pairing framed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.rendering.plots.canvas import COLOURS, GRID, INK, STYLE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.report.matching import Matching

LIGHT_TO_DARK = ["#f4f6f9", "#9cc3e0", "#2f7fb8", "#0b3c5d"]


def draw(found: Matching, ax: Axes | None = None) -> Axes:
    """Teacher layers over depth to the right, student layers downwards; candidates at chance are grey."""
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    teacher, student = found.teacher_layers, found.student_layers
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        if ax is None:
            size = (min(14.0, 2.8 + 0.4 * len(teacher)), min(12.0, 1.9 + 0.4 * len(student)))
            ax = new_axes(*size)
        values = np.full((len(student), len(teacher)), np.nan)
        for each in found.candidates:
            if each.above_chance and each.agreement is not None:
                values[student.index(each.student_layer), teacher.index(each.teacher_layer)] = each.agreement
        colours = LinearSegmentedColormap.from_list("agreement", LIGHT_TO_DARK).with_extremes(bad=GRID)
        image = ax.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="equal", interpolation="nearest")
        for pair in found.recommended:
            corner = teacher.index(pair.teacher_layer) - 0.5, student.index(pair.student_layer) - 0.5
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.2))
        ax.set_xticks(range(len(teacher)), teacher, rotation=90, fontsize=7)
        ax.set_yticks(range(len(student)), student, fontsize=7)
        ax.set_xlabel("teacher's layer")
        ax.set_ylabel("student's layer")
        ax.set_title("agreement; framed: recommended", loc="left", color=INK, fontsize=9)
        ax.get_figure(root=True).colorbar(image, ax=ax, shrink=0.8)  # type: ignore[union-attr]
    return ax
