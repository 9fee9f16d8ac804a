"""``‖K_S − K_T‖_F`` from a Gram, or by one more pass where that would cancel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelscope.kernels.distance.tsqr import r_factor, signed_product
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, sum_of_squares

if TYPE_CHECKING:
    import numpy as np

    from kernelscope.kernels.rows import Rows

RESOLVED = 1e-12  #: error of a kernel difference, relative to the kernels, up to which Grams are trusted


def kernel_difference(gram: np.ndarray, d_S: int, X_S: Rows, X_T: Rows, *, negligible: float) -> float:
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
