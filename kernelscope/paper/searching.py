"""Weights: every option that a system may take is tried once on training images held out, and the best is taken.

The students of a search are trained from a seed of their own on four fifths of the training images; their accuracy
on the rest decides, so that neither the test images nor the validation images of the figures had a say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernelscope import files
from kernelscope.errors import NumericalError
from kernelscope.paper.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kernelscope.paper.rows import Row

Found = dict[str, dict[str, Any]]  #: by searched system its ``tried`` and its ``chosen``


def needed(systems: Iterable[str]) -> tuple[str, ...]:
    """The systems whose options the methods of ``systems`` take."""
    return tuple(dict.fromkeys(key for name in systems for key in SYSTEMS[name].needs()))


def chosen(rows: dict[str, dict[str, Row]]) -> Found:
    """The best of each system's options, the first of equals.

    Args:
        rows: by searched system, by options, the student that was trained with them.

    Raises:
        NumericalError: every student of a system failed.
    """
    found: Found = {}
    for key, students in rows.items():
        tried = {options: row.validation_top1[-1] if row.failed is None else None for options, row in students.items()}
        alive = {options: accuracy for options, accuracy in tried.items() if accuracy is not None}
        if not alive:
            raise NumericalError(f"no weight of {key} that was tried trains ({', '.join(tried)}); lower the rate")
        found[key] = {"tried": tried, "chosen": max(alive, key=lambda options: alive[options])}
    return found


def given(options: dict[str, str]) -> Found:
    """Options that nobody searched for, as those of the methods' authors."""
    return {key: {"tried": {}, "chosen": value} for key, value in options.items()}


def options_of(found: Found) -> dict[str, str]:
    """What was chosen, by system."""
    return {key: str(of["chosen"]) for key, of in found.items()}


def write(found: dict[str, Found], folder: Path) -> None:
    """``weights.json``: by scene and system what was tried, with its accuracy, and what was chosen."""
    files.write_text(folder / "weights.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
