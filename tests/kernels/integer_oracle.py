"""The transfer loss in whole numbers: a float is an integer times a power of two, so nothing is rounded."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def exact_squares(X_S: np.ndarray, X_T: np.ndarray) -> tuple[Fraction, Fraction]:
    """``(‖K_S − K_T‖_F², ‖K_T‖_F²)`` exactly, for finite float arrays ``(n, d_S)`` and ``(n, d_T)``."""
    S, shift_S = _integers(X_S)
    T, shift_T = _integers(X_T)
    shift = max(shift_S, shift_T)
    S, T = S * 2 ** (shift - shift_S), T * 2 ** (shift - shift_T)
    D = S.dot(S.T) - T.dot(T.T)
    K_T = T.dot(T.T)
    unit = Fraction(1, 2 ** (4 * shift))
    return int((D * D).sum()) * unit, int((K_T * K_T).sum()) * unit


def lies_in(X_S: np.ndarray, X_T: np.ndarray, interval: tuple[float, float]) -> bool:
    """Whether the exact loss lies in ``interval``, decided on squares of rationals."""
    difference, teacher = exact_squares(X_S, X_T)
    low, high = (Fraction(end) if math.isfinite(end) else None for end in interval)
    assert low is not None
    return low * low * teacher <= difference and (high is None or difference <= high * high * teacher)


def exact_loss(X_S: np.ndarray, X_T: np.ndarray) -> float:
    """The loss to about 17 digits."""
    difference, teacher = exact_squares(X_S, X_T)
    ratio = difference / teacher
    scale = 10**60
    return math.isqrt(int(ratio * scale * scale)) / scale


def _integers(X: np.ndarray) -> tuple[np.ndarray, int]:
    """``X · 2^shift`` as an object array of ints."""
    fractions = [Fraction(float(v)) for v in np.asarray(X, np.float64).ravel()]
    shift = max((f.denominator.bit_length() - 1 for f in fractions), default=0)
    whole = np.array([int(f * 2**shift) for f in fractions], dtype=object).reshape(np.shape(X))
    return whole, shift


def exact_gram(Z: np.ndarray) -> np.ndarray:
    """``ZᵀZ`` of ``(n, p)`` as an object array of fractions: for more examples than an n × n matrix has room for."""
    whole, shift = _integers(Z)
    return whole.T.dot(whole) * Fraction(1, 2 ** (2 * shift))


def exact_squares_of_gram(G: np.ndarray, d_S: int) -> tuple[Fraction, Fraction]:
    """:func:`exact_squares` from the exact Gram of both networks side by side."""
    squares = G * G
    student, teacher, cross = squares[:d_S, :d_S].sum(), squares[d_S:, d_S:].sum(), squares[:d_S, d_S:].sum()
    return student + teacher - 2 * cross, teacher
