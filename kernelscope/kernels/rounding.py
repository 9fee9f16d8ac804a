"""Rounding: error bounds of chains of operations, and error-free transformations.

``two_sum`` and ``two_product`` are Knuth's and Dekker's error-free transformations; they use + − × alone, so that they
hold for NumPy arrays and, the sum, for torch tensors on any device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")

Two = tuple[np.ndarray, np.ndarray | None]  #: a matrix, and what it leaves out where more is known

UNIT_ROUNDOFF = 2.0**-53  #: u of the arithmetic, IEEE double
SINGLE_ROUNDOFF = 2.0**-24
SPLITTER = 2.0**27 + 1  #: cuts 53 bits into two halves of 26, whose products are exact
SAFE_SQUARES = (1e-200, 1e290)  #: sums of squares in which neither over- nor underflow can have hidden
AT_A_TIME = 2**13  #: numbers multiplied and summed together, so that temporaries stay in the cache


def gamma(k: float, u: float = UNIT_ROUNDOFF) -> float:
    """Bound ``k u / (1 − k u)`` on the relative error of k roundings in a row (Higham); inf when meaningless."""
    return k * u / (1 - k * u) if k * u < 1 else math.inf


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """``(s, e)`` with s the rounded sum and s + e = a + b exactly, element by element."""
    # these differences are 0 in real arithmetic: what is left of them is the rounding error
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def added(one: Two, two: Two) -> Two:
    """The sum of both, its rest again smaller than its rounding."""
    with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
        high, lost = two_sum(one[0], two[0])
        if one[1] is None or two[1] is None:
            return high, None
        return two_sum(high, (one[1] + two[1]) + lost)


def in_parts(numbers: Iterable[Two]) -> list[np.ndarray]:
    """Leading parts and rests in turn."""
    return [np.zeros_like(high) if part is None else part for high, low in numbers for part in (high, low)]


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(p, e)`` with p the rounded product and p + e = a b exactly; factors below 1e150, products above 1e-290."""
    p = a * b
    a_high, b_high = _leading_half(a), _leading_half(b)
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _leading_half(a: np.ndarray) -> np.ndarray:
    c = SPLITTER * a  # Veltkamp: c − (c − a) keeps the leading 26 bits of a
    half: np.ndarray = c - (c - a)
    return half


def sum_of_squares(*weighted: tuple[float, np.ndarray]) -> float:
    """``Σ_k w_k ‖A_k‖_F²``, whatever cancels in it.

    Args:
        weighted: weights, powers of two up to sign, and matrices with entries below 1e150.

    Returns:
        The sum with a relative error of 2u and an absolute one of :func:`evaluation_error`: products are formed with
        their errors, and added with theirs.
    """
    return sum_of_products((w, A, A) for w, A in weighted)


def sum_of_products(weighted: Iterable[tuple[float, np.ndarray, np.ndarray]]) -> float:
    """``Σ_k w_k ⟨A_k, B_k⟩`` as :func:`sum_of_squares`."""
    high, low = np.zeros(AT_A_TIME), np.zeros(AT_A_TIME)
    for weight, A, B in weighted:
        for a, b in _aligned_chunks(A, B):
            p, e = two_product(weight * a, b)
            m = len(p)
            high[:m], lost = two_sum(high[:m], p)
            low[:m] += lost + e
    # fsum is exact in any order, so that the result depends on the chunks alone
    return math.fsum((*high.tolist(), *low.tolist()))


def _aligned_chunks(A: np.ndarray, B: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Equal entries of both, a few thousand at a time, in whatever order they lie in memory; copies only views."""
    order: Literal["F", "C"] = "F" if A.flags.f_contiguous and B.flags.f_contiguous else "C"
    a, b = A.ravel(order=order), (A if A is B else B).ravel(order=order)
    for start in range(0, len(a), AT_A_TIME):
        yield a[start : start + AT_A_TIME], b[start : start + AT_A_TIME]


def evaluation_error(entries: int, scale: float) -> float:
    """What :func:`sum_of_squares` of so many entries is off by beyond 2u of its value; ``scale`` = Σ |w| ‖A‖_F²."""
    rounds = entries // AT_A_TIME + 4
    return 2 * gamma(rounds + 2) ** 2 * scale


def frobenius(A: np.ndarray) -> float:
    """‖A‖_F without overflow or underflow of the squares; relative error at most :func:`norm_roundings` u."""
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", A, A)
    if SAFE_SQUARES[0] < np.max(squares, initial=0.0) < SAFE_SQUARES[1]:  # squares that underflow are nothing beside it
        return math.sqrt(math.fsum(squares.tolist()))
    largest = float(np.max(np.abs(A), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    exponent = -math.frexp(largest)[1]
    scaled = np.ldexp(A, exponent)
    return math.ldexp(math.sqrt(math.fsum(np.einsum("ij,ij->i", scaled, scaled).tolist())), -exponent)


def norm_roundings(A: np.ndarray) -> int:
    """How many roundings in a row :func:`frobenius` of A makes: a row is a chain, the sum over rows is not."""
    return int(A.shape[1]) + 3


def square_root_interval(squared: float, bar: float) -> tuple[float, float] | None:
    """Where ``√x`` lies if x is known to be within ``bar`` of ``squared`` and not negative.

    None where x would have to be negative: the bar is wrong then, and nothing follows from it.
    """
    if squared < -bar or not math.isfinite(squared + bar):
        return None
    return math.sqrt(max(0.0, squared - bar)), math.sqrt(squared + bar)
