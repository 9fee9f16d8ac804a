"""The numbers beside the loss: alignment, scale, CKA (biased and debiased).

All from the Gram sums and one cheap pass over the rows; exact over all examples, signed, no epsilon, no clamp
(THEORY B.8, B.10).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from kernelscope.kernels.exact import ScaledSums
from kernelscope.kernels.gram import GramSums, gram_sums
from kernelscope.kernels.rows import Affine, is_constant

CANCELLATION = 1e4  #: a mean carrying more than this share of ‖X‖² is removed from the rows, not from the Gram


def alignment(sums: GramSums) -> float | None:
    """``cos(K_S, K_T) = ⟨K_S, K_T⟩ / (‖K_S‖ ‖K_T‖)`` in [0, 1]; None for an all-zero student."""
    if sums.norm_student == 0:
        return None
    return min(1.0, (sums.norm_cross / sums.norm_student) * (sums.norm_cross / sums.norm_teacher))


def optimal_scale(sums: GramSums) -> float | None:
    """Scalar that brings the student's kernel closest, ``argmin_a ‖a K_S − K_T‖_F = ⟨K_S, K_T⟩ / ‖K_S‖²`` >= 0."""
    return None if sums.norm_student == 0 else (sums.norm_cross / sums.norm_student) ** 2


def scale_ratio(sums: GramSums) -> float:
    """``‖K_S‖_F / ‖K_T‖_F``."""
    return sums.norm_student / sums.norm_teacher


def centred(scaled: ScaledSums) -> ScaledSums:
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


def cka(centred_sums: GramSums) -> float | None:
    """Linear CKA, ``⟨HK_SH, HK_TH⟩ / (‖HK_SH‖ ‖HK_TH‖)`` in [0, 1] (biased HSIC); None where a kernel vanishes."""
    if _vanishes(centred_sums.norm_student) or _vanishes(centred_sums.norm_teacher):
        return None
    return alignment(centred_sums)


def cka_debiased(centred_sums: GramSums, k: np.ndarray, l: np.ndarray) -> float | None:
    """CKA from the unbiased HSIC_1 (Song et al. 2012), over all examples at once; signed, may leave [−1, 1].

    Args:
        k, l: diagonals of the student's and the teacher's centred kernel, each over its own kernel's norm.

    None for n < 4 and where a self-HSIC is not positive, so that no square root is taken of a signed estimate.
    """
    n, s = centred_sums.n, centred_sums
    if n < 4 or _vanishes(s.norm_student) or _vanishes(s.norm_teacher):
        return None
    T, U = s.trace_student / s.norm_student, s.trace_teacher / s.norm_teacher
    cross = _hsic_1(n, alignment(s) or 0.0, float(k @ l), T * U)
    own = _hsic_1(n, 1.0, float(k @ k), T * T), _hsic_1(n, 1.0, float(l @ l), U * U)
    if min(own) <= 0:
        return None
    return cross / math.sqrt(own[0] * own[1])


def _hsic_1(n: int, inner: float, diagonal: float, traces: float) -> float:
    """n(n − 3) HSIC_1 of centred kernels: their row sums vanish, so with zeroed diagonals K~1 = −diag(K)."""
    return (inner - diagonal) + traces / ((n - 1) * (n - 2)) - 2 / (n - 2) * diagonal


def _vanishes(norm: float) -> bool:
    return norm == 0 or not math.isfinite(norm)
