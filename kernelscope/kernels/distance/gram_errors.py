"""Proved bounds on the errors of a Gram: of summation, and of rows that are rounded as they are formed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.rounding import frobenius, gamma


@dataclass(frozen=True)
class BlockErrors:
    """Proved bounds on ``‖·‖_F`` of the errors of G_SS, G_TT and G_ST."""

    student: float
    teacher: float
    cross: float


def summation_errors(gram: np.ndarray, d_student: int, chain: int) -> BlockErrors:
    """Errors of a Gram whose entries are chains of roundings: ``‖|X|ᵀ|X|‖_F <= ‖X‖_F²`` (docs/theory.md 3.2)."""
    g = 1.01 * gamma(chain + 2)
    diagonal = np.diag(gram)
    trace_S, trace_T = float(diagonal[:d_student].sum()), float(diagonal[d_student:].sum())
    return BlockErrors(g * trace_S, g * trace_T, g * math.sqrt(trace_S * trace_T))


def spectral_norm_bound(G: np.ndarray) -> float:
    """Proved bound on ‖G‖_2 of a symmetric G, at most d^(1/16) times it: ``‖G‖_2^8 <= ‖G^8‖_F``; three products.

    A square A² is off by γ_d ‖A‖_F² <= γ_d √d ‖A²‖_F, and roots make relative errors smaller.
    """
    unit = 2.0 ** -math.frexp(frobenius(G))[1]
    A, bound = G * unit, 1.0
    for power in (2, 4, 8):
        A = A.T @ A
        scale = frobenius(A)
        if scale == 0:
            return 0.0
        bound *= scale ** (1 / power)
        A /= scale
    return 1.01 * bound / unit


def with_row_errors(
    errors: BlockErrors, *, norm_student: float, norm_teacher: float, rows_S: float, rows_T: float
) -> BlockErrors:
    """The same for Grams of rows that are themselves off by ``rows_S`` and ``rows_T`` in Frobenius norm.

    ``norm_student``, ``norm_teacher``: at least ‖X‖_2² of each, such as ‖K‖_F.
    """
    if rows_S == rows_T == 0:
        return errors
    spectral_S, spectral_T = math.sqrt(norm_student), math.sqrt(norm_teacher)
    return BlockErrors(
        errors.student + 1.01 * (2 * spectral_S * rows_S + rows_S**2),
        errors.teacher + 1.01 * (2 * spectral_T * rows_T + rows_T**2),
        errors.cross + 1.01 * (spectral_S * rows_T + spectral_T * rows_S + rows_S * rows_T),
    )
