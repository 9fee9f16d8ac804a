"""What a row is: an example, pooled over its positions, or one of its positions."""

from __future__ import annotations

import re
from typing import NamedTuple

from kernelscope.errors import UsageError, one_line

POOLS = ("auto", "flatten", "avg", "max", "cls", "last", "mean")
POSITIONS = ("token", "patch")  #: instead of pooling, every position is a row
_GRID = re.compile(r"grid:(\d{1,4})x(\d{1,4})")


class Grid(NamedTuple):
    """Cells that a map is averaged down to, so that maps of other sizes have as many."""

    height: int
    width: int


def grid_of(pooling: str | None) -> Grid | None:
    """The grid of ``grid:HxW``; None for other poolings.

    Raises:
        UsageError: a grid that is written otherwise, or without cells.
    """
    if pooling is None or not pooling.startswith("grid"):
        return None
    written = _GRID.fullmatch(pooling)
    grid = Grid(*map(int, written.groups())) if written else Grid(0, 0)
    if not all(grid):
        raise UsageError(f"pooling {one_line(pooling, 40)!r} is not grid:HxW; write for example grid:7x7")
    return grid


def unit_of(pooling: str | None) -> str:
    """``example``, ``token`` or ``patch``."""
    if grid_of(pooling) is not None:
        return "patch"
    return pooling if pooling in POSITIONS else "example"


def require_known(pooling: str) -> None:
    """Refuse a pooling that there is not.

    Raises:
        UsageError: with those there are.
    """
    if pooling in (*POOLS, *POSITIONS) or grid_of(pooling) is not None:
        return
    known = ", ".join((*POOLS, *POSITIONS))
    raise UsageError(f"unknown pooling {one_line(pooling, 40)!r}; choose one of {known}, grid:HxW")
