"""Nyström sums for class means and for single rows from Grams alone: what one pass gives of docs/theory.md 4.2.

Everything but Theorem 2 as printed, whose terms are no squares: it needs the rows once more. Differences of Grams that
leave too few digits have no rows to fall back on, so that there is then no answer.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.caught_rows import CaughtRows
from kernelscope.kernels.nystrom.class_sums import ClassSums
from kernelscope.kernels.nystrom.landmarks import MEAN_ROUNDINGS, Landmarks, LandmarkVectors
from kernelscope.kernels.nystrom.nystrom_sums import NetworkSums, NystromSums
from kernelscope.kernels.nystrom.running_sums import RunningSide, cancels
from kernelscope.kernels.nystrom.spectrum import landmark_basis
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, sum_of_squares
from kernelscope.kernels.rows import storage_roundoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.rows import Key, Rows

LEAST_LEFT = 1e-6  #: share of what a difference of Grams is formed from that it must leave: ten digits, or more


def sides(scaled: ScaledSums, classes: ClassSums, keys: tuple[tuple[str, str], tuple[str, str]]) -> list[RunningSide]:
    """The student's and the teacher's side, ``keys`` being their layers: landmarks, and what the Gram gives of them."""
    found = []
    for X, key, gram in zip((scaled.student, scaled.teacher), keys, (scaled.sums.G_SS, scaled.sums.G_TT)):
        D, noise = _means(classes, X, key)
        found.append(RunningSide(X, D, D, gram, landmark_basis(D, storage_roundoff(X), noise), None, LEAST_LEFT))
    return found


def _means(classes: ClassSums, X: Rows, key: Key) -> tuple[np.ndarray, float]:
    """Class means ``(L, d)``, and what rounding may have added to them in ‖·‖_2."""
    lengths = np.sqrt(classes.squares[key][0] / classes.counts)  # at least the mean of row norms
    relative = max(MEAN_ROUNDINGS * UNIT_ROUNDOFF, storage_roundoff(X))
    return classes.means(key), relative * float(np.linalg.norm(lengths))


def class_vectors(classes: ClassSums, labels: np.ndarray, scaled: ScaledSums, keys: tuple[Key, Key]) -> LandmarkVectors:
    """Class means as landmark vectors of the student's and the teacher's layer, for the rows with these ``labels``."""
    (D_S, noise_S), (D_T, noise_T) = (_means(classes, X, key) for X, key in zip((scaled.student, scaled.teacher), keys))
    assignment = np.where(labels < 0, -1, np.searchsorted(classes.labels, labels))
    return LandmarkVectors(D_T, D_S, assignment, exact_centres=True, strategy="class-means", noise=(noise_S, noise_T))


class LandmarkRows(CaughtRows):
    """Rows that serve as landmarks, taken as :func:`kernelscope.kernels.distance.layer_grid.layer_sums` passes them."""

    def __init__(self, landmarks: Landmarks, layers: Mapping[Key, Rows]) -> None:
        super().__init__(landmarks.rows, layers)
        self.landmarks = landmarks

    def of(self, keys: tuple[Key, Key]) -> LandmarkVectors:
        """Landmark vectors of the student's and the teacher's layer."""
        D_S, D_T = (self.vectors[key] for key in keys)
        return LandmarkVectors(D_T, D_S, strategy=self.landmarks.strategy, repeats=self.landmarks.repeats)

    def sides(self, scaled: ScaledSums, keys: tuple[Key, Key]) -> list[RunningSide]:
        """As :func:`sides`."""
        found = []
        for X, key, gram in zip((scaled.student, scaled.teacher), keys, (scaled.sums.G_SS, scaled.sums.G_TT)):
            D = self.vectors[key]
            found.append(RunningSide(X, D, D, gram, landmark_basis(D, storage_roundoff(X), 0.0), None, LEAST_LEFT))
        return found


def nystrom_sums(
    scaled: ScaledSums, student: RunningSide, teacher: RunningSide, of: ClassSums | Landmarks
) -> NystromSums | None:
    """:func:`kernelscope.kernels.nystrom.nystrom.partial` without rows; None where Grams cancel."""
    counts = None if isinstance(of, Landmarks) else of.counts
    S, T, gram, d_S = student, teacher, scaled.sums.gram, scaled.sums.d_student
    if scaled.same or not (_has_residual(S) and _has_residual(T)):
        return None
    differing, F_gram = np.hstack([S.D, -T.D]), None
    if counts is not None:
        centres = np.hstack([S.D, T.D]) * np.sqrt(counts)[:, None]
        F_gram = gram - centres.T @ centres  # of rows less their class means
    r_S = S.basis.rank
    V = np.zeros((len(gram), r_S + T.basis.rank))
    V[:d_S, :r_S], V[d_S:, r_S:] = S.basis.V, T.basis.V
    coordinates = V.T @ gram @ V
    mix = np.hstack([S.basis.U, -T.basis.U]).T
    dC_squares, dC_whole = _differences(differing, gram, d_S)
    dA_square = float(np.vdot(mix, coordinates @ mix))
    left = [
        (float(dC_squares.sum()), float(dC_whole.sum())),
        (dA_square, float(np.trace(coordinates))),
    ]
    dK, within = _kernel_difference(coordinates, r_S), None
    if F_gram is not None:
        left += [(float(np.trace(F_gram[:d_S, :d_S])), float(np.trace(S.gram)))]
        left += [(float(np.trace(F_gram[d_S:, d_S:])), float(np.trace(T.gram)))]
        within = _kernel_difference(F_gram, d_S)
    if (
        any(cancels(part, whole, LEAST_LEFT) for part, whole in left)
        or dK is None
        or (within is None) != (F_gram is None)
    ):
        return None
    S.C_square, T.C_square = (float(np.vdot(side.D @ side.gram, side.D)) for side in (S, T))
    dW = S.D @ S.D.T - T.D @ T.D.T
    return NystromSums(
        n=scaled.sums.n,
        m=len(S.D),
        strategy="class-means" if isinstance(of, ClassSums) else of.strategy,
        repeats=1 if isinstance(of, ClassSums) else of.repeats,
        exact_centres=counts is not None,
        counts=counts,
        teacher=_without_distances(T, coordinates[r_S:, r_S:], None if F_gram is None else F_gram[d_S:, d_S:]),
        student=_without_distances(S, coordinates[:r_S, :r_S], None if F_gram is None else F_gram[:d_S, :d_S]),
        dC_squares=np.maximum(dC_squares, 0.0),
        dC_sums=np.full(len(S.D), math.nan),  # Σ |dC| is no square: no Gram has it
        dA=math.sqrt(dA_square),
        dW=frobenius(dW),
        dK=dK,
        between=None if counts is None else float(counts @ (dW**2 @ counts)),
        across=None if counts is None or F_gram is None else _across(differing, F_gram, d_S, counts),
        within=None if within is None else within**2,
    )


def _across(differing: np.ndarray, F_gram: np.ndarray, d_S: int, counts: np.ndarray) -> float:
    squares, _ = _differences(differing, F_gram, d_S)
    return 2 * math.fsum(counts * np.maximum(squares, 0.0))


def _without_distances(side: RunningSide, coordinates: np.ndarray, F_gram: np.ndarray | None) -> NetworkSums:
    """What the Gram gives of one network; distances of rows from landmarks it does not."""
    return dataclasses.replace(side.result(coordinates, F_gram), distances=None)


def _has_residual(side: RunningSide) -> bool:
    """Whether the Gram gives what landmarks leave of the features: nothing, where they span all that there is."""
    return not side.residual_by_rows or side.basis.rank >= np.linalg.matrix_rank(side.gram, hermitian=True)


def _differences(D: np.ndarray, gram: np.ndarray, d_S: int) -> tuple[np.ndarray, np.ndarray]:
    """``‖X_S d_S − X_T d_T‖²`` of every landmark ``[d_S, −d_T]``, and the two squares that it is the difference of."""
    squares = np.einsum("ij,ij->i", D @ gram, D)
    own = [
        np.einsum("ij,ij->i", part @ gram[at, at], part)
        for at, part in ((slice(0, d_S), D[:, :d_S]), (slice(d_S, None), D[:, d_S:]))
    ]
    return squares, own[0] + own[1]


def _kernel_difference(gram: np.ndarray, d_S: int) -> float | None:
    """‖K_S − K_T‖ from a Gram; None where it would cancel."""
    parts = gram[:d_S, :d_S], gram[d_S:, d_S:], gram[:d_S, d_S:]
    squared = sum_of_squares((1.0, parts[0]), (1.0, parts[1]), (-2.0, parts[2]))
    whole = frobenius(parts[0]) ** 2 + frobenius(parts[1]) ** 2
    return math.sqrt(max(0.0, squared)) if squared >= LEAST_LEFT * whole or whole == 0 else None
