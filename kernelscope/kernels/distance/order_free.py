"""Gram sums that are the same bits in any order of rows and blocks, on any number of threads (docs/theory.md 3.12).

Rows are whole numbers ``k`` of 30 bits with their sign (:mod:`kernelscope.kernels.distance.column_grid`), cut into two
halves, ``k = 2^15 h + l`` with |h|, |l| <= 2^14. Products of halves, and of their sums, have 30 bits at most, and
double precision adds 2^23 of them without rounding, so that

    kᵀk = 2^30 hᵀh + 2^15 [(h + l)ᵀ(h + l) − hᵀh − lᵀl] + lᵀl

is exact whatever the BLAS does, at three times the cost of a plain Gram. Sums of several passes over rows on one grid,
each in two parts, are added without error too, by :func:`kernelscope.kernels.rounding.added`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.accumulate import CPU
from kernelscope.kernels.distance.column_grid import BITS, worth
from kernelscope.kernels.rounding import Two, added

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.distance.column_grid import Grid
    from kernelscope.kernels.rows import Key, Rows

HALF = BITS // 2
MOST_ROWS = 2**22  #: whose products are added before they are put in two parts: half of what would still be exact
CACHED_ROWS = 1024  #: cut and multiplied together, so that what is formed of them is in memory that is there already
_CUT = 1.5 * 2.0 ** (52 + HALF)  #: adding it and taking it off rounds to multiples of 2^15


class WholeProducts:
    """``Σ AᵀB`` of whole numbers of at most 30 bits, exactly."""

    def __init__(self, *shape: int) -> None:
        self._high, self._low, self._both, self._block = (np.zeros(shape) for _ in range(4))
        self._rows, self._before = 0, (np.zeros(shape), np.zeros(shape))

    def add(self, A: tuple[np.ndarray, ...], B: tuple[np.ndarray, ...]) -> None:
        """Of rows cut in :func:`halves`; with A itself for B the products are symmetric."""
        if self._rows + len(A[0]) > MOST_ROWS:
            self._before = self.in_two()
            for total in (self._high, self._low, self._both):
                total[...] = 0
            self._rows = 0
        for total, a, b in zip((self._high, self._low, self._both), A, B):
            total += CPU.product(a, b, out=self._block)
        self._rows += len(A[0])

    def in_two(self) -> tuple[np.ndarray, np.ndarray]:
        """The sum rounded, and the rest: together exact, and one and the same for one sum."""
        high, low = self._high, self._low
        parts = (high * 2.0 ** (2 * HALF), (self._both - high - low) * 2.0**HALF, low)
        return exact_sum([self._before, *((part, np.zeros_like(part)) for part in parts)])


def halves(k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h, l and h + l of whole numbers ``k = 2^15 h + l``."""
    with np.errstate(invalid="ignore"):  # features that are not finite are named later
        high = k + _CUT
        high -= _CUT
        low = k - high
        high *= 2.0**-HALF
        return high, low, high + low


def exact_sum(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of numbers in two parts each, exact where it and they have at most 105 bits above one common unit."""
    total: Two = parts[0]
    for part in parts[1:]:
        total = added(total, part)
    assert total[1] is not None
    return total[0], total[1]


class OrderFreeHalf:
    """Sums over some of the rows, which are whole numbers on a grid."""

    def __init__(self, layers: Mapping[Key, Rows], widths: tuple[int, int], grid: Grid) -> None:
        self._grid, self._keys = grid, tuple(layers)
        self._own = {key: WholeProducts(X.shape[1], X.shape[1]) for key, X in layers.items()}
        self._sums = {key: (np.zeros(X.shape[1]), np.zeros(X.shape[1])) for key, X in layers.items()}
        self._cross = WholeProducts(*widths)

    def add(self, rows: dict[Key, np.ndarray]) -> None:
        for start in range(0, len(next(iter(rows.values()))), CACHED_ROWS):
            self._add({key: part[start : start + CACHED_ROWS] for key, part in rows.items()})

    def _add(self, rows: dict[Key, np.ndarray]) -> None:
        cut = {key: halves(part) for key, part in rows.items()}
        for key, part in cut.items():
            self._own[key].add(part, part)
            total = CPU.product(rows[key], np.ones(len(rows[key])))  # of whole numbers below 2^53, so exact
            self._sums[key] = exact_sum([self._sums[key], (total, np.zeros_like(total))])
        S, T = (_side_by_side([part for (role, _), part in cut.items() if role == of]) for of in ("student", "teacher"))
        self._cross.add(S, T)

    def own(self, key: Key) -> Two:
        powers = self._grid.powers(key)
        return worth(self._own[key].in_two(), powers[:, None] + powers)

    def sums(self, key: Key) -> Two:
        return worth(self._sums[key], self._grid.powers(key))

    def cross(self) -> Two:
        S, T = (
            np.concatenate([self._grid.powers(k) for k in self._keys if k[0] == of]) for of in ("student", "teacher")
        )
        return worth(self._cross.in_two(), S[:, None] + T)

    def lengths(self, key: Key) -> list[tuple[float, float]]:
        return []


def _side_by_side(parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return parts[0] if len(parts) == 1 else tuple(np.hstack(each) for each in zip(*parts))
