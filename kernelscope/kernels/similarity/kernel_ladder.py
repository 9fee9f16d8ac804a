"""The ladder from n × n kernels, for few examples: the same rungs, each from the difference of two kernels.

With U a basis of the columns of X_S and ``E = X_T − U Uᵀ X_T`` the head's rung is

    ‖K_T − P K_T P‖_F² = 2 ‖E (Uᵀ X_T)ᵀ‖_F² + ‖E Eᵀ‖_F²        (docs/theory.md 5.3)

in which nothing cancels. What depends on the student alone is found once for all the teachers it meets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.answers import OUTWARD
from kernelscope.kernels.distance.exact import ATOL, RTOL
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.rows import columns
from kernelscope.kernels.similarity.head import Head, Rung, rank_tolerance, root_mean
from kernelscope.kernels.similarity.ladder import Rungs, tail
from kernelscope.kernels.similarity.least_squares import ColumnSpace, projection_error

if TYPE_CHECKING:
    from kernelscope.kernels.distance.kernel_pair import KernelPair
    from kernelscope.kernels.distance.own_kernel import OwnKernel

CANCELS = 1e-3  #: one minus the cosine of two kernels, below which squaring it would cost digits that matter


@dataclass(frozen=True, eq=False)
class HeadStart:
    """What a linear head on one student has to work with, whatever the teacher."""

    own: OwnKernel

    @cached_property
    def space(self) -> ColumnSpace:
        if not self.own.wide:
            return ColumnSpace(self.own.rows, self.tolerance)
        space = ColumnSpace(self.own.rows, math.sqrt(self.own.cut), orthogonal=True)
        space.columns = len(self.own.K)  # those that the kernel's eigenvalues left out were cut too
        return space

    @cached_property
    def halves(self) -> list[tuple[ColumnSpace, np.ndarray]] | None:
        """For the even and for the odd rows: what they span, and what the other rows are in that basis.

        None where a half has fewer than twice as many examples as the student has features.
        """
        n, rows = len(self.own.K), self.own.rows
        if n // 2 < 2 * columns(self.own.X):
            return None
        spaces = [ColumnSpace(rows[fitted::2], self.tolerance) for fitted in (0, 1)]
        return [(space, rows[1 - fitted :: 2] @ space.coefficients) for fitted, space in enumerate(spaces)]

    @property
    def tolerance(self) -> float:
        return rank_tolerance(self.own.X)


def kernel_rungs(pair: KernelPair, centred: KernelPair, start: HeadStart) -> Rungs:
    """Every rung below the raw loss; ``start`` is the student's."""
    by_scalar = best_scaled(pair)
    return Rungs(
        scaled=by_scalar,
        centred=best_scaled(centred) if centred.norm_teacher > 0 else None,
        head=best_head(pair, start).at_most(by_scalar),
        head_held_out=head_held_out(pair, start),
        width_floor=_width_floor(pair),
    )


def best_scaled(pair: KernelPair) -> Rung:
    """See :func:`kernelscope.kernels.similarity.ladder.best_scaled`: by the cosine, or ``‖a K_S − K_T‖`` near 1."""
    if pair.same:
        return Rung(0.0, (0.0, 0.0))
    a, b = pair.norm_student, pair.norm_teacher
    if a == 0:
        return Rung(1.0, (1.0, 1.0))
    cosine, factor = pair.inner / a / b, (pair.norm_cross / a) ** 2
    off_S, off_T = pair.student.error / a, pair.teacher.error / b
    if 1 - cosine > CANCELS:
        off = 1.01 * (pair.inner_error() / a / b + cosine * (off_S + off_T) + gamma(pair.n + 8))
        ends = [math.sqrt(max(0.0, (1 - x) * (1 + x))) for x in (cosine + off, cosine, max(0.0, cosine - off))]
        return Rung(ends[1], (ends[0], ends[2]))
    loss = pair.loss(RTOL, ATOL, pair.difference(factor))
    relative = pair.inner_error() / pair.inner + 2 * off_S + off_S * off_S + 16 * UNIT_ROUNDOFF
    wrong = 1.01 * relative * factor * a / b
    low, high = loss.interval
    low = math.sqrt(max(0.0, (low - wrong) * (low + wrong))) * (1 - OUTWARD)
    return Rung(min(1.0, loss.value), (min(1.0, low), min(1.0, high)))


def best_head(pair: KernelPair, start: HeadStart) -> Head:
    """``min_M ‖X_S M X_Sᵀ − K_T‖_F / ‖K_T‖_F`` over all examples, in sample; the interval is an estimate."""
    space = start.space
    if pair.same or space.rank == pair.n:
        return Head.of(Rung(0.0, (0.0, 0.0)), space)
    if space.rank == 0:
        return Head.of(Rung(1.0, (1.0, 1.0)), space)
    U, X_T, b = space.U, pair.teacher.rows, pair.norm_teacher
    W = U.T @ X_T
    across = X_T @ W.T - U @ (W @ W.T)  # E (Uᵀ X_T)ᵀ, and EᵀE, off by u ‖K_T‖ and no more
    value = math.hypot(math.sqrt(2) * frobenius(across), frobenius(pair.teacher.gram - W.T @ W)) / b
    inside = math.hypot(*np.linalg.norm(W, axis=1))
    left = math.sqrt(max(0.0, pair.trace_teacher - inside * inside))
    off = projection_error(space, frobenius(W / space.sigma[:, None]), left, math.sqrt(pair.trace_teacher))
    off = 2 * math.sqrt(b) * off + off * off + pair.teacher.error
    if pair.student.wide:  # an eigenspace of K_S, which turns as K_S over its least eigenvalue
        off += 2 * pair.student.error / float(pair.student.spectrum[-1]) * b
    value = min(value, 1.0)
    return Head.of(Rung(value, (max(0.0, value - off / b), min(1.0, value + off / b))), space)


def head_held_out(pair: KernelPair, start: HeadStart) -> Rung | None:
    """See :func:`kernelscope.kernels.similarity.head.head_held_out`."""
    if start.halves is None or not all(K.any() for K in pair.teacher.halves):
        return None
    squares, bars = [], []
    for (space, tested), fitted_T, tested_T in zip(start.halves, pair.teacher.halves, pair.teacher.halves[::-1]):
        inner = space.U.T @ fitted_T @ space.U
        predicted = tested @ inner @ tested.T
        b, trace = frobenius(tested_T), float(np.trace(tested_T)) + float(np.trace(predicted))
        inside, length = np.maximum(np.diag(inner), 0.0), float(np.trace(fitted_T))
        off = projection_error(
            space,
            reach=math.sqrt(float(np.sum(inside / space.sigma**2))),
            left=math.sqrt(max(0.0, length - float(inside.sum()))),
            length=math.sqrt(length),
        )
        off = (2 * off * math.sqrt(2 * trace) + 16 * UNIT_ROUNDOFF * trace) / b
        loss = frobenius(predicted - tested_T) / b
        squares.append(loss * loss)
        bars.append(2 * loss * off + off * off)
    return root_mean(squares, bars)


def _width_floor(pair: KernelPair) -> Rung:
    if pair.d_student >= min(pair.n, columns(pair.teacher.X)):
        return Rung(0.0, (0.0, 0.0))
    return tail(pair.teacher.spectrum, pair.d_student, pair.teacher.error, pair.norm_teacher)
