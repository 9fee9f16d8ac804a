"""Sums of products of rows, a block at a time, whose error is known whatever the BLAS does inside a block.

A block's product is finished before it is added (``beta = 0``): BLAS adds into a running matrix one panel of rows at a
time, so that the chain of roundings would be as long as its panels are many. Finished blocks are added plainly up to
64 of them, and those sums without error, so an entry sees ``rows of a block + 64 + 2`` roundings however many rows
there are. That the products inside a block are added in some order, each once, is all that is assumed of the BLAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

import numpy as np
from scipy.linalg.blas import dgemm, dgemv, dsyrk

from kernelscope.kernels.rounding import Array, two_sum

if TYPE_CHECKING:
    from collections.abc import Callable

PLAINLY = 64  #: finished blocks added plainly, before their sum is added without error
BUFFER_NUMBERS = 2**21  #: numbers of a block: large enough that adding it costs little beside forming it
MOST_ROWS, FEWEST_ROWS = 4096, 1024
STRIP = 128  #: columns of a triangle added together


def block_rows(width: int) -> int:
    """Rows per finished block of products of ``width`` columns: a power of two, so that blocks cut reads evenly."""
    fitting = BUFFER_NUMBERS // max(1, width)
    return min(MOST_ROWS, max(FEWEST_ROWS, 2 ** (fitting.bit_length() - 1) if fitting else 0))


def summation_chain(n: int, rows: int) -> int:
    """Longest chain of roundings in an entry of a sum over n rows, ``rows`` of them to a finished block."""
    blocks = -(-n // rows)
    return min(rows, n) + min(blocks, PLAINLY) + 2


class BlockSum(Generic[Array]):
    """Sum of finished blocks; NumPy arrays, or torch tensors of any device.

    Args:
        zeros: makes a sum of nothing.
        triangle: only the upper triangle of a block holds anything, and only it is added.
        plainly: how many blocks are added plainly; 1 for sums that are to be exact.
    """

    def __init__(self, zeros: Callable[[], Array], *, triangle: bool = False, plainly: int = PLAINLY) -> None:
        self._zeros: Callable[[], Array] = zeros
        self._triangle, self._plainly = triangle, plainly
        self._plain: Array = zeros()
        self._blocks = 0
        self._others: tuple[Array, Array] | None = None  # leading part and rest of the blocks added without error

    def add(self, block: Array) -> None:
        if self._blocks == self._plainly:
            self._keep()
        self._blocks += 1
        if not self._triangle:
            self._plain += block
            return
        for start in range(0, len(block), STRIP):
            stop = start + STRIP
            # strips of columns down to the diagonal: below it syrk leaves zeros
            self._plain[:stop, start:stop] += block[:stop, start:stop]

    def _keep(self) -> None:
        """Add the plain sum to the others without error, and begin another."""
        self._others = self.in_two()
        self._plain, self._blocks = self._zeros(), 0

    def total(self) -> Array:
        """The sum so far, rounded once."""
        if self._others is None:
            return self._plain
        high, low = self.in_two()
        rounded: Array = high + low
        return rounded

    def in_two(self) -> tuple[Array, Array]:
        """The sum so far as a leading part and the rest."""
        if self._others is None:
            return self._plain, self._zeros()
        with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
            high, lost = two_sum(self._others[0], self._plain)
            return high, self._others[1] + lost


class OwnSum:
    """``Σ BᵀB`` and column sums of rows of width d, by SciPy's BLAS; only a triangle is formed.

    One BLAS throughout: NumPy brings another, whose idle threads would fight this one's for the cores.
    """

    def __init__(self, d: int, means: bool = True) -> None:
        self._products, self._block = BlockSum(lambda: _zeros(d, d), triangle=True), _zeros(d, d)
        self._sums = BlockSum(lambda: np.zeros(d)) if means else None

    def add(self, rows: np.ndarray) -> None:
        """Add one block of rows, as the transpose ``(d, b)`` of a contiguous float64 array, which is not copied."""
        if rows.shape[1] == 0:
            return
        # beta = 0 finishes the block: with beta = 1 BLAS would round once per panel into the running sum
        self._products.add(dsyrk(1.0, rows, 0.0, self._block, overwrite_c=1))
        if self._sums is not None:
            self._sums.add(dgemv(1.0, rows, np.ones(rows.shape[1])))

    @property
    def sums(self) -> np.ndarray | None:
        return None if self._sums is None else np.asarray(self._sums.total())

    def gram(self) -> np.ndarray:
        return mirrored(self._products.total())


class CrossSum:
    """``Σ B_SᵀB_T`` of two networks."""

    def __init__(self, d_S: int, d_T: int) -> None:
        self._products, self._block = BlockSum(lambda: _zeros(d_S, d_T)), _zeros(d_S, d_T)

    def add(self, student: np.ndarray, teacher: np.ndarray) -> None:
        if student.shape[1]:
            self._products.add(dgemm(1.0, student, teacher, 0.0, self._block, trans_b=1, overwrite_c=1))

    def total(self) -> np.ndarray:
        return np.asarray(self._products.total())


class PairSum:
    """``Σ ZᵀZ`` and column sums of both networks side by side, ``Z = [X_S, X_T]``, in one product a block."""

    def __init__(self, d_S: int, d_T: int, means: bool) -> None:
        self._own, self._d_S = OwnSum(d_S + d_T, means), d_S
        self._buffer = np.empty((block_rows(d_S + d_T), d_S + d_T))

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        for start in range(0, len(X_S), len(self._buffer)):
            stop = min(start + len(self._buffer), len(X_S))
            Z = self._buffer[: stop - start]
            Z[:, : self._d_S], Z[:, self._d_S :] = X_S[start:stop], X_T[start:stop]
            self._own.add(Z.T)

    @property
    def sums(self) -> np.ndarray | None:
        return self._own.sums

    def gram(self) -> np.ndarray:
        return self._own.gram()


class TorchPairSum:
    """The same on another device, in double precision."""

    def __init__(self, d_S: int, d_T: int, means: bool, device: str) -> None:
        import torch

        p = d_S + d_T
        self._device = device

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._products = BlockSum(lambda: zeros(p, p))
        self._sums = BlockSum(lambda: zeros(p)) if means else None

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        import torch

        for start in range(0, len(X_S), MOST_ROWS):
            rows = slice(start, start + MOST_ROWS)
            Z = torch.from_numpy(np.hstack([X_S[rows], X_T[rows]])).to(self._device, torch.float64)
            self._products.add(Z.T @ Z)
            if self._sums is not None:
                self._sums.add(Z.sum(0))

    @property
    def sums(self) -> np.ndarray | None:
        return None if self._sums is None else np.asarray(self._sums.total().cpu().numpy())

    def gram(self) -> np.ndarray:
        return np.asarray(self._products.total().cpu().numpy())


def mirrored(triangle: np.ndarray) -> np.ndarray:
    """A symmetric matrix from its upper triangle; syrk leaves the lower one 0."""
    with np.errstate(invalid="ignore"):  # NaN features are reported by name later
        whole: np.ndarray = triangle + triangle.T - np.diag(np.diag(triangle))
    return whole


def _zeros(rows: int, columns: int) -> np.ndarray:
    return np.zeros((rows, columns), order="F")
