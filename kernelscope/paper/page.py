"""The page of a study: what the paper says and what our students say, as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope import files

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.paper.plan import Study


def write(study: Study, folder: Path) -> None:
    """Write ``folder/index.html`` and ``folder/reproduction.md``.

    Raises:
        ResourceError: the disk cannot take it.
    """
    files.write_text(folder / "index.html", "")
    files.write_text(folder / "reproduction.md", "")
