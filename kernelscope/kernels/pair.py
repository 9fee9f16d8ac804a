"""Pair route: the transfer loss from the difference and the sum of the two networks' features.

With ``Q`` orthogonal (features padded to d = max(d_S, d_T)), ``E = X_S − X_T Q`` and ``P = X_S + X_T Q``,

    K_S − K_T = ½ (E Pᵀ + P Eᵀ)
    ‖K_S − K_T‖_F² = ½ [⟨EᵀE, PᵀP⟩ + ‖sym(EᵀP)‖_F² − ‖skew(EᵀP)‖_F²]        (THEORY B.1)

The Procrustes ``Q`` makes EᵀP symmetric, so nothing cancels: relative error about u / loss. Where the two
networks share a basis (a pruned, quantised or fine-tuned copy) ``Q = I`` is accurate to u whatever the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.gram import GramSums, frobenius, gamma
from kernelscope.kernels.rows import BLOCK_ROWS, UNIT_ROUNDOFF, Rows, row_blocks


@dataclass(frozen=True)
class PairResult:
    """‖K_S − K_T‖_F with a proved bound on its error, in the same units."""

    difference: float
    low: float
    high: float


def procrustes_rotation(sums: GramSums) -> np.ndarray:
    """``Q = U Vᵀ`` of ``X_Tᵀ X_S = U Σ Vᵀ``, shape ``(d, d)``: the rotation of the teacher nearest to the student."""
    d = max(sums.d_student, sums.d_teacher)
    cross = np.zeros((d, d))
    cross[: sums.d_teacher, : sums.d_student] = sums.G_ST.T
    U, _, Vt = np.linalg.svd(cross)
    return U @ Vt


def pair_difference(
    *,
    teacher: Rows,
    student: Rows,
    sums: GramSums,
    rotation: np.ndarray | None,
    block_rows: int = BLOCK_ROWS,
) -> PairResult:
    """One pass over the features with ``rotation`` (``None`` for the identity, which needs d_S = d_T).

    Costs 2 n d² multiply-adds for the Grams of E and P, and n d² for the rotation.
    """
    d = max(sums.d_student, sums.d_teacher)
    total = np.zeros((2 * d, 2 * d))
    both = np.zeros((min(block_rows, sums.n), 2 * d))
    for (_, X_S), (_, X_T) in zip(row_blocks(student, block_rows), row_blocks(teacher, block_rows)):
        rows = both[: len(X_S)]
        aligned = X_T if rotation is None else X_T @ rotation[: X_T.shape[1]]
        rows[:, :d], rows[:, d:] = -aligned, aligned
        rows[:, : X_S.shape[1]] += X_S
        rows[:, d : d + X_S.shape[1]] += X_S
        total += rows.T @ rows  # NumPy sees the transpose and calls syrk
    G_EE, G_PP, M = total[:d, :d], total[d:, d:], total[:d, d:]
    chain = min(block_rows, sums.n) + -(-sums.n // block_rows) + 1
    symmetric, skew = frobenius(M + M.T) / 2, frobenius(M - M.T) / 2
    squared = 0.5 * math.fsum((float(np.einsum("ij,ij->", G_EE, G_PP)), symmetric**2, -(skew**2)))
    bar = _squared_bar(G_EE, G_PP, M, chain)
    widening = _rotation_allowance(sums, rotation) + _entry_allowance(G_EE, G_PP)
    return PairResult(
        difference=math.sqrt(max(0.0, squared)),
        low=max(0.0, math.sqrt(max(0.0, squared - bar)) - widening),
        high=math.sqrt(max(0.0, squared) + bar) + widening,
    )


def _squared_bar(G_EE: np.ndarray, G_PP: np.ndarray, M: np.ndarray, chain: int) -> float:
    """Proved bound on the error of the squared difference given E and P (THEORY B.3, aligned pair)."""
    g = gamma(chain + 2)
    e2, p2 = float(np.trace(G_EE)), float(np.trace(G_PP))
    norm_E, norm_P, norm_M = frobenius(G_EE), frobenius(G_PP), frobenius(M)
    sums = g * e2 * norm_P + g * p2 * norm_E + 2 * g * norm_M * math.sqrt(e2 * p2) + 2 * g * g * e2 * p2
    products = float(np.einsum("ij,ij->", np.abs(G_EE), np.abs(G_PP))) + norm_M**2
    return 1.01 * (0.5 * sums + gamma(len(M) ** 2 + 6) * products)


def _entry_allowance(G_EE: np.ndarray, G_PP: np.ndarray) -> float:
    """E and P are rounded once per entry; ‖·‖_2 ≤ ‖·ᵀ·‖_F^½ is read off the Grams."""
    norms_E = math.sqrt(float(np.trace(G_EE))), math.sqrt(frobenius(G_EE))
    norms_P = math.sqrt(float(np.trace(G_PP))), math.sqrt(frobenius(G_PP))
    return 1.02 * UNIT_ROUNDOFF * (norms_E[0] * norms_P[1] + norms_E[1] * norms_P[0])


def _rotation_allowance(sums: GramSums, rotation: np.ndarray | None) -> float:
    """What Q costs by not being quite orthogonal, and X_T Q by being rounded."""
    if rotation is None:
        return 0.0
    d = len(rotation)
    defect = orthogonality_defect(rotation)
    spectral = math.sqrt(sums.norm_teacher)
    rounding = gamma(d) * math.sqrt(sums.trace_teacher) * frobenius(rotation)
    return 1.01 * defect * sums.norm_teacher + 2 * (1 + defect) * spectral * rounding + rounding**2


def orthogonality_defect(Q: np.ndarray) -> float:
    """Upper bound on ‖Q Qᵀ − I‖_F, rounding included.

    Q is cut into a leading part of 20 bits, whose product with itself is exact in double precision, and a rest
    below 2⁻²⁰: the bound is then some 10⁶ times narrower than for a plain product, at three GEMMs.
    """
    d = len(Q)
    head = np.rint(Q * 2.0**20) / 2.0**20
    rest = Q - head
    small = head @ rest.T
    defect = (head @ head.T - np.eye(d)) + (small + small.T + rest @ rest.T)
    evaluation = 3 * gamma(d + 2) * (frobenius(head) + frobenius(rest)) * frobenius(rest)
    return frobenius(defect) * (1 + gamma(d * d + 4)) + evaluation
