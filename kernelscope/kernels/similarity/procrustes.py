"""Procrustes distance: of features that are centred, brought to length 1 and rotated onto one another.

With centred ``X_S`` and ``X_T``, ``min_Q ‖X_S / ‖X_S‖ − X_T Q / ‖X_T‖‖_F = √(2 − 2 ‖X_Sᵀ X_T‖_* / (‖X_S‖_F ‖X_T‖_F))``
over rotations Q, narrower features padded with zeros (Schönemann 1966; Williams and others 2021; docs/theory.md 6.3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.rows import Rows, row_blocks
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.distance.kernel_pair import KernelPair

CANCELS = 1e-3  #: squared distance below which one minus a cosine would cancel, and the rows themselves are compared
RESOLVES = 1e-8  #: squared distance that one minus a cosine still gives to a millionth


def procrustes(centred: ScaledSums) -> float | None:
    """The distance, 0 (equal up to rotation, scale and shift) … √2 (orthogonal); right to about u, tiny ones too.

    Args:
        centred: from :func:`kernelscope.kernels.distance.centring.centre`. Costs a singular value decomposition of
            ``X_Sᵀ X_T``, and two passes over the rows where the distance is below 0.03.

    None where a network's features are constant, and where rows that cannot be read again are too close to tell.
    """
    sums = centred.sums
    if min(sums.trace_student, sums.trace_teacher) == 0:
        return None
    if centred.same:
        return 0.0
    squared = _squared(sums.G_ST, sums.trace_student, sums.trace_teacher)
    if centred.once:
        return math.sqrt(squared) if squared > RESOLVES else None
    return _resolved(squared, centred.student, centred.teacher, sums.G_ST)


def procrustes_of_kernels(centred: KernelPair) -> float | None:
    """The same of centred kernels and the rows they are of."""
    S, T = centred.student, centred.teacher
    if min(S.trace, T.trace) == 0:
        return None
    if centred.same:
        return 0.0
    G_ST = S.rows.T @ T.rows
    squared = _squared(G_ST, S.trace, T.trace)
    return _resolved(squared, S.rows, T.rows, G_ST)


def _squared(G_ST: np.ndarray, trace_S: float, trace_T: float) -> float:
    nuclear_norm = float(np.linalg.svd(G_ST, compute_uv=False).sum())
    return 2 - 2 * nuclear_norm / (math.sqrt(trace_S) * math.sqrt(trace_T))


def _resolved(squared: float, student: Rows, teacher: Rows, G_ST: np.ndarray) -> float:
    return math.sqrt(squared) if squared > CANCELS else _residual(student, teacher, G_ST)


def _residual(student: Rows, teacher: Rows, G_ST: np.ndarray) -> float:
    """‖X_S / ‖X_S‖ − X_T Q / ‖X_T‖‖_F from the rows; an error of Q counts squared, since Q is where it is least.

    Lengths are those of the rows: what is left of a Gram once means are taken off has lost digits.
    """
    share = Share.of(student.shape[0])
    lengths = (
        math.fsum(float(np.vdot(block, block)) for _, block in row_blocks(X, share=share)) for X in (student, teacher)
    )
    length_S, length_T = map(math.sqrt, share.numbers(*lengths))
    U, _, Vt = np.linalg.svd(G_ST, full_matrices=True)
    k = min(G_ST.shape)
    # Q takes the teacher's space into the student's; where the student is narrower, the rest of the teacher stays
    turn, rest = Vt[:k].T @ U[:, :k].T / length_T, Vt[k:].T / length_T
    # 2 − 2 cos would cancel here, so squares of the difference are summed
    squared = 0.0
    for (_, X_S), (_, X_T) in zip(row_blocks(student, share=share), row_blocks(teacher, share=share)):
        inside, outside = X_S / length_S - X_T @ turn, X_T @ rest
        squared += float(np.vdot(inside, inside)) + float(np.vdot(outside, outside))
    return math.sqrt(share.numbers(squared)[0])
