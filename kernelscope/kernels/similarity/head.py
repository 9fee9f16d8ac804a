"""The head rung: residual loss after the best linear head on the student (docs/theory.md 5.3).

    min_M ‖X_S M X_Sᵀ − K_T‖_F = ‖K_T − P K_T P‖_F,        P the projector on the columns of X_S

The best M is positive semidefinite, so it is a linear head A on the student, M = A Aᵀ. With E = X_T − P X_T,
``‖K_T − PK_TP‖² = 2⟨EᵀE, (PX_T)ᵀ(PX_T)⟩ + ‖EᵀE‖²``: no cancellation. E comes from the Gram where its condition allows,
else from one more pass over the rows, else from their R-factor. Columns are brought to length 1 first, which leaves P
as it is: channels of different scale are not a bad condition.

The intervals are estimates, not proofs: first-order bounds with the worst constants seen, and attacked in the tests.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from kernelscope.kernels.distance.accumulate import OwnSum, block_rows
from kernelscope.kernels.distance.tsqr import half_factors, merge
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, sum_of_products
from kernelscope.kernels.rows import columns, row_blocks, storage_roundoff
from kernelscope.kernels.shares import Share
from kernelscope.kernels.similarity.least_squares import ColumnSpace, FactorFit, GramFit, ScaledGram

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.distance.gram import GramSums
    from kernelscope.kernels.rows import Rows

RTOL, ATOL = 1e-6, 1e-9  #: half-widths up to which a cheaper way is taken, as for the loss
BY_GRAM, BY_PROJECTION = 1e-10, 1e-11  #: least eigenvalue kept, over the largest, that these ways distinguish from 0


class Rung(float):
    """A remainder of the loss, and where its exact value for the features as stored lies."""

    interval: tuple[float, float]

    def __new__(cls, value: float, interval: tuple[float, float]) -> Self:
        self = super().__new__(cls, value)
        self.interval = interval
        return self


class Head(Rung):
    """The head rung; ``rank`` of the student's ``columns`` that are not 0 were above ``tolerance`` · σ_1 and kept."""

    rank: int
    columns: int
    tolerance: float

    @classmethod
    def of(cls, rung: Rung, fit: GramFit | FactorFit | ColumnSpace) -> Head:
        self = cls(rung, rung.interval)
        self.rank, self.columns, self.tolerance = fit.rank, fit.columns, fit.tolerance
        return self

    def at_most(self, other: Rung) -> Head:
        """This head, or ``other`` where that leaves less: a scalar is a linear head, which no rank cut must hide."""
        if self <= other:
            return self
        least = Head(other, (min(self.interval[0], other.interval[0]), other.interval[1]))
        least.rank, least.columns, least.tolerance = self.rank, self.columns, self.tolerance
        return least


class StudentGrams:
    """The student's own part of every fit from Grams: of all rows, of the even and of the odd; on demand, once."""

    def __init__(self, scaled: ScaledSums) -> None:
        self._sums, self._tolerance = scaled.sums, rank_tolerance(scaled.student)

    @cached_property
    def whole(self) -> ScaledGram:
        return ScaledGram(self._sums.G_SS, self._tolerance)

    @cached_property
    def halves(self) -> tuple[ScaledGram, ScaledGram]:
        assert self._sums.halves is not None
        d_S = self._sums.d_student
        even, odd = (ScaledGram(half[:d_S, :d_S], self._tolerance) for half in self._sums.halves)
        return even, odd


class Factors:
    """R-factors of ``[X_S, X_T]`` for both halves of the rows, computed where something asks: 4 to 6 times a Gram."""

    def __init__(self, scaled: ScaledSums) -> None:
        self._scaled = scaled

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        return half_factors(self._scaled.student, self._scaled.teacher, second=self._scaled.second)

    @cached_property
    def whole(self) -> np.ndarray:
        return merge(*self.halves)


def rank_tolerance(student: Rows) -> float:
    """Singular values of X_S, columns brought to length 1, up to this times the largest count as rounding.

    ``max(max(n, d) u, u_in)`` with u_in the stored type's roundoff: what arithmetic cannot distinguish from 0, and what
    storing the features in less than float64 makes of 0.
    """
    return float(max(max(student.shape) * UNIT_ROUNDOFF, storage_roundoff(student)))


def best_head(scaled: ScaledSums, factors: Factors | None = None, grams: StudentGrams | None = None) -> Head:
    """``min_M ‖X_S M X_Sᵀ − K_T‖_F / ‖K_T‖_F`` over all examples, in sample; ``grams`` of this student, if known."""
    sums, own = scaled.sums, (grams or StudentGrams(scaled)).whole
    fit = GramFit(own, sums.G_ST)
    if scaled.same or (own.rank == sums.n and own.reliable(BY_GRAM)):  # whose columns span everything
        return Head.of(Rung(0.0, (0.0, 0.0)), fit)
    found = None
    if own.reliable(BY_GRAM) or (scaled.once and fit.rank):
        found = _from_gram(sums, fit)
    if not scaled.once and not _resolved(found) and own.reliable(BY_PROJECTION):
        found = _from_projection(scaled, fit)
    if not scaled.once and not _resolved(found):
        return _from_factors(scaled, (factors or Factors(scaled)).whole)
    if found is None:  # nothing of the student is left to fit with
        found = Rung(1.0, (1.0, 1.0))
    return Head.of(found, fit)


def _from_gram(sums: GramSums, fit: GramFit) -> Rung:
    """``EᵀE = [−A; I]ᵀ G [−A; I]``: an error of A enters as its square."""
    left = sums.G_SS @ fit.A - sums.G_ST
    rest = sums.G_TT - sums.G_ST.T @ fit.A + fit.A.T @ left
    relative = max(
        e / t
        for e, t in (
            (sums.errors.student, sums.trace_student),
            (sums.errors.teacher, sums.trace_teacher),
        )
        if t > 0
    )
    relative += 8 * UNIT_ROUNDOFF * math.sqrt(len(sums.gram))
    off = relative * (math.sqrt(sums.trace_teacher) + fit.reach) ** 2
    off += (UNIT_ROUNDOFF * fit.columns * fit.own.condition) ** 2 * sums.trace_teacher
    return rung(sums.G_TT, rest, off)


def _from_projection(scaled: ScaledSums, fit: GramFit) -> Rung:
    """``E = X_T − X_S A`` row by row, then cleaned of what of X_S is still in it."""
    d_S, step = scaled.sums.d_student, block_rows(len(scaled.sums.gram))
    total, both = OwnSum(len(scaled.sums.gram), means=False), np.empty((step, len(scaled.sums.gram)))
    share = Share.of(scaled.sums.n)
    blocks = (row_blocks(X, share=share) for X in (scaled.student, scaled.teacher))
    for (_, S_block), (_, T_block) in zip(*blocks):
        for start in range(0, len(S_block), step):
            X_S, X_T = S_block[start : start + step], T_block[start : start + step]
            rows = both[: len(X_S)]
            rows[:, :d_S] = X_S
            np.subtract(X_T, X_S @ fit.A, out=rows[:, d_S:])
            total.add(rows)
    (gram,) = share.summed(total.gram())
    left = gram[:d_S, d_S:][fit.own.present] * fit.own.inverse_lengths[:, None]
    cleaned = left.T @ fit.own.inverse(left)
    rest = gram[d_S:, d_S:] - cleaned
    length = math.sqrt(max(0.0, float(np.trace(rest))))
    of_rows = 2 * UNIT_ROUNDOFF * (fit.reach + math.sqrt(scaled.sums.trace_teacher))
    off = 2 * length * of_rows + of_rows**2 + UNIT_ROUNDOFF * 64 * length**2
    off += (1e-6 + UNIT_ROUNDOFF * fit.columns * fit.own.condition) * frobenius(cleaned)
    return rung(scaled.sums.G_TT, rest, off)


def _from_factors(scaled: ScaledSums, R: np.ndarray) -> Head:
    """From the R-factor of ``[X_S, X_T]``, which stands for the rows: singular values down to u are seen."""
    d_S = scaled.sums.d_student
    fit = FactorFit(R[:, :d_S], R[:, d_S:], rank_tolerance(scaled.student))
    length = frobenius(fit.left)
    off = 2 * length * fit.off + fit.off**2
    found = rung(R[:, d_S:].T @ R[:, d_S:], fit.left.T @ fit.left, off)
    return Head.of(found, fit)


def rung(G_TT: np.ndarray, rest: np.ndarray, off: float) -> Rung:
    """From EᵀE, known to within ``off`` in Frobenius norm."""
    norm = frobenius(G_TT)
    unit = 2.0 ** -math.frexp(norm)[1]  # so that no square of a tiny teacher underflows
    rest, whole, off = rest * unit, G_TT * unit, off * unit
    squared = sum_of_products([(2.0, rest, whole), (-1.0, rest, rest)])
    # the derivative is 2 (‖K_T‖ − …), and no head does worse than none
    bar = 2 * off * frobenius(whole) + off * off
    ends = [math.sqrt(min(max(0.0, x), frobenius(whole) ** 2)) / (norm * unit) for x in (squared - bar, squared + bar)]
    value = math.sqrt(max(0.0, squared)) / (norm * unit)
    return Rung(min(max(value, ends[0]), ends[1]), (ends[0], ends[1]))


def head_held_out(scaled: ScaledSums, factors: Factors | None = None, grams: StudentGrams | None = None) -> Rung | None:
    """The head fitted on half of the examples and measured on the other half, both ways, root mean square.

    ``A = X_S⁺ X_T`` on one half, then ``‖X_S A Aᵀ X_Sᵀ − K_T‖_F / ‖K_T‖_F`` on the other. None if the sums keep no
    halves, or a half has fewer than twice as many examples as the student has features.
    """
    sums = scaled.sums
    if sums.halves is None or sums.n // 2 < 2 * columns(scaled.student):
        return None
    if not all(half[sums.d_student :, sums.d_student :].any() for half in sums.halves):
        return None
    found = _held_out_by_gram(scaled, grams or StudentGrams(scaled))
    if scaled.once or _resolved(found):
        return found
    return _held_out_by_factors(scaled, (factors or Factors(scaled)).halves)


def _held_out_by_gram(scaled: ScaledSums, grams: StudentGrams) -> Rung | None:
    sums = scaled.sums
    d_S, halves = sums.d_student, sums.halves
    assert halves is not None
    squares, bars = [], []
    for own, fitted, tested in zip(grams.halves, halves, halves[::-1]):
        fit = GramFit(own, fitted[:d_S, d_S:])
        if not own.reliable(BY_GRAM) and not scaled.once:
            return None
        # columns [X_S A, X_T] have the Gram below, and the loss is that of a pair with these features
        unit = 2.0 ** -math.frexp(frobenius(tested[d_S:, d_S:]))[1]
        teacher, cross = tested[d_S:, d_S:] * unit, fit.A.T @ tested[:d_S, d_S:] * unit
        student = fit.A.T @ tested[:d_S, :d_S] @ fit.A * unit
        norm = frobenius(teacher)
        square = sum_of_products([(1.0, student, student), (1.0, teacher, teacher), (-2.0, cross, cross)])
        relative = sums.errors.teacher / sums.trace_teacher + 8 * UNIT_ROUNDOFF * math.sqrt(len(sums.gram))
        off = relative * (math.sqrt(float(np.trace(teacher))) + fit.reach * math.sqrt(unit)) ** 2
        squares.append(square / norm**2)
        bars.append(4 * off * (frobenius(student) + norm + frobenius(cross)) / norm**2)
    return root_mean(squares, bars)


def _held_out_by_factors(scaled: ScaledSums, halves: tuple[np.ndarray, np.ndarray]) -> Rung:
    """From the R-factors of both halves, each of which stands for its rows; nothing cancels."""
    d_S = scaled.sums.d_student
    squares, bars = [], []
    for fitted, tested in (halves, halves[::-1]):
        fit = FactorFit(fitted[:, :d_S], fitted[:, d_S:], rank_tolerance(scaled.student))
        S, T = tested[:, :d_S] @ fit.A, tested[:, d_S:]
        teacher = T @ T.T
        difference, norm = S @ S.T - teacher, frobenius(teacher)
        off = 2 * fit.off * (frobenius(S) + frobenius(T)) / norm
        off += 16 * UNIT_ROUNDOFF * (frobenius(S) ** 2 + frobenius(T) ** 2) / norm
        loss = frobenius(difference) / norm
        squares.append(loss * loss)
        bars.append(2 * loss * off + off * off)
    return root_mean(squares, bars)


def root_mean(squares: list[float], bars: list[float]) -> Rung:
    """Of losses squared, with bounds on what the squares are off by."""
    mean, bar = sum(squares) / len(squares), sum(bars) / len(bars)
    return Rung(math.sqrt(max(0.0, mean)), (math.sqrt(max(0.0, mean - bar)), math.sqrt(max(0.0, mean + bar))))


def _resolved(found: Rung | None) -> bool:
    if found is None:
        return False
    low, high = found.interval
    return (high - low) / 2 <= max(RTOL * found, ATOL)
