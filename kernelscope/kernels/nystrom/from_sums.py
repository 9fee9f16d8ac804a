"""Nyström sums for class means from Grams and class sums alone: what one pass gives of docs/theory.md 4.2.

Everything but Theorem 2 as printed, whose terms are no squares: it needs the rows once more. Differences of Grams that
leave too few digits have no rows to fall back on, so that there is then no answer.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.nystrom.landmarks import MEAN_ROUNDINGS
from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
from kernelscope.kernels.nystrom.running_sums import RunningSide, cancels
from kernelscope.kernels.nystrom.spectrum import landmark_basis
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, sum_of_squares
from kernelscope.kernels.rows import storage_roundoff

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nystrom.class_sums import ClassSums

LEAST_LEFT = 1e-6  #: share of what a difference of Grams is formed from that it must leave: ten digits, or more


def sides(scaled: ScaledSums, classes: ClassSums, keys: tuple[tuple[str, str], tuple[str, str]]) -> list[RunningSide]:
    """The student's and the teacher's side, ``keys`` being their layers: landmarks, and what the Gram gives of them."""
    found = []
    for X, key, gram in zip((scaled.student, scaled.teacher), keys, (scaled.sums.G_SS, scaled.sums.G_TT)):
        D, roundoff = classes.means(key), storage_roundoff(X)
        lengths = np.sqrt(classes.squares[key][0] / classes.counts)  # at least the mean of row norms
        noise = max(MEAN_ROUNDINGS * UNIT_ROUNDOFF, roundoff) * float(np.linalg.norm(lengths))
        found.append(RunningSide(X, D, D, gram, landmark_basis(D, roundoff, noise), None, LEAST_LEFT))
    return found


def nystrom_sums(
    scaled: ScaledSums, student: RunningSide, teacher: RunningSide, counts: np.ndarray
) -> NystromSums | None:
    """:func:`kernelscope.kernels.nystrom.nystrom.partial` for class means, without rows; None where Grams cancel."""
    S, T, gram, d_S = student, teacher, scaled.sums.gram, scaled.sums.d_student
    if scaled.same or not (_has_residual(S) and _has_residual(T)):
        return None
    centres, differing = np.hstack([S.D, T.D]) * np.sqrt(counts)[:, None], np.hstack([S.D, -T.D])
    F_gram = gram - centres.T @ centres  # of rows less their class means
    r_S = S.basis.rank
    V = np.zeros((len(gram), r_S + T.basis.rank))
    V[:d_S, :r_S], V[d_S:, r_S:] = S.basis.V, T.basis.V
    coordinates = V.T @ gram @ V
    mix = np.hstack([S.basis.U, -T.basis.U]).T
    dC_squares, dC_whole = _differences(differing, gram, d_S)
    within_squares, _ = _differences(differing, F_gram, d_S)
    dA_square = float(np.vdot(mix, coordinates @ mix))
    left = [
        (float(np.trace(F_gram[:d_S, :d_S])), float(np.trace(S.gram))),
        (float(np.trace(F_gram[d_S:, d_S:])), float(np.trace(T.gram))),
        (float(dC_squares.sum()), float(dC_whole.sum())),
        (dA_square, float(np.trace(coordinates))),
    ]
    dK, within = (_kernel_difference(G, at) for G, at in ((coordinates, r_S), (F_gram, d_S)))
    if any(cancels(part, whole, LEAST_LEFT) for part, whole in left) or dK is None or within is None:
        return None
    S.C_square, T.C_square = (float(np.vdot(side.D @ side.gram, side.D)) for side in (S, T))
    dW = S.D @ S.D.T - T.D @ T.D.T
    return NystromSums(
        n=scaled.sums.n,
        m=len(counts),
        strategy="class-means",
        repeats=1,
        exact_centres=True,
        counts=counts,
        teacher=dataclasses.replace(T.result(coordinates[r_S:, r_S:], F_gram[d_S:, d_S:]), distances=None),
        student=dataclasses.replace(S.result(coordinates[:r_S, :r_S], F_gram[:d_S, :d_S]), distances=None),
        dC_squares=np.maximum(dC_squares, 0.0),
        dC_sums=np.full(len(counts), math.nan),  # Σ |dC| is no square: no Gram has it
        dA=math.sqrt(dA_square),
        dW=frobenius(dW),
        dK=dK,
        between=float(counts @ (dW**2 @ counts)),
        across=2 * math.fsum(counts * np.maximum(within_squares, 0.0)),
        within=within**2,
    )


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
