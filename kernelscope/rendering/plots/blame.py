"""Own and total loss of every layer over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.rendering.plots.canvas import COLOURS, INK, SOFT, STYLE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.report.blame import Blame

MOST_NAMES = 40


def draw(found: Blame, ax: Axes | None = None) -> Axes:
    """Bars of what each layer adds by itself, a line of what both networks' outputs differ by there."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        if ax is None:
            ax = new_axes(max(4.8, min(14.0, 3.0 + 0.16 * len(found.layers))), 3.6)
        places = range(len(found.layers))
        named = set(found.named)
        colours = [COLOURS[1] if each.layer in named else COLOURS[0] for each in found.layers]
        ax.bar(places, [each.own or 0.0 for each in found.layers], color=colours, width=0.8, label="own")
        total = [float("nan") if each.total is None else each.total for each in found.layers]
        ax.plot(places, total, color=SOFT, marker=".", linewidth=1.2, label="total")
        ax.set_ylabel("loss of outputs")
        ax.set_xlim(-0.6, len(found.layers) - 0.4)
        ax.set_ylim(bottom=0)
        step = -(-len(found.layers) // MOST_NAMES)
        shown = [i for i in places if i % step == 0 or found.layers[i].layer in named]
        ax.set_xticks(shown, [found.layers[i].layer for i in shown], rotation=90, fontsize=6.5)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_title(f"{found.student} against {found.teacher}", loc="left", color=INK, fontsize=9)
        ax.legend(frameon=False, loc="upper left")
    return ax
