"""Streaming Gram sums: two networks' rows in batches, read once, mergeable, independent of how they are batched.

Rows wait until a block of them is full, so that the sums are the same bits however the rows were cut into batches. They
are then cut into two slices, of which the larger part is added exactly (:mod:`kernelscope.kernels.distance.slices`):
small losses, for which one would go back to the rows, come out right from the sums.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError
from kernelscope.kernels.distance.accumulate import CPU
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.distance.gram import ZERO_TEACHER, GramSums
from kernelscope.kernels.distance.gram_errors import BlockErrors
from kernelscope.kernels.distance.slices import LIMITS, MOST_ROWS, side_by_side, slice_error, sliced
from kernelscope.kernels.rounding import two_sum
from kernelscope.kernels.rows import Rows, Summed, numpy_block, require_finite, storage_roundoff

if TYPE_CHECKING:
    from kernelscope.kernels.distance.answers import TransferLoss

NEAR_ONE = 2.0**60  #: largest entries within this factor of 1 need no scaling


@dataclass(eq=False)
class BatchSums:
    """``Σ ZᵀZ`` of ``Z = [X_S, X_T]`` over n rows, in two parts; ``held`` of the rows are ``waiting`` to be added.

    ``lengths``: of each block's slices, the student's and the teacher's, which bound errors; ``exponent``: rows count
    times this power of two, chosen at the first block; ``same``: both networks' rows were equal so far; ``types``: the
    coarsest of the types that rows came in.
    """

    d_student: int
    d_teacher: int
    n: int = 0
    high: np.ndarray = field(init=False)
    low: np.ndarray = field(init=False)
    lengths: tuple[list[tuple[float, float]], list[tuple[float, float]]] = field(default_factory=lambda: ([], []))
    waiting: list[np.ndarray] = field(default_factory=list)
    held: int = 0
    exponent: int | None = None
    same: bool = True
    types: list[Any] = field(default_factory=lambda: [np.dtype("float64")] * 2)

    def __post_init__(self) -> None:
        p = self.d_student + self.d_teacher
        self.high, self.low = np.zeros((p, p)), np.zeros((p, p))

    def add(self, x_s: Rows, x_t: Rows) -> None:
        """A batch of both networks' rows, ``(b, d_S)`` and ``(b, d_T)``: arrays, or tensors on any device.

        Raises:
            Mismatch: different numbers of rows, or other widths than before. NumericalError: NaN or infinite rows.
        """
        if (x_s.shape[1], x_t.shape[1]) != (self.d_student, self.d_teacher) or x_s.shape[0] != x_t.shape[0]:
            raise Mismatch(
                f"a batch of {tuple(x_s.shape)} and {tuple(x_t.shape)} after rows of {self.d_student} and "
                f"{self.d_teacher} features; give the same layers of the same examples"
            )
        rows = [numpy_block(X, 0, X.shape[0]) for X in (x_s, x_t)]
        for name, X in zip(("x_s", "x_t"), rows):
            if not np.isfinite(X).all():
                require_finite(X, f"{name} of a batch after {self.n} rows")
        self.same = self.same and np.array_equal(rows[0], rows[1])
        self.types = [max(a, getattr(X, "dtype", a), key=_coarseness) for a, X in zip(self.types, (x_s, x_t))]
        self.n += len(rows[0])
        self.waiting.append(np.hstack([X.astype(np.float64) for X in rows]))
        self.held += len(rows[0])
        if self.held >= MOST_ROWS:
            Z = np.concatenate(self.waiting)
            whole = len(Z) // MOST_ROWS * MOST_ROWS
            for start in range(0, whole, MOST_ROWS):
                self._take(Z[start : start + MOST_ROWS])
            self.waiting, self.held = [Z[whole:].copy()], len(Z) - whole

    def _take(self, Z: np.ndarray) -> None:
        """Add a block of at most 4,096 rows."""
        # once for all blocks: sums of rows with different factors could not be added without rounding
        if self.exponent is None and Z.any():
            exponent = math.frexp(float(np.abs(Z).max()))[1]
            self.exponent = 0 if abs(exponent) < math.log2(NEAR_ONE) else -exponent
        with np.errstate(over="ignore", invalid="ignore"):  # :meth:`loss` reports sizes that no factor brings together
            self._take_scaled(np.ldexp(Z, self.exponent or 0))

    def _take_scaled(self, Z: np.ndarray) -> None:
        parts = [sliced(Z[:, : self.d_student]), sliced(Z[:, self.d_student :])]
        cut = side_by_side(parts)
        high, product = CPU.product(cut.H, cut.H), CPU.product(cut.L, cut.both)
        self._put(high, (product + product.T) / 2)
        for lengths, part in zip(self.lengths, parts):
            lengths.append(part.lengths)

    def _put(self, high: np.ndarray, low: np.ndarray) -> None:
        self.high, lost = two_sum(self.high, high)
        self.low = self.low + (lost + low)

    def settled(self) -> BatchSums:
        """The same sums with nothing waiting; these go on as they are."""
        done = copy.copy(self)
        done.lengths = (list(self.lengths[0]), list(self.lengths[1]))
        for Z in filter(len, [np.concatenate(self.waiting)] if self.waiting else []):
            done._take(Z)
        done.waiting, done.held = [], 0
        return done

    def merged(self, other: BatchSums) -> Self:
        """Sums of the rows of both, in a new value.

        Raises:
            Mismatch: other widths.
        """
        if (other.d_student, other.d_teacher) != (self.d_student, self.d_teacher):
            raise Mismatch(
                f"sums of {self.d_student} + {self.d_teacher} features and of {other.d_student} + {other.d_teacher} do "
                "not add; give the same layers"
            )
        one, two = self.settled(), other.settled()
        powers = [each.exponent for each in (one, two) if each.exponent is not None]
        exponent = min(powers, default=None)
        found = replace(
            self, n=one.n + two.n, lengths=([], []), waiting=[], held=0, exponent=exponent, same=one.same and two.same
        )
        found.types = [max(pair, key=_coarseness) for pair in zip(one.types, two.types)]
        for each in (one, two):
            shift = 0 if each.exponent is None or exponent is None else exponent - each.exponent
            found._put(np.ldexp(each.high, 2 * shift), np.ldexp(each.low, 2 * shift))
            for into, lengths in zip(found.lengths, each.lengths):
                into += [(math.ldexp(a, shift), math.ldexp(b, shift)) for a, b in lengths]
        return found

    def loss(self) -> TransferLoss:
        """The transfer loss of all rows so far, with its interval.

        Raises:
            UsageError: no rows yet. DegenerateKernel: an all-zero teacher, or norms that float64 cannot hold.
            NumericalError: features of so many sizes that no common factor keeps their products in double precision.
        """
        if self.n == 0:
            raise UsageError("no rows were added yet, so there is no loss; call update(x_s, x_t) first")
        done = self.settled()
        exponent = done.exponent or 0
        if exponent < -500:
            raise DegenerateKernel(
                f"features reach 2^{-exponent}, whose kernel norms exceed float64; divide by a factor"
            )
        sums = done._gram_sums()
        if not sums.G_TT.any():
            raise DegenerateKernel(ZERO_TEACHER)
        low, high = LIMITS
        if not (low < sums.norm_teacher < high and sums.norm_student < high):
            raise NumericalError("features grew or shrank beyond what sums of products hold; divide both by a factor")
        gone = [Summed((self.n, d), dtype) for d, dtype in zip((self.d_student, self.d_teacher), self.types)]
        scaled = ScaledSums(gone[1], gone[0], sums, math.ldexp(1.0, -2 * exponent), self.same, once=True)
        return replace(loss_from_sums(scaled), route="gram")

    def _gram_sums(self) -> GramSums:
        gram, rest = two_sum(self.high, self.low)
        S, T = self.lengths
        chain = min(MOST_ROWS, self.n) + len(S) + 3
        errors = BlockErrors(slice_error(chain, S, S), slice_error(chain, T, T), slice_error(chain, S, T))
        return GramSums(self.n, self.d_student, gram, None, errors, rest=rest)


def _coarseness(dtype: object) -> float:
    return storage_roundoff(Summed((0, 0), dtype))


def begun(x_s: Rows, x_t: Rows) -> BatchSums:
    """Empty sums for rows as wide as these."""
    if 0 in (x_s.shape[1], x_t.shape[1]):
        raise Mismatch(f"batches of shape {tuple(x_s.shape)} and {tuple(x_t.shape)} have no features; check the layer")
    return BatchSums(x_s.shape[1], x_t.shape[1])
