"""The ladder of fixes: what is left of the loss after a scalar, a shift and a linear head, and what the width forbids.

Each rung is relative to its own ‖K_T‖_F. raw >= scaled >= head >= width_floor always; ``centred`` is on other
kernels (THEORY B.11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.companions import optimal_scale
from kernelscope.kernels.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.gram import GramSums, frobenius
from kernelscope.kernels.rows import BLOCK_ROWS, UNIT_ROUNDOFF, Affine, row_blocks

RESOLVED_BY_GRAM = 1e-7  #: relative error of a rung up to which the sums are trusted, else the rows are read again


@dataclass(frozen=True)
class Rungs:
    """See :class:`kernelscope.report.fields.Ladder`."""

    scaled: float
    centred: float | None
    head: float
    head_held_out: float | None
    width_floor: float


def rungs(scaled: ScaledSums, centred: ScaledSums) -> Rungs:
    """Every rung below the raw loss; costs no pass over the rows unless a rung is too near 0 for the sums."""
    return Rungs(
        scaled=best_scaled(scaled),
        centred=best_scaled(centred) if centred.sums.norm_teacher > 0 else None,
        head=best_head(scaled),
        head_held_out=head_held_out(scaled.sums),
        width_floor=width_floor(scaled.sums),
    )


def best_scaled(scaled: ScaledSums) -> float:
    """``min_a ‖a K_S − K_T‖_F / ‖K_T‖_F = sqrt(1 − cos²)``, as a kernel difference where 1 − cos² would cancel."""
    sums = scaled.sums
    a = optimal_scale(sums)
    if not a:
        return 1.0
    cosine = (sums.norm_cross / sums.norm_student) * (sums.norm_cross / sums.norm_teacher)
    squared = (1 - cosine) * (1 + cosine)
    if squared > 8 * UNIT_ROUNDOFF / RESOLVED_BY_GRAM:
        return math.sqrt(squared)
    factor = math.sqrt(a)
    weights = np.where(np.arange(len(sums.gram)) < sums.d_student, factor, 1.0)
    rescaled = GramSums(
        sums.n,
        sums.d_student,
        sums.gram * np.outer(weights, weights),
        None,
        sums.chain + 2,
        sums.u,
    )
    student = Affine(scaled.student, scale=factor)
    return loss_from_sums(ScaledSums(scaled.teacher, student, rescaled, scaled.unit, scaled.same)).value


def best_head(scaled: ScaledSums) -> float:
    """``min_M ‖X_S M X_Sᵀ − K_T‖_F / ‖K_T‖_F = ‖K_T − P K_T P‖_F / ‖K_T‖_F``, P the projector on X_S's columns.

    The best M is positive semidefinite, so it is a linear head A on the student, M = A Aᵀ. With E what a least
    squares fit of X_T on X_S leaves, ``‖K_T − PK_TP‖² = 2⟨EᵀE, (PX_T)ᵀ(PX_T)⟩ + ‖EᵀE‖²``: no cancellation.
    """
    sums = scaled.sums
    if scaled.same:
        return 0.0
    inverse, condition = _pseudo_inverse(sums.G_SS)
    A = inverse @ sums.G_ST
    rest = sums.G_TT - sums.G_ST.T @ A
    head = _head_from_rest(sums.G_TT, rest)
    if head * head * RESOLVED_BY_GRAM > UNIT_ROUNDOFF * condition:
        return head
    return _head_from_rest(sums.G_TT, _rest_by_projection(scaled, A, inverse))


def _rest_by_projection(scaled: ScaledSums, A: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """EᵀE with ``E = X_T − X_S A`` formed row by row, then cleaned of what of X_S is still in it."""
    d_S = scaled.sums.d_student
    total = np.zeros_like(scaled.sums.gram)
    both = np.empty((min(BLOCK_ROWS, scaled.sums.n), len(total)))
    for (_, X_S), (_, X_T) in zip(row_blocks(scaled.student), row_blocks(scaled.teacher)):
        rows = both[: len(X_S)]
        rows[:, :d_S] = X_S
        np.subtract(X_T, X_S @ A, out=rows[:, d_S:])
        total += rows.T @ rows
    left = total[:d_S, d_S:]
    return total[d_S:, d_S:] - left.T @ inverse @ left


def _head_from_rest(G_TT: np.ndarray, rest: np.ndarray) -> float:
    norm = frobenius(G_TT)
    unit = 2.0 ** -math.frexp(norm)[1]  # so that no square of a tiny teacher underflows
    rest = rest * unit
    inner = float(np.einsum("ij,ij->", rest, G_TT * unit - rest))
    return math.sqrt(max(0.0, 2 * inner + frobenius(rest) ** 2)) / (norm * unit)


def head_held_out(sums: GramSums) -> float | None:
    """The head fitted on half of the examples and measured on the other half, both ways, root mean square.

    ``A = X_S⁺ X_T`` on one half, then ``‖X_S A Aᵀ X_Sᵀ − K_T‖_F / ‖K_T‖_F`` on the other. None if the sums keep no
    halves or a half has fewer examples than the student has features.
    """
    if sums.halves is None or sums.n // 2 < sums.d_student:
        return None
    d_S, squares = sums.d_student, []
    for fit, test in (sums.halves, sums.halves[::-1]):
        A = _pseudo_inverse(fit[:d_S, :d_S])[0] @ fit[:d_S, d_S:]
        teacher = test[d_S:, d_S:]
        # columns [X_S A, X_T] have the Gram below, and the loss is that of a pair with these features
        student, cross = A.T @ test[:d_S, :d_S] @ A, A.T @ test[:d_S, d_S:]
        if not teacher.any():
            return None
        norm = frobenius(teacher)
        a, c = frobenius(student) / norm, frobenius(cross) / norm
        squares.append(max(0.0, math.fsum((a * a, 1.0, -2 * c * c))))
    return math.sqrt(sum(squares) / 2)


def width_floor(sums: GramSums) -> float:
    """``(Σ_{i > d_S} σ_i(X_T)⁴)^½ / ‖K_T‖_F``: no student of this width goes below it (Eckart–Young)."""
    eigenvalues = np.linalg.eigvalsh(sums.G_TT)[::-1]
    rest = eigenvalues[sums.d_student :]
    noise = len(eigenvalues) * UNIT_ROUNDOFF * eigenvalues[0]  # below this an eigenvalue of G is rounding
    rest = rest[rest > noise]
    return float(np.sqrt(np.sum(rest**2))) / sums.norm_teacher


def _pseudo_inverse(G: np.ndarray) -> tuple[np.ndarray, float]:
    """G⁺ of a Gram and its condition number, by eigenvalues above what rounding makes of zero ones."""
    values, vectors = np.linalg.eigh(G)
    kept = values > 16 * len(G) * UNIT_ROUNDOFF * max(values[-1], 0.0)
    if not kept.any():
        return np.zeros_like(G), 1.0
    V = vectors[:, kept]
    return (V / values[kept]) @ V.T, float(values[-1] / values[kept][0])
