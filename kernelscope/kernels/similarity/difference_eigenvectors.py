"""What carries the difference: the strongest eigenvectors of ``K_S − K_T`` and the examples at their ends.

With ``Z = [X_S, X_T]``, J = diag(I, −I), any R with ``RᵀR = ZᵀZ`` and ``R J Rᵀ u = λ u``, λ ≠ 0, the vector

    v = Z w,    w = J Rᵀ u / λ,    has length 1 and    (K_S − K_T) v = λ v        (docs/theory.md 2.6)

so that neither the n × n difference nor an inverse of R is formed: one pass over the rows. The pass also sums ``Zᵀ v``,
from which follow a better eigenvalue and a proved bound on its error, whatever rounding has made of w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange
from kernelscope.kernels.distance.accumulate import BlockSum, summation_chain
from kernelscope.kernels.distance.aligned_pair import row_allowance
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, gamma
from kernelscope.kernels.rows import BLOCK_ROWS, row_blocks
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nystrom.spectrum import Decomposition

STRONGEST = 3  #: eigenvectors that are looked at
AT_AN_END = 4  #: examples of each of their ends
TOLD_APART = 10.0  #: times what two eigenvalues may be off by, that they must differ for their vectors to mean anything
DECIMALS = 9  #: to which entries must differ to be told apart: ties stand in the order of the rows


@dataclass(frozen=True, eq=False)
class End:
    """The examples at one end of an eigenvector, the farthest first: ``rows`` and the sizes of their ``entries``."""

    rows: np.ndarray
    entries: np.ndarray


@dataclass(frozen=True, eq=False)
class Eigenspace:
    """An eigenvector of ``K_S − K_T``, of length 1; or a space of several that rounding does not tell apart.

    Attributes:
        eigenvalue: of a space the mean.
        low, high: an eigenvalue lies in between, proved where rows are; of a space the ends of all such intervals.
        squares: Σ λ², of ``‖K_S − K_T‖²``.
        positive, negative: examples of the largest positive and negative entries; the sign is such that the largest
            entry by size is positive, of equal ones the first. A space has no sign: the lengths of the rows of its
            projector stand in the place of entries, and there is one end.
    """

    eigenvalue: float
    low: float
    high: float
    dimension: int
    squares: float
    positive: End
    negative: End


def difference_eigenvectors(
    scaled: ScaledSums, found: Decomposition, *, strongest: int = STRONGEST, at_an_end: int = AT_AN_END
) -> list[Eigenspace]:
    """The ``strongest`` eigenvectors by ``|λ|``, of either sign; fewer where no more are known not to be rounding.

    Args:
        scaled: features and Gram sums, in whose units eigenvalues are.
        found: of the same features, see :func:`kernelscope.kernels.nystrom.spectrum.decomposed_gram`.
        at_an_end: how many examples of each end; fewer where fewer have that sign.

    One pass over the rows: ``2 n (d_S + d_T)`` multiply-adds for each eigenvector.
    """
    running = RunningEigenvectors(scaled, found, strongest=strongest, at_an_end=at_an_end)
    share = running.share
    if running.wanted:
        both = zip(row_blocks(scaled.student, share=share), row_blocks(scaled.teacher, share=share))
        for (start, X_S), (_, X_T) in both:
            running.add(start, X_S, X_T)
    return running.result()


class RunningEigenvectors:
    """The same, a block of float64 rows at a time; ``wanted``: whether there are eigenvectors to look at."""

    def __init__(
        self,
        scaled: ScaledSums,
        found: Decomposition,
        *,
        strongest: int = STRONGEST,
        at_an_end: int = AT_AN_END,
    ) -> None:
        spaces = _spaces(found, strongest)
        self._scaled, self._most, self.share = scaled, at_an_end, Share.of(scaled.sums.n)
        self.wanted = bool(spaces)
        columns = np.concatenate([*spaces, np.zeros(0, np.int64)])
        self._signs = np.where(np.arange(len(scaled.sums.gram)) < scaled.sums.d_student, 1.0, -1.0)
        W = self._signs[:, None] * (found.R.T @ found.U[:, columns]) / found.values[columns]
        if self.share.parts > 1:  # eigenvectors have a sign, and planes a basis, that processes need not agree on
            W, *_ = (of_rank for (of_rank,) in exchange.in_turn([W]))
        self._W = W
        ends = np.cumsum([len(space) for space in spaces])
        self._places = [slice(end - len(space), end) for end, space in zip(ends, spaces)]
        self._products, self._squares = BlockSum(lambda: np.zeros_like(W)), BlockSum(lambda: np.zeros(W.shape[1]))
        self._running = [(_Extreme(at_an_end), _Extreme(at_an_end)) for _ in spaces]

    def add(self, start: int, X_S: np.ndarray, X_T: np.ndarray) -> None:
        """Take in rows from row ``start``."""
        d_S = self._scaled.sums.d_student
        V = X_S @ self._W[:d_S] + X_T @ self._W[d_S:]
        self._products.add(np.vstack([X_S.T @ V, X_T.T @ V]))
        self._squares.add(np.einsum("ij,ij->j", V, V))
        for at, (positive, negative) in zip(self._places, self._running):
            if at.stop - at.start > 1:
                positive.add(start, np.linalg.norm(V[:, at], axis=1))
            else:
                positive.add(start, V[:, at.start])
                negative.add(start, -V[:, at.start])

    def result(self) -> list[Eigenspace]:
        """Of all rows, once every process has added its share; without those whose sign rounding leaves open."""
        if not self.wanted:
            return []
        products, squares = self.share.summed(self._products.total(), self._squares.total())
        both = [each for pair in self._running for each in pair]
        gathered = self.share.gathered(*(array for each in both for array in (each.rows, each.entries)))
        each = [_Extreme(self._most, rows, entries).end() for rows, entries in zip(gathered[::2], gathered[1::2])]
        extremes = [_with_sign(*pair) for pair in zip(each[::2], each[1::2])]
        values, errors = _rayleigh(self._scaled, self._W, self._signs, products, squares, self.share)
        spaces = [_eigenspace(values[at], errors[at], *ends) for at, ends in zip(self._places, extremes)]
        return [space for space in spaces if not space.low <= 0 <= space.high]


def _spaces(found: Decomposition, strongest: int) -> list[np.ndarray]:
    """Positions of eigenvalues that rounding does not tell apart, those of the strongest one first."""
    kept = np.flatnonzero(found.kept)
    values, errors = found.values[kept], found.errors[kept]  # ascending
    apart = np.diff(values) > TOLD_APART * (errors[1:] + errors[:-1])
    runs = np.split(kept, np.flatnonzero(apart | (np.diff(np.sign(values)) != 0)) + 1)
    runs.sort(key=lambda run: -float(np.abs(found.values[run]).max(initial=0.0)))
    return [run for run in runs[:strongest] if len(run)]


class _Extreme:
    """The largest positive entries seen so far."""

    def __init__(self, most: int, rows: np.ndarray | None = None, entries: np.ndarray | None = None) -> None:
        self._most = most
        self.rows = np.zeros(0, np.int64) if rows is None else rows
        self.entries = np.zeros(0) if entries is None else entries

    def add(self, start: int, entries: np.ndarray) -> None:
        least = self.entries[-1] if len(self.entries) == self._most else 0.0
        near = np.flatnonzero(np.round(entries, DECIMALS) >= max(10.0**-DECIMALS, np.round(least, DECIMALS)))
        if len(near):
            self.rows = np.concatenate([self.rows, near + start])
            self.entries = np.concatenate([self.entries, entries[near]])
            end = self.end()
            self.rows, self.entries = end.rows, end.entries

    def end(self) -> End:
        """The largest first; where entries are equal, the first row."""
        order = np.lexsort((self.rows, -np.round(self.entries, DECIMALS)))[: self._most]
        return End(self.rows[order], self.entries[order])


def _with_sign(positive: End, negative: End) -> tuple[End, End]:
    """Turned so that the largest entry by size is positive, of equal ones the first."""
    turned = _order(negative) < _order(positive)
    return (negative, positive) if turned else (positive, negative)


def _order(end: End) -> tuple[float, int]:
    """By which of two ends the one of the larger entry is the first, of equal ones that of the first row."""
    return (-float(np.round(end.entries[0], DECIMALS)), int(end.rows[0])) if len(end.rows) else (0.0, 0)


def _rayleigh(
    scaled: ScaledSums, W: np.ndarray, signs: np.ndarray, products: np.ndarray, squares: np.ndarray, share: Share
) -> tuple[np.ndarray, np.ndarray]:
    """Rayleigh quotients of the columns of V, and how far the nearest eigenvalue may be off (docs/theory.md 3.13).

    With g = Zᵀv the residual ``(K_S − K_T) v − λ v`` is ``Z s``, s = J g − λ w, and what g and v are rounded by.
    """
    sums = scaled.sums
    values = np.einsum("ij,i,ij->j", products, signs, products) / squares
    S = signs[:, None] * products - values * W
    of_gram = math.hypot(sums.errors.student, sums.errors.teacher, math.sqrt(2) * sums.errors.cross)
    norm = math.hypot(sums.norm_student, sums.norm_teacher, math.sqrt(2) * sums.norm_cross)  # ‖ZᵀZ‖_F
    length = math.sqrt(1.01 * (sums.trace_student + sums.trace_teacher))  # ‖Z‖_F
    s, w, g = (np.linalg.norm(X, axis=0) for X in (S, W, products))
    p = len(W)
    squared = np.maximum(np.einsum("ij,ij->j", S, sums.gram @ S), 0.0) + (of_gram + gamma(2 * p + 2) * norm) * s**2
    q = gamma(summation_chain(sums.n, BLOCK_ROWS) + share.parts + 1)
    of_sums = math.sqrt(norm + of_gram) * (q * length * np.sqrt(squares) + 3 * UNIT_ROUNDOFF * (g + np.abs(values) * w))
    of_rows = gamma(p + 3) * length * np.abs(values) * w
    allowed = row_allowance(scaled.student, sums.trace_student, sums.norm_student)
    allowed += row_allowance(scaled.teacher, sums.trace_teacher, sums.norm_teacher)
    return values, 1.01 * ((np.sqrt(squared) + of_sums + of_rows) / np.sqrt(squares) + allowed)


def _eigenspace(values: np.ndarray, errors: np.ndarray, positive: End, negative: End) -> Eigenspace:
    return Eigenspace(
        eigenvalue=float(values.mean()),
        low=float((values - errors).min()),
        high=float((values + errors).max()),
        dimension=len(values),
        squares=float(values @ values),
        positive=positive,
        negative=negative,
    )
