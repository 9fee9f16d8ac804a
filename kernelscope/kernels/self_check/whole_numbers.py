"""The transfer loss in exact integer arithmetic, for any number of examples: the truth that intervals are tested on.

A float is an integer times a power of two. Features are cut into slices of so few bits that a product of two slices,
summed over all examples, is exact in double precision; the products are put together as Python integers. Nothing is
rounded, and nothing of this is fast: it is for checking.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

WORD = 52  #: bits below which sums of whole numbers in double precision are exact


def exact_squares(*, student: np.ndarray, teacher: np.ndarray) -> tuple[Fraction, Fraction]:
    """``(‖K_S − K_T‖_F², ‖K_T‖_F²)`` exactly, for finite features ``(n, d_S)`` and ``(n, d_T)``.

    Time grows as the square of the number of slices, which is the bits between the largest entry and the last bit of
    the smallest, over ``(52 − log2 n) / 2``.
    """
    S, T = _Slices(student), _Slices(teacher)
    own_S, own_T, cross = (_square_sum(*pair) for pair in ((S, S), (T, T), (S, T)))
    return own_S + own_T - 2 * cross, own_T


def contains(interval: tuple[float, float], *, student: np.ndarray, teacher: np.ndarray) -> bool:
    """Whether the exact loss lies in ``interval``, decided on whole numbers."""
    return lies_between(interval, exact_squares(student=student, teacher=teacher))


def lies_between(interval: tuple[float, float], squares: tuple[Fraction, Fraction]) -> bool:
    """The same for squares that are known already."""
    difference, teacher = squares
    low, high = (Fraction(end) for end in interval)
    return low * low * teacher <= difference <= high * high * teacher


class _Slices:
    """``X = Σ_k slices[k] 2^(exponent − bits (k + 1))`` with slices of whole numbers."""

    def __init__(self, X: np.ndarray) -> None:
        X = np.asarray(X, np.float64)
        self.bits = (WORD - math.ceil(math.log2(max(2, len(X))))) // 2
        self.exponent = math.frexp(float(np.max(np.abs(X), initial=0.0)))[1]
        self.slices: list[np.ndarray] = []
        rest = np.ldexp(X, -self.exponent)
        while rest.any():
            rest = np.ldexp(rest, self.bits)
            whole = np.rint(rest)
            rest = rest - whole
            self.slices.append(whole)


def _square_sum(A: _Slices, B: _Slices) -> Fraction:
    """‖AᵀB‖_F²."""
    levels: dict[int, np.ndarray] = {}
    for i, a in enumerate(A.slices):
        for j, b in enumerate(B.slices):
            whole = (a.T @ b).astype(np.int64).astype(object)
            levels[i + j] = levels[i + j] + whole if i + j in levels else whole
    if not levels:
        return Fraction(0)
    total: np.ndarray = np.zeros_like(levels[0])
    for level in range(max(levels) + 1):
        total = total * (1 << A.bits) + levels[level]
    unit = Fraction(2) ** (A.exponent + B.exponent - A.bits * (max(levels) + 2))
    return int(np.sum(total * total)) * unit * unit
