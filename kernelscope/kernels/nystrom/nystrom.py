"""Nyström sums: what the partial matrices ``C = X Dᵀ`` give of ``K_S − K_T``, in one pass over the rows.

    K~ = C W⁺ Cᵀ = X P Xᵀ,   P = V Vᵀ the projector on the landmarks' span,   K − K~ = X (I − P) Xᵀ >= 0

Costs O(n d m) beside the Gram and O(d² + d m + m²) numbers of memory (docs/theory.md 4.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.nystrom.landmarks import GroupMeans, Landmarks, LandmarkVectors
from kernelscope.kernels.nystrom.running_sums import RunningSide, RunningSums
from kernelscope.kernels.nystrom.spectrum import landmark_basis
from kernelscope.kernels.rows import (
    Features,
    Rows,
    as_rows,
    identical,
    numpy_block,
    require_finite,
    require_same_examples,
    storage_roundoff,
)
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from kernelscope.kernels.distance.gram import GramSums
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums


def partial(*, teacher: Features, student: Features, landmarks: Landmarks, sums: GramSums | None = None) -> NystromSums:
    """Nyström sums of two networks for landmarks that are groups of these very examples.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same n examples in the same order.
        sums: Grams of the same features if they exist already; saves most of the work.

    Raises:
        Mismatch: numbers of rows differ.
        NumericalError: NaN or infinite features.
        DegenerateKernel: kernel norms outside 1e-150 .. 1e150, whose squares float64 does not hold.
    """
    vectors = landmarks.vectors(teacher=teacher, student=student)
    return partial_with(teacher=teacher, student=student, landmarks=vectors, sums=sums)


def partial_with(
    *,
    teacher: Features,
    student: Features,
    landmarks: LandmarkVectors,
    sums: GramSums | None = None,
    rank: int | None = None,
) -> NystromSums:
    """The same for any landmark vectors, also stale or foreign ones, with an assignment or none.

    Args:
        sums: Grams of the same features if they exist already.
        rank: cut the landmarks at this rank (the paper's k); cutting never helps a bound.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    share = Share.of(require_same_examples(teacher, student))
    _require_fit(teacher, student, landmarks)
    sums = sums or gram_sums(teacher=teacher, student=student, means=False, may_vanish=True)
    both = empty_sums(teacher, student, landmarks, sums, rank)
    both.require_usable()
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found in the sums
        for start, stop in share.steps(both.step):
            X_S, X_T = (numpy_block(X, start, stop).astype(np.float64, copy=False) for X in (student, teacher))
            both.add(start, X_S, X_T)
    both.take_in_others(share)
    both.require_usable()
    # two reads of the first block, as a rule
    return both.result(same=np.array_equal(landmarks.student, landmarks.teacher) and identical(teacher, student))


def empty_sums(
    teacher: Rows, student: Rows, landmarks: LandmarkVectors, sums: GramSums, rank: int | None = None
) -> RunningSums:
    """What :func:`partial_with` fills by one pass over the rows; of exact centres it needs none before."""
    vectors = means = (landmarks.student, landmarks.teacher)
    if landmarks.assignment is not None and not landmarks.exact_centres:
        assignment, m = landmarks.assignment, landmarks.m
        means = GroupMeans(student, assignment, m).vectors, GroupMeans(teacher, assignment, m).vectors
    sides = [
        RunningSide(X, D, mean, gram, landmark_basis(D, storage_roundoff(X), noise), rank)
        for X, D, mean, gram, noise in zip((student, teacher), vectors, means, (sums.G_SS, sums.G_TT), landmarks.noise)
    ]
    return RunningSums(sides[0], sides[1], landmarks, sums.gram)


def _require_fit(teacher: Rows, student: Rows, landmarks: LandmarkVectors) -> None:
    D_T, D_S, assignment = landmarks.teacher, landmarks.student, landmarks.assignment
    if D_T.shape != (len(D_S), teacher.shape[1]) or D_S.shape[1] != student.shape[1]:
        raise Mismatch(
            f"landmarks have shapes {D_T.shape} and {D_S.shape} for features of widths {teacher.shape[1]} and "
            f"{student.shape[1]}; give as many landmarks for both networks, each in its own space"
        )
    if len(D_T) == 0:
        raise Mismatch("there are no landmarks; choose at least one")
    if not (np.isfinite(D_T).all() and np.isfinite(D_S).all()):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise Mismatch("landmarks hold NaN or infinite values; compute them again")
    if assignment is not None and (
        assignment.shape != (teacher.shape[0],) or assignment.min() < -1 or assignment.max() >= len(D_T)
    ):
        raise Mismatch(f"assignment must name one of {len(D_T)} landmarks, or -1, for each of {teacher.shape[0]} rows")
