"""Share of the loss by pair of classes: ``‖K_S − K_T‖_F²`` by class of row and class of column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.blas import dsyrk

from kernelscope.errors import Mismatch, ResourceError
from kernelscope.kernels.distance.aligned_pair import procrustes_rotation
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.distance.plan import few_examples
from kernelscope.kernels.nystrom.clusters import sum_by_group
from kernelscope.kernels.rows import Features, Rows, as_rows, numpy_block, row_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CLASSES = 200
SMALL_LOSS = 1e-3  #: relative loss below which Grams of X_S and X_T would cancel, and their difference is used


def class_blocks(
    *,
    teacher: Features,
    student: Features,
    classes: np.ndarray,
    sums: GramSums | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> np.ndarray:
    """Shares ``‖Δ_ab‖_F² / ‖Δ‖_F²``, Δ = K_S − K_T, shape ``(L, L)``, symmetric, sum 1; zeros if Δ is 0.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same n examples in the same order.
        classes: shape ``(n,)``, 0 … L − 1, −1 for none (left out); :attr:`Landmarks.assignment` of class means.
        sums: Grams of the same features if they exist already.
        memory_bytes: what the classes' Grams may take; more classes than fit cost more passes over the rows.

    ``‖Δ_ab‖² = tr(J G_a J G_b)`` from one Gram per class (docs/theory.md 2.5), O(n p²); for n <= 2 p straight from the
    n × n differences, O(n² p). Relative losses below 1e-3 go through ``E = X_S − X_T Q`` and ``P = X_S + X_T Q``,
    where nothing cancels (docs/theory.md 2.2).

    Raises:
        Mismatch: more than 200 classes, or not one class per example.
        ResourceError: if not even two Grams fit in ``memory_bytes``.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    n, L = student.shape[0], int(classes.max(initial=-1)) + 1
    if classes.shape != (n,) or L < 1:
        raise Mismatch(f"classes have shape {classes.shape}, expected ({n},) with at least one class; give labels")
    if L > MOST_CLASSES:
        raise Mismatch(f"{L} classes make {L * L} blocks; at most {MOST_CLASSES} classes are compared")
    if few_examples(n, student.shape[1] + teacher.shape[1]):
        squares = _squares_from_differences(teacher, student, classes, L)
    else:
        sums = sums or gram_sums(teacher=teacher, student=student)
        squares = _squares_from_grams(_joined(teacher, student, sums), classes, L, memory_bytes)
    total = squares.sum()
    return squares / total if total > 0 else squares


def _squares_from_differences(teacher: Rows, student: Rows, classes: np.ndarray, L: int) -> np.ndarray:
    """Sums of Δ_ij² over blocks of classes, from Δ itself; n is small here, so the rows stay in memory."""
    X_S, X_T = (numpy_block(X, 0, len(classes)).astype(np.float64, copy=False) for X in (student, teacher))
    squares = np.zeros((L, L))
    for start, stop in row_steps(len(classes), len(classes)):
        difference = X_S[start:stop] @ X_S.T - X_T[start:stop] @ X_T.T
        by_column = sum_by_group(np.square(difference).T, classes, L)
        squares += sum_by_group(by_column.T, classes[start:stop], L)
    return (squares + squares.T) / 2


class _SideBySide:
    """Rows of ``Z = [X_S, X_T]``, with ``Δ = Z J Zᵀ``, J = diag(I, −I)."""

    def __init__(self, teacher: Rows, student: Rows) -> None:
        self.teacher, self.student, self.d_S = teacher, student, student.shape[1]
        self.width = self.d_S + teacher.shape[1]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for start, stop in row_steps(self.student.shape[0], self.width):
            Z = np.empty((stop - start, self.width))
            Z[:, : self.d_S] = numpy_block(self.student, start, stop)
            Z[:, self.d_S :] = numpy_block(self.teacher, start, stop)
            yield start, Z

    def between(self, G: np.ndarray) -> np.ndarray:
        """``J G J``, so that ‖Δ_ab‖² = ⟨J G_a J, G_b⟩."""
        flipped = G.copy()
        flipped[: self.d_S, self.d_S :] *= -1
        flipped[self.d_S :, : self.d_S] *= -1
        return flipped


class _DifferenceAndSum:
    """Rows of ``Z = [E, P]``, ``E = X_S − X_T Q`` and ``P = X_S + X_T Q``, with ``Δ = ½ (E Pᵀ + P Eᵀ)``."""

    def __init__(self, teacher: Rows, student: Rows, rotation: np.ndarray) -> None:
        self.teacher, self.student, self.rotation = teacher, student, rotation
        self.half = max(student.shape[1], teacher.shape[1])
        self.width = 2 * self.half

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        h = self.half
        for start, stop in row_steps(self.student.shape[0], self.width):
            X_S, X_T = numpy_block(self.student, start, stop), numpy_block(self.teacher, start, stop)
            Z = np.empty((stop - start, self.width))
            Z[:, h:] = X_T.astype(np.float64) @ self.rotation[: X_T.shape[1]]
            np.negative(Z[:, h:], out=Z[:, :h])
            Z[:, : X_S.shape[1]] += X_S
            Z[:, h : h + X_S.shape[1]] += X_S
            yield start, Z

    def between(self, G: np.ndarray) -> np.ndarray:
        """``B G B`` with B half the swap of E and P, so that ‖Δ_ab‖² = ⟨B G_a B, G_b⟩."""
        h = self.half
        return np.block([[G[h:, h:], G[h:, :h]], [G[:h, h:], G[:h, :h]]]) / 4


_Joined = _SideBySide | _DifferenceAndSum


def _joined(teacher: Rows, student: Rows, sums: GramSums) -> _Joined:
    if sums.difference_squared <= (SMALL_LOSS * sums.norm_teacher) ** 2:
        return _DifferenceAndSum(teacher, student, procrustes_rotation(sums))
    return _SideBySide(teacher, student)


def _squares_from_grams(joined: _Joined, classes: np.ndarray, L: int, memory_bytes: int) -> np.ndarray:
    """‖Δ_ab‖² with as many classes' Grams in memory as fit, for rows and for columns of blocks in turn."""
    each = 8 * joined.width**2
    at_a_time = L if L * each <= memory_bytes else memory_bytes // (2 * each)
    if at_a_time == 0:
        raise ResourceError(f"{memory_bytes:,} bytes do not hold two Grams of {each:,}; raise --max-memory")
    squares = np.zeros((L, L))
    for a in range(0, L, at_a_time):
        rows = _class_grams(joined, classes, a, min(a + at_a_time, L))
        for b in range(a, L, at_a_time):
            columns = rows if b == a else _class_grams(joined, classes, b, min(b + at_a_time, L))
            for i, G in enumerate(rows):
                block = np.tensordot(columns, joined.between(G))
                squares[a + i, b : b + len(columns)] = block
                squares[b : b + len(columns), a + i] = block
    return np.maximum(squares, 0)


def _class_grams(joined: _Joined, classes: np.ndarray, first: int, stop: int) -> np.ndarray:
    """``Z_aᵀ Z_a`` of classes ``first … stop − 1``, shape ``(count, p, p)``; one pass."""
    grams = np.zeros((stop - first, joined.width, joined.width))
    for start, Z in joined.blocks():
        own = classes[start : start + len(Z)]
        for c in np.unique(own[(own >= first) & (own < stop)]):
            # the transpose of a C-ordered square is the Fortran-ordered one that BLAS adds to in place
            dsyrk(1.0, Z[own == c].T, 1.0, grams[c - first].T, overwrite_c=1)
    for G in grams:
        G += np.tril(G, -1).T  # syrk filled the lower triangle only
    return grams
