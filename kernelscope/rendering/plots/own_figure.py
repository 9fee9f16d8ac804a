"""A figure that notebooks show, though pyplot does not know of it."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 110


class OwnFigure(Figure):
    """What every figure here is drawn on, unless axes are given: no window, no pyplot, and a picture in a notebook."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=DPI)
        return stream.getvalue()
