"""Rows made from rows as they are read, and the kernel difference of two such."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, sum_of_squares
from kernelscope.kernels.rows import BLOCK_ROWS, Rows, numpy_block
from kernelscope.kernels.tsqr import r_factor, signed_product

BLOCK_ENTRIES = 2**22  #: entries of the widest thing formed for a block of rows: 32 MB
RESOLVED = 1e-12  #: error of a kernel difference, relative to the kernels, up to which Grams are trusted


class Projected:
    """Rows ``X V``, formed block by block."""

    def __init__(self, X: Rows, V: np.ndarray) -> None:
        self.X, self.V, self.shape = X, V, (X.shape[0], V.shape[1])

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        return numpy_block(self.X, *rows.indices(self.shape[0])[:2]).astype(np.float64, copy=False) @ self.V


class Centred:
    """Rows ``X − Y D``, formed block by block."""

    def __init__(self, X: Rows, D: np.ndarray, assignment: np.ndarray) -> None:
        self.X, self.D, self.assignment, self.shape = X, D, assignment, X.shape

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        block = numpy_block(self.X, *rows.indices(self.shape[0])[:2]).astype(np.float64, copy=False)
        return less_landmark(block, self.D, self.assignment[rows])


def less_landmark(X: np.ndarray, D: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """``X − Y D``: each row less its group's landmark, unchanged where it has none."""
    own = D[groups]
    own[groups < 0] = 0
    return np.subtract(X, own, out=own)


def kernel_difference(gram: np.ndarray, d_S: int, X_S: Any, X_T: Any, *, negligible: float) -> float:
    """‖X_S X_Sᵀ − X_T X_Tᵀ‖_F from the Gram of ``[X_S, X_T]``; by one more pass (TSQR) where that would cancel.

    ``negligible``: an error of the square that does not matter.
    """
    a, b, c = frobenius(gram[:d_S, :d_S]), frobenius(gram[d_S:, d_S:]), frobenius(gram[:d_S, d_S:])
    if min(a, b) == 0:
        return max(a, b)
    squared = sum_of_squares((1.0, gram[:d_S, :d_S]), (1.0, gram[d_S:, d_S:]), (-2.0, gram[:d_S, d_S:]))
    bar = 16 * UNIT_ROUNDOFF * (a * a + b * b + 2 * c * c)  # of the entries; the largest seen is a third of it
    if bar <= negligible or (squared > 0 and bar <= 2 * RESOLVED * (a + b) * math.sqrt(squared)):
        return math.sqrt(max(0.0, squared))
    return frobenius(signed_product(r_factor(X_S, X_T), d_S))


def row_steps(n: int, width: int) -> Iterator[tuple[int, int]]:
    rows = max(64, min(BLOCK_ROWS, BLOCK_ENTRIES // max(1, width)))
    for start in range(0, n, rows):
        yield start, min(start + rows, n)
