"""CKA within classes: of features less the means of their classes.

CKA of class-structured features is mostly a matter of class means. With them removed, ``G_w = G − Σ_l n_l μ_l μ_lᵀ``
for all three blocks, it is about what distinguishes examples of the same class (docs/theory.md 6.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.centring import CANCELLATION
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.nystrom.landmarks import GroupMeans
from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.row_views import Affine, LessGroupMeans, Mapped, Normalised
from kernelscope.kernels.rows import Rows, row_blocks, storage_roundoff
from kernelscope.kernels.similarity.cka import cka

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums


@dataclass(frozen=True)
class WithinClass:
    """``value`` in [0, 1]; ``chance``: its mean over permutations of the student's examples inside their classes.

    Examples that are the only one of their class count for neither.
    """

    value: float
    chance: float


def within_class_cka(scaled: ScaledSums, classes: np.ndarray) -> WithinClass | None:
    """Linear CKA of both networks' features less their class means, with its chance level.

    ``E tr(K_w P L_w Pᵀ) = Σ_l tr K_w,ll tr L_w,ll / (n_l − 1)`` over permutations P inside classes: blocks between
    classes average to 0, since rows of deviations sum to 0. Costs two passes, O(n d), and a third one, as costly as a
    Gram, where means carry so much of the features that taking them off the Gram would cancel.

    Args:
        scaled: from :func:`kernelscope.kernels.distance.exact.well_scaled_sums`.
        classes: the class of each example, shape ``(n,)``, any whole numbers.

    None where all classes have one example, and where a network's features are the same within every class.

    Raises:
        Mismatch: not one class per example.
    """
    if classes.shape != (scaled.sums.n,):
        raise Mismatch(f"classes have shape {classes.shape}, expected ({scaled.sums.n},); give one class per example")
    _, groups, counts = np.unique(classes, return_inverse=True, return_counts=True)
    several = counts > 1
    groups = np.where(several, np.cumsum(several) - 1, -1)[groups]  # −1: the only one of its class
    counts = counts[several]
    if len(counts) == 0 or any(_same_within_classes(X, groups, len(counts)) for X in (scaled.student, scaled.teacher)):
        return None
    return _of_deviations(*_deviations(scaled, groups, counts), counts)


def within_class_of_sums(
    sums: GramSums, means: np.ndarray, squares: np.ndarray, counts: np.ndarray
) -> WithinClass | None:
    """The same without rows, from Grams and class sums; None also where taking off the means would cancel.

    Args:
        means: class means of both networks side by side, student first, shape ``(L, d_S + d_T)``.
        squares: ``Σ ‖x_i‖²`` of each class, of the student and the teacher, shape ``(2, L)``.
        counts: examples of each class, shape ``(L,)``; together all of them.
    """
    found = _less_means(sums, means, counts)
    before, after = (np.array([s.trace_student, s.trace_teacher]) for s in (sums, found))
    if counts.sum() != sums.n or (counts < 2).all() or not np.all(before <= CANCELLATION * after):
        return None
    parts = means[:, : sums.d_student], means[:, sums.d_student :]
    lengths = np.array([np.einsum("ij,ij->i", part, part) for part in parts])
    several = counts > 1
    traces = np.maximum(squares - lengths * counts, 0.0)[:, several]
    return _of_deviations(found, traces, counts[several])


def _of_deviations(sums: GramSums, traces: np.ndarray, counts: np.ndarray) -> WithinClass | None:
    value = cka(sums)
    if value is None:
        return None
    by_class = np.sum(traces[0] / sums.norm_student * (traces[1] / sums.norm_teacher) / (counts - 1))
    return WithinClass(value, float(by_class))


def _deviations(scaled: ScaledSums, groups: np.ndarray, counts: np.ndarray) -> tuple[GramSums, np.ndarray]:
    """Grams of features less their class means, and ``tr K_w,ll`` of the student and the teacher, shape ``(2, L)``."""
    both = (scaled.student, scaled.teacher)
    own = [GroupMeans(X, groups, len(counts)) for X in both]
    if not (groups < 0).any():
        found = _less_means(scaled.sums, np.hstack([each.vectors for each in own]), counts)
        before, after = (np.array([s.trace_student, s.trace_teacher]) for s in (scaled.sums, found))
        if np.all(before <= CANCELLATION * after):
            return found, np.array([_traces(each, counts) for each in own])
    rows = [LessGroupMeans(X, each.vectors, groups, others_stay=False) for X, each in zip(both, own)]
    shifted = gram_sums(student=rows[0], teacher=rows[1], may_vanish=True)
    # whatever was taken off, what is left of the means is seen and taken off too
    left = [GroupMeans(X, groups, len(counts)) for X in rows]
    return _less_means(shifted, np.hstack([each.vectors for each in left]), counts), np.array(
        [_traces(each, counts) for each in left]
    )


def _less_means(sums: GramSums, means: np.ndarray, counts: np.ndarray) -> GramSums:
    gram = sums.gram - (means * counts[:, None]).T @ means
    return GramSums(sums.n, sums.d_student, gram, np.zeros(len(gram)), sums.errors)


def _traces(own: GroupMeans, counts: np.ndarray) -> np.ndarray:
    """``Σ_{i in l} ‖x_i − μ_l‖²``, shape ``(L,)``."""
    traces: np.ndarray = np.maximum(own.squares - np.einsum("ij,ij->i", own.vectors, own.vectors), 0.0) * counts
    return traces


def _same_within_classes(X: Rows, groups: np.ndarray, m: int) -> bool:
    """Whether every column is the same in all rows of a class, ``max |x_i − x_1| <= 4 u |x_1|``.

    Stops at a row that differs. Rows that are shifted, scaled or whitened on the way are judged as they are stored.
    """
    while isinstance(X, Affine | Mapped):
        X = X.X
    u = max(storage_roundoff(X), UNIT_ROUNDOFF)
    of_length = 4 * u + X.shape[1] * UNIT_ROUNDOFF if isinstance(X, Normalised) else 0.0  # of a row of length 1
    first, seen = np.zeros((m, X.shape[1])), np.zeros(m, bool)  # not shared: the first block tells, as a rule
    for start, block in row_blocks(X):
        own = groups[start : start + len(block)]
        block, own = block[own >= 0], own[own >= 0]
        classes, where = np.unique(own, return_index=True)
        new = ~seen[classes]
        first[classes[new]] = block[where[new]]
        seen[classes] = True
        if np.any(np.abs(block - first[own]) > 4 * u * np.abs(first[own]) + of_length):
            return False
    return True
