"""Share of the loss by pair of classes: ``‖K_S − K_T‖_F²`` by class of row and class of column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch, ResourceError
from kernelscope.kernels.distance.aligned_pair import procrustes_rotation
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.distance.plan import few_examples
from kernelscope.kernels.nystrom.clusters import sum_by_group
from kernelscope.kernels.rows import BLOCK_ROWS, Features, Rows, as_rows, identical, numpy_block, row_steps
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CLASSES = 200
WIDEST_STRIP = 256  #: columns of Grams formed together; wider ones would form more of what lies below the diagonal
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
        memory_bytes: what columns of the classes' Grams and sorted rows may take together; where all do not fit, the
            rows are read once for each strip of columns that does.

    ``‖Δ_ab‖² = tr(J G_a J G_b)`` from one Gram per class (docs/theory.md 2.5), O(n p² + L² p²); for n <= p straight
    from the n × n differences, O(n² p). Relative losses below 1e-3 go through ``E = X_S − X_T Q`` and
    ``P = X_S + X_T Q``, where nothing cancels (docs/theory.md 2.2).

    Raises:
        Mismatch: more than 200 classes, or not one class per example.
        ResourceError: if not even one column of all Grams fits in ``memory_bytes``.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    n, L = student.shape[0], int(classes.max(initial=-1)) + 1
    if classes.shape != (n,) or L < 1:
        raise Mismatch(f"classes have shape {classes.shape}, expected ({n},) with at least one class; give labels")
    if L > MOST_CLASSES:
        raise Mismatch(f"{L} classes make {L * L} blocks; at most {MOST_CLASSES} classes are compared")
    if identical(teacher, student):
        return np.zeros((L, L))
    if few_examples(n, student.shape[1] + teacher.shape[1]):
        squares = _squares_from_differences(teacher, student, classes, L)
    else:
        sums = sums or gram_sums(teacher=teacher, student=student)
        joined = _joined(teacher, student, sums)
        squares = np.zeros((L, L))
        for products in _strips(joined, classes, L, memory_bytes):
            joined.add_squares(squares, *products)
        np.maximum(squares, 0, out=squares)
    total = squares.sum()
    return squares / total if total > 0 else squares


def _squares_from_differences(teacher: Rows, student: Rows, classes: np.ndarray, L: int) -> np.ndarray:
    """Sums of Δ_ij² over blocks of classes, from Δ itself; n is small here: rows stay in memory, unshared."""
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

    def fill(self, Z: np.ndarray, start: int, stop: int) -> None:
        Z[:, : self.d_S] = numpy_block(self.student, start, stop)
        Z[:, self.d_S :] = numpy_block(self.teacher, start, stop)

    def strips(self, most: int) -> Iterator[tuple[slice, ...]]:
        """Columns taken together, at most so many; none of both networks."""
        for first, stop in ((0, self.d_S), (self.d_S, self.width)):
            for columns in _slices(first, stop, most):
                yield (columns,)

    def rows_for(self, columns: slice) -> int:
        """A Gram is symmetric: of its columns only the part down to the diagonal is formed."""
        return int(columns.stop)

    def add_squares(self, squares: np.ndarray, columns: slice, G: np.ndarray) -> None:
        """The strip's part of ``⟨J G_a J, G_b⟩``: entries of both networks count −1, those above the diagonal twice."""
        a = columns.start
        for rows, weight in (
            (slice(0, min(a, self.d_S)), 2.0 if a < self.d_S else -2.0),
            (slice(self.d_S, a), 2.0),
            (slice(a, columns.stop), 1.0),
        ):
            part = G[:, rows].reshape(len(G), -1)
            if part.size:
                squares += weight * (part @ part.T)


class _DifferenceAndSum:
    """Rows of ``Z = [E, P]``, ``E = X_S − X_T Q`` and ``P = X_S + X_T Q``, with ``Δ = ½ (E Pᵀ + P Eᵀ)``."""

    def __init__(self, teacher: Rows, student: Rows, rotation: np.ndarray) -> None:
        self.teacher, self.student, self.rotation = teacher, student, rotation
        self.half = max(student.shape[1], teacher.shape[1])
        self.width = 2 * self.half

    def fill(self, Z: np.ndarray, start: int, stop: int) -> None:
        h, X_S, X_T = self.half, numpy_block(self.student, start, stop), numpy_block(self.teacher, start, stop)
        np.matmul(X_T.astype(np.float64), self.rotation[: X_T.shape[1]], out=Z[:, h:])
        np.negative(Z[:, h:], out=Z[:, :h])
        Z[:, : X_S.shape[1]] += X_S
        Z[:, h : h + X_S.shape[1]] += X_S

    def strips(self, most: int) -> Iterator[tuple[slice, ...]]:
        """The same columns of E and of P."""
        for columns in _slices(0, self.half, max(1, most // 2)):
            yield columns, slice(self.half + columns.start, self.half + columns.stop)

    def rows_for(self, columns: slice) -> int:
        return self.width

    def add_squares(self, squares: np.ndarray, columns: slice, *strips: np.ndarray) -> None:
        """The strip's part of ``⟨B G_a B, G_b⟩``, B half the swap of E and P."""
        (EE, PE), (EP, PP) = ((G[:, : self.half], G[:, self.half :]) for G in strips)
        for one, other in ((EE, PP), (EP, PE)):
            product = one.reshape(len(one), -1) @ other.reshape(len(other), -1).T
            squares += (product + product.T) / 4


_Joined = _SideBySide | _DifferenceAndSum


def _joined(teacher: Rows, student: Rows, sums: GramSums) -> _Joined:
    if sums.difference_squared <= (SMALL_LOSS * sums.norm_teacher) ** 2:
        return _DifferenceAndSum(teacher, student, procrustes_rotation(sums))
    return _SideBySide(teacher, student)


def _slices(first: int, stop: int, most: int) -> Iterator[slice]:
    for start in range(first, stop, most):
        yield slice(start, min(start + most, stop))


def _strips(
    joined: _Joined, classes: np.ndarray, L: int, memory_bytes: int
) -> Iterator[tuple[slice, *tuple[np.ndarray, ...]]]:
    """Columns, and these of every class's Gram, shape ``(L, rows, columns)``, good until the next are asked for.

    A class's rows are multiplied together: rows as they come hold so few of each class that products would be thin.
    """
    column, share = 8 * L * joined.width, Share.of(len(classes))
    most = memory_bytes // 2 // column
    if most == 0:
        raise ResourceError(f"{memory_bytes:,} bytes do not hold {2 * column:,} for {L} classes; raise --max-memory")
    chunk = max(BLOCK_ROWS, memory_bytes // 2 // (8 * joined.width))
    Z, held = np.empty((min(share.stop - share.start, chunk), joined.width)), -1
    room = np.empty(L * joined.width * min(most, WIDEST_STRIP))
    for strip in joined.strips(min(most, WIDEST_STRIP)):
        grams = _views(room, [(L, joined.rows_for(columns), columns.stop - columns.start) for columns in strip])
        for start, stop in share.steps(chunk):
            order = np.argsort(classes[start:stop], kind="stable")
            if held != start:  # all rows may fit, and then stay
                _fill_sorted(Z, joined, order, start, stop)
                held = start
            ends = np.searchsorted(classes[start:stop][order], np.arange(L + 1))
            for c in range(L):
                rows = Z[ends[c] : ends[c + 1]]
                for columns, G in zip(strip, grams):
                    if start == share.start:
                        np.matmul(rows[:, : G.shape[1]].T, rows[:, columns], out=G[c])
                    else:
                        G[c] += rows[:, : G.shape[1]].T @ rows[:, columns]
        for G in grams if share.parts > 1 else ():
            for c in range(L):  # one by one: together they may be all that memory holds
                (G[c],) = share.summed(G[c])
        yield strip[0], *grams


def _views(room: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Arrays in the same room every time, one behind the other: fresh memory costs more than adding to it."""
    views, used = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(room[used : used + size].reshape(shape))
        used += size
    return views


def _fill_sorted(Z: np.ndarray, joined: _Joined, order: np.ndarray, start: int, stop: int) -> None:
    """Rows ``start:stop`` into Z, the one that ``order`` names first in front."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    for low, high in row_steps(stop - start, joined.width):
        block = np.empty((high - low, joined.width))
        joined.fill(block, start + low, start + high)
        Z[place[low:high]] = block
