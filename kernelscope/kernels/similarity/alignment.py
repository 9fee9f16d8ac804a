"""Alignment, the best scalar, and the ratio of norms, from Gram sums or kernels."""

from __future__ import annotations

from typing import Protocol


class Norms(Protocol):
    """Frobenius norms and sums of two kernels, from whatever they are known by.

    ``norm_cross`` is ``⟨K_S, K_T⟩^½``, ``totals`` are ``1ᵀ K 1`` of the student and of the teacher.
    """

    @property
    def n(self) -> int: ...
    @property
    def norm_student(self) -> float: ...
    @property
    def norm_teacher(self) -> float: ...
    @property
    def norm_cross(self) -> float: ...
    @property
    def trace_student(self) -> float: ...
    @property
    def trace_teacher(self) -> float: ...
    @property
    def totals(self) -> tuple[float, float]: ...


def alignment(sums: Norms) -> float | None:
    """``cos(K_S, K_T) = ⟨K_S, K_T⟩ / (‖K_S‖ ‖K_T‖)`` in [0, 1]; None for an all-zero student."""
    if sums.norm_student == 0:
        return None
    return min(1.0, (sums.norm_cross / sums.norm_student) * (sums.norm_cross / sums.norm_teacher))


def optimal_scale(sums: Norms) -> float | None:
    """Scalar that brings the student's kernel closest, ``argmin_a ‖a K_S − K_T‖_F = ⟨K_S, K_T⟩ / ‖K_S‖²`` >= 0."""
    return None if sums.norm_student == 0 else (sums.norm_cross / sums.norm_student) ** 2


def scale_ratio(sums: Norms) -> float:
    """``‖K_S‖_F / ‖K_T‖_F``."""
    return sums.norm_student / sums.norm_teacher
