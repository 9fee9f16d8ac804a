"""Names of networks in figures, where there is little room: cut so that they can still be told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

from kernelscope.rendering.wording import short_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.report.report import TransferReport

MOST = 16  #: characters; the least that any figure has room for
LONGEST_SUFFIX = 12  #: of a file's name, ``.safetensors``


def names_in_figures(report: TransferReport) -> dict[str, str]:
    """Short names; one that is too long loses its suffix, then its middle, or all but where it differs from others."""
    names = {key: _without_suffix(name) if len(name) > MOST else name for key, name in short_names(report).items()}
    cut = {key: _without_middle(name) for key, name in names.items()}
    times = Counter(cut.values())
    return {key: text if times[text] == 1 else _around(names[key], names.values()) for key, text in cut.items()}


def _without_suffix(name: str) -> str:
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if 1 < len(suffix) <= LONGEST_SUFFIX else name


def _without_middle(name: str) -> str:
    return name if len(name) <= MOST else f"{name[: MOST // 3]}…{name[-(MOST - MOST // 3 - 1) :]}"


def _around(name: str, names: Iterable[str]) -> str:
    """The part of a name that begins a little before it differs from the one most like it."""
    differs = max((_alike(name, other) for other in names if other != name), default=0)
    first = max(0, min(differs - 4, len(name) - MOST + 1))
    seen = name[first : first + MOST - 2]
    return f"{'…' if first else ''}{seen}{'…' if first + len(seen) < len(name) else ''}"


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
