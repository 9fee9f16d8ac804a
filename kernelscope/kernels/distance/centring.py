"""Features less their means, as sums and as rows, so that kernels become ``H K H`` (docs/theory.md 2.4)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.constancy import is_constant
from kernelscope.kernels.distance.accumulate import BlockSum, summation_chain
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.rounding import gamma
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import BLOCK_ROWS, Rows, bounded_blocks
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums

CANCELLATION = 1e4  #: a mean carrying more than this share of ‖X‖² is removed from the rows, not from the Gram


def centre(scaled: ScaledSums) -> ScaledSums:
    """The same two networks with their feature means removed, so that kernels become ``H K H``.

    From the Gram where that loses at most four digits, else by one more pass over shifted rows. A network whose
    features are constant over the examples has no centred kernel: its sums are then 0, not rounding noise.
    """
    sums = scaled.sums
    d_S = sums.d_student
    mean = sums.sums / sums.n
    off = [sums.sums_error * math.sqrt(trace / sums.n) for trace in (sums.trace_student, sums.trace_teacher)]
    parts = (scaled.student, mean[:d_S], off[0]), (scaled.teacher, mean[d_S:], off[1])
    if scaled.once or sums.mean_share() <= CANCELLATION:
        student, teacher = (Affine(X, shift=m, shift_error=e) for X, m, e in parts)
        found = sums.centred()
    else:
        # whatever was taken off, what is left of the mean is seen and taken off too
        student, teacher = (Affine(X, shift=m) for X, m, _ in parts)
        shifted = gram_sums(teacher=teacher, student=student, may_vanish=True)
        found = shifted.centred()
        left = shifted.sums / sums.n
        off = [shifted.sums_error * math.sqrt(t / sums.n) for t in (shifted.trace_student, shifted.trace_teacher)]
        student, teacher = (
            Affine(X, shift=m, shift_error=e)
            for X, m, e in ((student, left[:d_S], off[0]), (teacher, left[d_S:], off[1]))
        )
    constant = scaled.constant or (is_constant(scaled.student), is_constant(scaled.teacher))
    return replace(scaled, teacher=teacher, student=student, sums=found.without(*constant), constant=constant)


def without_mean(X: Rows) -> Affine:
    """Rows less their mean: taken off once, and what is left of it by rounding once more. Two passes."""
    once = Affine(X, shift=_mean(X)[0])
    if not np.isfinite(once.shift).all():  # for the caller to see
        return once
    left, error = _mean(once)
    return Affine(once, shift=left, shift_error=error)


def _mean(X: Rows) -> tuple[np.ndarray, float]:
    """The mean of the rows, and a bound on the Euclidean norm of its error."""
    n = X.shape[0]
    total, square, share = BlockSum(lambda: np.zeros(X.shape[1])), 0.0, Share.of(n)
    for _, block in bounded_blocks(X, share):
        total.add(block.sum(axis=0))
        square += float(np.vdot(block, block))
    sums, squares = share.summed(total.total(), np.array(square))
    chain = summation_chain(n, BLOCK_ROWS) + share.parts - 1
    return sums / n, 1.01 * gamma(chain + 3) * math.sqrt(float(squares) / n)
