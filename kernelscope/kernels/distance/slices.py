"""Gram sums beyond double precision for rows that are read once: two slices of every number (docs/theory.md 3.7).

Of a block's column with largest entry below 2^e, ``H`` keeps 20 bits below 2^e and ``L = Z − H`` the rest, exactly.
Over at most 4,096 rows ``HᵀH`` is exact in double precision (2 · 20 + 12 bits), and

    ZᵀZ − HᵀH = sym(Lᵀ (H + Z)),        Z_SᵀZ_T − H_SᵀH_T = ½ [L_Sᵀ (H_T + Z_T) + (H_S + Z_S)ᵀ L_T]

are products whose rounding is 2⁻²⁰ smaller. One syrk and one gemm where a plain Gram takes one syrk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dgemm, dgemv, dsyrk

from kernelscope.kernels.distance.accumulate import BlockSum, mirrored
from kernelscope.kernels.rounding import gamma

BITS = 20
MOST_ROWS = 2 ** (52 - 2 * BITS)
LIMITS = (1e-60, 1e60)  #: kernel norms for which no square of a slice leaves double precision: all float32 features


@dataclass(frozen=True, eq=False)
class Sliced:
    """A block's rows as transposes ``(d, b)``: leading slice H, rest L, and ``both`` = H + Z."""

    H: np.ndarray
    L: np.ndarray
    both: np.ndarray

    @property
    def lengths(self) -> tuple[float, float]:
        """‖L‖_F and ‖H + Z‖_F; without NumPy's BLAS, whose threads would fight SciPy's for the cores."""
        squares = (float(np.einsum("ij,ij->", part, part)) for part in (self.L, self.both))
        low, both = (math.sqrt(square) for square in squares)
        return low, both


def sliced(rows: np.ndarray) -> Sliced:
    """Cut a block ``(b, d)``, b at most :data:`MOST_ROWS`."""
    Z = np.asarray(rows, np.float64)
    largest = np.maximum(Z.max(axis=0, initial=0.0), -Z.min(axis=0, initial=0.0))
    power = np.ldexp(1.0, np.frexp(np.where(largest > 0, largest, 1.0))[1])
    rounder = power * (1.5 * 2.0 ** (52 - BITS))  # adding it and taking it off rounds to multiples of power / 2^BITS
    # two steps in this order: (Z + rounder) is where the rounding happens
    H = Z + rounder
    H -= rounder
    return Sliced(H.T, (Z - H).T, (H + Z).T)


def side_by_side(parts: list[Sliced]) -> Sliced:
    """Several layers' slices of the same rows as one."""
    if len(parts) == 1:
        return parts[0]
    return Sliced(*(np.hstack([getattr(p, name).T for p in parts]).T for name in ("H", "L", "both")))


class SlicedOwnSum:
    """``Σ ZᵀZ`` and column sums of one network, in two parts each."""

    def __init__(self, d: int) -> None:
        def zeros() -> np.ndarray:
            return np.zeros((d, d), order="F")

        self._high, self._low = BlockSum(zeros, triangle=True, plainly=1), BlockSum(zeros)
        self._block, self._product = zeros(), zeros()
        self._sums = BlockSum(lambda: np.zeros(d), plainly=1), BlockSum(lambda: np.zeros(d))
        self.lengths: list[tuple[float, float]] = []

    def add(self, rows: Sliced) -> None:
        if rows.H.shape[1] == 0:
            return
        self._high.add(dsyrk(1.0, rows.H, 0.0, self._block, overwrite_c=1))
        self._low.add(dgemm(1.0, rows.L, rows.both, 0.0, self._product, trans_b=1, overwrite_c=1))
        ones = np.ones(rows.H.shape[1])
        for total, part in zip(self._sums, (rows.H, rows.L)):
            total.add(dgemv(1.0, part, ones))
        self.lengths.append(rows.lengths)

    @property
    def sums(self) -> np.ndarray:
        return np.asarray(self._sums[0].total() + self._sums[1].total())

    def in_two(self) -> tuple[np.ndarray, np.ndarray]:
        """The Gram rounded, and what rounding leaves out."""
        high, low = self._high.in_two()
        product = self._low.total()
        return _rounded(mirrored(high), mirrored(low) + (product + product.T) / 2)


class SlicedCrossSum:
    """``Σ Z_SᵀZ_T`` of two networks, in two parts."""

    def __init__(self, d_S: int, d_T: int) -> None:
        def zeros() -> np.ndarray:
            return np.zeros((d_S, d_T), order="F")

        self._high, self._low, self._block = BlockSum(zeros, plainly=1), BlockSum(zeros), zeros()

    def add(self, student: Sliced, teacher: Sliced) -> None:
        if student.H.shape[1] == 0:
            return
        self._high.add(dgemm(1.0, student.H, teacher.H, 0.0, self._block, trans_b=1, overwrite_c=1))
        product = dgemm(0.5, student.L, teacher.both, 0.0, self._block, trans_b=1, overwrite_c=1)
        self._low.add(dgemm(0.5, student.both, teacher.L, 1.0, product, trans_b=1, overwrite_c=1))

    def in_two(self) -> tuple[np.ndarray, np.ndarray]:
        high, low = self._high.in_two()
        return _rounded(np.asarray(high), low + self._low.total())


def slice_error(chain: int, first: list[tuple[float, float]], second: list[tuple[float, float]]) -> float:
    """Proved bound on the Frobenius norm of the error of the sum over blocks, from the lengths of both sides' slices.

    ``chain``: roundings in a row of an entry of the sum of the small products.
    """
    spread = sum(l * b + m * a for (l, a), (m, b) in zip(first, second)) / 2
    whole = sum(a * b for (_, a), (_, b) in zip(first, second)) / 4
    blocks = len(first) + 2
    return 1.01 * (gamma(chain + 4) * spread + 4 * gamma(blocks) ** 2 * whole)


def _rounded(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``high + low`` rounded, and the rest."""
    total = high + low
    return total, low - (total - high)
