"""Whether features are the same for all examples but for rounding: such a network has no centred kernel."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.rows import bounded_blocks, storage_roundoff

if TYPE_CHECKING:
    from kernelscope.kernels.rows import Rows


class Constancy:
    """Whether every column is the same in all rows seen: ``max x_i − min x_i <= 4 u max |x_i|``, u the stored type's.

    ``extremes``: the least and the largest entry of every column, shape ``(2, d)``; None of no rows. Once some column
    has shown another number they are no longer kept.
    """

    def __init__(self, X: Rows, extremes: np.ndarray | None = None, so_far: bool = True) -> None:
        self.so_far, self.extremes = so_far, extremes
        self._slack = 4 * max(storage_roundoff(X), UNIT_ROUNDOFF)

    @property
    def zero(self) -> bool:
        """Whether all rows seen are zero."""
        return self.so_far and self.extremes is not None and not self.extremes.any()

    def and_of(self, other: Constancy) -> Constancy:
        """Of the rows that either has seen, in a new value."""
        both = copy.copy(self)
        if other.extremes is not None:
            both.see(other.extremes)
        both.so_far = both.so_far and other.so_far
        return both

    def seen_as(self, so_far: bool, extremes: np.ndarray | None = None) -> Constancy:
        """Of other rows of the same type, in a new value."""
        other = copy.copy(self)
        other.so_far, other.extremes = so_far, extremes
        return other

    def see(self, block: np.ndarray) -> None:
        if not self.so_far or len(block) == 0:
            return
        found = np.array([np.min(block, axis=0), np.max(block, axis=0)], np.float64)
        if self.extremes is not None:
            found = np.array([np.minimum(found[0], self.extremes[0]), np.maximum(found[1], self.extremes[1])])
        self.extremes = found
        with np.errstate(invalid="ignore", over="ignore"):  # what is infinitely far is not constant either
            apart = found[1] - found[0]
            self.so_far = bool(np.all(apart <= self._slack * np.max(np.abs(found), axis=0)))  # NaN is nothing constant


def is_constant(X: Rows) -> bool:
    """Whether all rows are the same but for rounding; stops at the first block that shows another."""
    seen = Constancy(X)  # not shared: the first block tells, as a rule
    for _, block in bounded_blocks(X):
        seen.see(block)
        if not seen.so_far:
            return False
    return True
