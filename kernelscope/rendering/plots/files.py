"""Figures on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope import files
from kernelscope.errors import UsageError, shown

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")


def require_figure(path: Path) -> None:
    """A path that a figure can be written to.

    Raises:
        UsageError: a name that ends otherwise.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{shown(path)} is no place for a figure; name a file that ends in {', '.join(FORMATS)}")


def save_figure(ax: Axes, path: Path) -> None:
    """Write the figure of some axes, whole or not at all."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    files.write_by(path, lambda stream: figure.savefig(stream, format=path.suffix[1:], dpi=150))
