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

from kernelscope.kernels.distance.accumulate import CPU, BlockSum
from kernelscope.kernels.rounding import gamma

BITS = 20
MOST_ROWS = 2 ** (52 - 2 * BITS)
LIMITS = (1e-60, 1e60)  #: kernel norms for which no square of a slice leaves double precision: all float32 features


@dataclass(frozen=True, eq=False)
class Sliced:
    """A block's rows ``(b, d)``: leading slice H, rest L, and ``both`` = H + Z."""

    H: np.ndarray
    L: np.ndarray
    both: np.ndarray

    @property
    def lengths(self) -> tuple[float, float]:
        """‖L‖_F and ‖H + Z‖_F."""
        low, both = (math.sqrt(float(np.vdot(part, part))) for part in (self.L, self.both))
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
    return Sliced(H, Z - H, H + Z)


def side_by_side(parts: list[Sliced]) -> Sliced:
    """Several layers' slices of the same rows as one."""
    if len(parts) == 1:
        return parts[0]
    return Sliced(*(np.hstack([getattr(p, name) for p in parts]) for name in ("H", "L", "both")))


class SlicedOwnSum:
    """``Σ ZᵀZ`` and column sums of one network, in two parts each."""

    def __init__(self, d: int) -> None:
        def zeros() -> np.ndarray:
            return np.zeros((d, d))

        self._high, self._low, self._block = BlockSum(zeros, plainly=1), BlockSum(zeros), zeros()
        self._sums = BlockSum(lambda: np.zeros(d), plainly=1), BlockSum(lambda: np.zeros(d))
        self.lengths: list[tuple[float, float]] = []

    def add(self, rows: Sliced) -> None:
        if len(rows.H) == 0:
            return
        self._high.add(CPU.product(rows.H, rows.H, out=self._block))
        self._low.add(CPU.product(rows.L, rows.both, out=self._block))
        ones = np.ones(len(rows.H))
        for total, part in zip(self._sums, (rows.H, rows.L)):
            total.add(CPU.product(part, ones))
        self.lengths.append(rows.lengths)

    @property
    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """The column sums rounded, and what rounding leaves out."""
        high, low = self._sums[0].in_two()
        return _rounded(high, low + self._sums[1].total())

    def in_two(self) -> tuple[np.ndarray, np.ndarray]:
        """The Gram rounded, and what rounding leaves out."""
        high, low = self._high.in_two()
        product = self._low.total()
        return _rounded(high, low + (product + product.T) / 2)


class SlicedCrossSum:
    """``Σ Z_SᵀZ_T`` of two networks, in two parts."""

    def __init__(self, d_S: int, d_T: int) -> None:
        def zeros() -> np.ndarray:
            return np.zeros((d_S, d_T))

        self._high, self._low = BlockSum(zeros, plainly=1), BlockSum(zeros)
        self._block, self._other = zeros(), zeros()

    def add(self, student: Sliced, teacher: Sliced) -> None:
        if len(student.H) == 0:
            return
        self._high.add(CPU.product(student.H, teacher.H, out=self._block))
        product = CPU.product(student.L, teacher.both, out=self._block)
        product += CPU.product(student.both, teacher.L, out=self._other)
        self._low.add(product)  # halved once at the end, which is exact

    def in_two(self) -> tuple[np.ndarray, np.ndarray]:
        high, low = self._high.in_two()
        return _rounded(high, low + self._low.total() / 2)


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
