"""Sums of features less their means, so that kernels become ``H K H``."""

from __future__ import annotations

import math
from dataclasses import replace

from kernelscope.kernels.distance.exact import ScaledSums
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import is_constant

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
