"""Alignment, the best scalar, and the ratio of norms, from the Gram sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelscope.kernels.distance.gram import GramSums


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
