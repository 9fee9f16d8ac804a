"""How large and how small features may be: what float64 cannot hold is refused with its scale, never silently wrong.

A power of two rounds nothing, so features of one common scale are brought near 1 and the number is exact. What has no
number is refused: norms beyond float64, and networks so far apart that no common factor keeps both their squares.
"""

from __future__ import annotations

import contextlib
import math
import sys
from typing import TYPE_CHECKING, Literal

import numpy as np

from kernelscope import exchange
from kernelscope.errors import DegenerateKernel, KernelscopeError, NumericalError, one_line
from kernelscope.kernels.rows import Rows, largest_entry, require_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 480  #: features up to 2^480: norms of kernels of 10^17 numbers stay below 2^1024
APART = 460  #: powers of two between teacher and student: the ratio of their kernels' norms stays in float64
#: Accelerate's products set flags of their own on ordinary numbers, so that on macOS results alone can tell
FLAGS: Literal["ignore", "raise"] = "ignore" if sys.platform == "darwin" else "raise"


def exponent(largest: float) -> int:
    """The power of two that a largest entry reaches; 0 for 0 and for what is not finite, which is named elsewhere."""
    return math.frexp(largest)[1] if math.isfinite(largest) else 0


def require_together(*, teacher: float, student: float) -> None:
    """Refuse two networks, by their largest entries, that have no common scale; an all-zero one goes with any.

    Raises:
        DegenerateKernel: too large, or too far apart.
    """
    e_T, e_S = exponent(teacher), exponent(student)
    if max(e_T, e_S) > LARGEST:
        e = max(e_T, e_S)
        raise DegenerateKernel(f"features reach 2^{e}, whose kernel norms exceed float64; divide both by 2^{e}")
    if teacher and student and abs(e_T - e_S) > APART:
        small, e, other = ("student", e_S, e_T) if e_S < e_T else ("teacher", e_T, e_S)
        raise DegenerateKernel(
            f"{small} features reach only 2^{e} beside 2^{other}, too far apart for float64; multiply the {small}'s by "
            f"2^{other - e}"
        )


def require_norms(unit: float) -> None:
    """Refuse features, rescaled so that a norm of 1 is worth ``unit``, whose kernel norms cannot be stated.

    Raises:
        DegenerateKernel: they fall below float64.
    """
    if unit < 2.0 ** (-2 * LARGEST):
        power = f"2^{-math.frexp(unit)[1] // 2}" if unit else "2^540 or more"
        raise DegenerateKernel(
            f"features are so small that their kernel norms fall below float64; multiply both by {power}"
        )


def require_squares(largest: float) -> None:
    """Refuse a network, by its largest entry, whose squared distances leave float64.

    Raises:
        DegenerateKernel: features beyond 2^480, or below its inverse.
    """
    e = exponent(largest)
    if abs(e) > LARGEST:
        what = f"divide by 2^{e}" if e > 0 else f"multiply by 2^{-e}"
        raise DegenerateKernel(f"features reach 2^{e}, whose squares leave float64; {what}")


def near_one(largest: float, room: int = 0) -> float:
    """The power of two that brings a largest entry near 1; 1 where it is within ``2^room`` of it."""
    e = exponent(largest)
    return 1.0 if abs(e) <= room else 2.0 ** -max(-1000, e)


@contextlib.contextmanager
def within_float64(**networks: Rows) -> Iterator[None]:
    """Arithmetic on these rows, by ``teacher`` and ``student``, that overflows is an error that names their scale.

    Nothing is printed for it, and nothing goes on with NaN.

    Raises:
        NumericalError: NaN or infinite features, or a number that left float64.
    """
    try:
        with np.errstate(over=FLAGS, divide=FLAGS, invalid=FLAGS):
            yield
    except KernelscopeError:
        raise
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        with exchange.apart():  # perhaps in one process alone
            for name, X in networks.items():
                require_finite(X, f"{name} features")
            sizes = [f"{name} reaches 2^{exponent(largest_entry(X))}" for name, X in networks.items()]
        what = f"{' and '.join(sizes[:2])}, where numbers leave float64" if sizes else "numbers leave float64"
        raise NumericalError(
            f"{what} ({one_line(str(error.args[-1]), 40)}); scale both near 1, and rows and columns alike"
        ) from error
