"""Pair route: the transfer loss from the difference and the sum of the two networks' features.

With ``Q`` orthogonal (features padded to d = max(d_S, d_T)), ``E = X_S − X_T Q`` and ``P = X_S + X_T Q``,

    K_S − K_T = ½ (E Pᵀ + P Eᵀ)
    ‖K_S − K_T‖_F² = ½ [⟨EᵀE, PᵀP⟩ + ‖sym(EᵀP)‖_F² − ‖skew(EᵀP)‖_F²]        (docs/theory.md 2.2)

The Procrustes ``Q`` makes EᵀP symmetric, so nothing cancels: relative error about u / loss. Where the two
networks share a basis (a pruned, quantised or fine-tuned copy) ``Q = I`` is accurate to u whatever the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.accumulate import OwnSum, block_rows, summation_chain
from kernelscope.kernels.rounding import (
    UNIT_ROUNDOFF,
    evaluation_error,
    frobenius,
    gamma,
    square_root_interval,
    sum_of_products,
)
from kernelscope.kernels.rows import Rows, entry_error, kernel_error, row_blocks
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.gram import GramSums

UNDERFLOW = 2.0**-960  #: generous for a product that leaves the range of double precision


@dataclass(frozen=True)
class PairResult:
    """‖K_S − K_T‖_F with a proved bound on its error, in the same units."""

    difference: float
    low: float
    high: float


def procrustes_rotation(sums: GramSums) -> np.ndarray:
    """``Q = U Vᵀ`` of ``X_Tᵀ X_S = U Σ Vᵀ``, shape ``(d, d)``: the rotation of the teacher nearest to the student."""
    U, _, Vt = np.linalg.svd(_cross(sums))
    rotation: np.ndarray = U @ Vt
    return rotation


def rotations(sums: GramSums) -> Iterator[np.ndarray | None]:
    """Which ``Q`` to try, in this order: none where the networks may share a basis, then the Procrustes rotation.

    ``‖E‖² = ‖X_S‖² + ‖X_T‖² − 2 tr(Qᵀ X_Tᵀ X_S)`` is least for the latter; where it is much longer without a rotation,
    a pass without one is lost.
    """
    rotation, cross = procrustes_rotation(sums), _cross(sums)
    both = sums.trace_student + sums.trace_teacher
    turned = both - 2 * float(np.sum(rotation * cross))
    unturned = both - 2 * float(np.trace(cross))
    noise = len(cross) * 16 * UNIT_ROUNDOFF * both
    if sums.d_student == sums.d_teacher and unturned <= 2 * abs(turned) + noise:
        yield None
    yield rotation


def _cross(sums: GramSums) -> np.ndarray:
    """``X_Tᵀ X_S``, padded to a square."""
    d = max(sums.d_student, sums.d_teacher)
    cross = np.zeros((d, d))
    cross[: sums.d_teacher, : sums.d_student] = sums.G_ST.T
    return cross


def pair_difference(
    *,
    teacher: Rows,
    student: Rows,
    sums: GramSums,
    rotation: np.ndarray | None,
) -> PairResult | None:
    """One pass over the features with ``rotation`` (``None`` for the identity, which needs d_S = d_T).

    Costs 2 n d² multiply-adds for the Grams of E and P, and n d² for the rotation. None where the result contradicts
    its own bound, which arithmetic as documented cannot bring about.
    """
    d = max(sums.d_student, sums.d_teacher)
    share = Share.of(sums.n)
    gram = _gram_of_difference_and_sum(teacher, student, d, rotation, share)
    G_EE, G_PP, M = gram[:d, :d], gram[d:, d:], gram[:d, d:]
    # ‖sym M‖² − ‖skew M‖² = ⟨M, Mᵀ⟩
    squared = sum_of_products([(0.5, G_EE, G_PP), (0.5, M, M.T)])
    found = square_root_interval(squared, _squared_bar(G_EE, G_PP, M, squared, share))
    if found is None:
        return None
    widening = (
        _rotation_allowance(sums, rotation)
        + _entry_allowance(G_EE, G_PP)
        + row_allowance(student, sums.trace_student, sums.norm_student)
        + row_allowance(teacher, sums.trace_teacher, sums.norm_teacher)
    )
    return PairResult(
        difference=math.sqrt(max(0.0, squared)), low=max(0.0, found[0] - widening), high=found[1] + widening
    )


def _gram_of_difference_and_sum(
    teacher: Rows, student: Rows, d: int, rotation: np.ndarray | None, share: Share
) -> np.ndarray:
    """``[E, P]ᵀ [E, P]``, shape ``(2 d, 2 d)``; one pass over the rows."""
    step = block_rows(2 * d)
    total, both = OwnSum(2 * d, means=False), np.zeros((step, 2 * d))
    turn, turned = (None, None) if rotation is None else (rotation[: teacher.shape[1]], np.empty((step, d)))
    for (_, S_block), (_, T_block) in zip(row_blocks(student, share=share), row_blocks(teacher, share=share)):
        for start in range(0, len(S_block), step):
            X_S, X_T = S_block[start : start + step], T_block[start : start + step]
            rows, width = both[: len(X_S)], X_S.shape[1]
            aligned = X_T if turn is None or turned is None else np.matmul(X_T, turn, out=turned[: len(X_T)])
            np.subtract(X_S, aligned[:, :width], out=rows[:, :width])
            np.add(X_S, aligned[:, :width], out=rows[:, d : d + width])
            if width < d:
                np.negative(aligned[:, width:], out=rows[:, width:d])
                rows[:, d + width :] = aligned[:, width:]
            total.add(rows)
    return share.summed(total.gram())[0]


def row_allowance(X: Rows, trace: float, norm: float) -> float:
    """What ‖X Xᵀ‖_F may be off by because rows are rounded as they are formed; 0 for rows as stored."""
    off = entry_error(X, math.sqrt(trace))
    return 1.01 * (2 * math.sqrt(norm) * off + off * off) + kernel_error(X)


def _squared_bar(G_EE: np.ndarray, G_PP: np.ndarray, M: np.ndarray, squared: float, share: Share) -> float:
    """Proved bound on the error of the squared difference given E and P (docs/theory.md 3.4)."""
    g = gamma(summation_chain(share.n, block_rows(2 * len(M))) + (share.parts - 1) + 2)
    e2, p2 = 1.01 * float(np.trace(G_EE)), 1.01 * float(np.trace(G_PP))
    norm_E, norm_P, norm_M = frobenius(G_EE), frobenius(G_PP), frobenius(M)
    sums = g * e2 * norm_P + g * p2 * norm_E + 2 * g * norm_M * math.sqrt(e2 * p2) + 2 * g * g * e2 * p2
    forming = 4 * UNIT_ROUNDOFF * abs(squared) + evaluation_error(2 * M.size, norm_E * norm_P + norm_M**2)
    return 1.01 * (0.5 * sums + forming) + share.n * M.size * UNDERFLOW * (1 + norm_P)


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
    return 1.01 * (defect * sums.norm_teacher + 2 * (1 + defect) * spectral * rounding + rounding**2)


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
    return 1.01 * (frobenius(defect) + evaluation)
