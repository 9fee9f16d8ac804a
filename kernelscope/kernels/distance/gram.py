"""Gram route: the transfer loss from ``ZᵀZ``, ``Z = [X_S, X_T]``, summed in one pass over the examples.

    ‖K_S − K_T‖_F² = ‖G_SS‖_F² + ‖G_TT‖_F² − 2 ‖G_ST‖_F²        (docs/theory.md 2.1)

Costs n (d_S + d_T)² / 2 multiply-adds and (d_S + d_T)² numbers of memory, whatever n is. The three norms cancel, so
they are formed and added without error (docs/theory.md 3.3); what is left is the rounding of the Gram itself, about
u / loss² of the loss: beyond that the information is gone, and another route is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.accumulate import PairSum, block_rows, place_of, summation_chain
from kernelscope.kernels.distance.gram_errors import BlockErrors, summation_errors, with_row_errors
from kernelscope.kernels.halves import are_uneven, halves_of
from kernelscope.kernels.rounding import (
    UNIT_ROUNDOFF,
    evaluation_error,
    frobenius,
    gamma,
    norm_roundings,
    sum_of_products,
)
from kernelscope.kernels.rows import (
    BLOCK_ROWS,
    Rows,
    entry_error,
    numpy_block,
    require_finite,
    require_same_examples,
)
from kernelscope.kernels.shares import Share

COMFORTABLE = (1e-100, 1e100)  #: kernel norms whose squares float64 holds in full
ZERO_TEACHER = "teacher features are all zero, so the loss has nothing to be relative to; check the layer"


@dataclass(frozen=True)
class GramSums:
    """What one pass leaves: the Gram of ``Z = [X_S, X_T]`` and, if asked for, the column sums, in double precision.

    ``errors`` bounds what is wrong with the Gram, and ``sums_error`` the Euclidean norm of what is wrong with the
    column sums, relative to ``√n ‖Z‖_F``; ``rest`` is what the Gram leaves out where its sums are known to more than
    double precision; ``halves`` the Grams of the even and of the odd rows, when asked for.
    """

    n: int
    d_student: int
    gram: np.ndarray
    column_sums: np.ndarray | None
    errors: BlockErrors
    sums_error: float = 0.0
    rest: np.ndarray | None = None
    halves: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def sums(self) -> np.ndarray:
        """Σ_i z_i, shape ``(d_S + d_T,)``.

        Raises:
            DegenerateKernel: if the pass was made without them.
        """
        if self.column_sums is None:
            raise DegenerateKernel("these sums were taken without column sums; take them with means=True")
        return self.column_sums

    @property
    def d_teacher(self) -> int:
        return len(self.gram) - self.d_student

    @property
    def G_SS(self) -> np.ndarray:
        return self.gram[: self.d_student, : self.d_student]

    @property
    def G_TT(self) -> np.ndarray:
        return self.gram[self.d_student :, self.d_student :]

    @property
    def G_ST(self) -> np.ndarray:
        return self.gram[: self.d_student, self.d_student :]

    @cached_property
    def norm_student(self) -> float:
        """‖K_S‖_F = ‖G_SS‖_F."""
        return frobenius(self.G_SS)

    @cached_property
    def norm_teacher(self) -> float:
        """‖K_T‖_F = ‖G_TT‖_F."""
        return frobenius(self.G_TT)

    @cached_property
    def norm_cross(self) -> float:
        """‖G_ST‖_F, whose square is ⟨K_S, K_T⟩."""
        return frobenius(self.G_ST)

    @property
    def comfortable(self) -> bool:
        """Whether squares of the kernel norms are far from over- and underflow, so that nothing needs rescaling."""
        return self.teacher_comfortable and COMFORTABLE[0] < self.norm_student

    @property
    def teacher_comfortable(self) -> bool:
        """The same of a student that may be all zero, or so small that its norm was lost."""
        low, high = COMFORTABLE
        return low < self.norm_teacher < high and self.norm_student < high

    @property
    def trace_student(self) -> float:
        """‖X_S‖_F² = tr K_S."""
        return float(np.trace(self.G_SS))

    @property
    def trace_teacher(self) -> float:
        return float(np.trace(self.G_TT))

    @cached_property
    def difference_squared(self) -> float:
        """‖K_S − K_T‖_F², as rounded: may come out a little below 0 for kernels that agree."""
        return self.weighted_norms(1.0, 1.0, -2.0)

    def weighted_norms(self, student: float, teacher: float, cross: float) -> float:
        """``w_S ‖K_S‖² + w_T ‖K_T‖² + w_ST ‖G_ST‖²`` without cancellation; weights are powers of two up to sign."""
        d = self.d_student
        parts = [(student, slice(0, d), slice(0, d)), (teacher, slice(d, None), slice(d, None))]
        parts += [(cross, slice(0, d), slice(d, None))]
        high = [(w, self.gram[rows, columns], self.gram[rows, columns]) for w, rows, columns in parts]
        if self.rest is None:
            return sum_of_products(high)
        mixed = [(2 * w, self.gram[rows, columns], self.rest[rows, columns]) for w, rows, columns in parts]
        low = [(w, self.rest[rows, columns], self.rest[rows, columns]) for w, rows, columns in parts]
        return sum_of_products([*high, *mixed, *low])

    def certified_bar(self) -> float:
        """Proved bound on the error of :attr:`difference_squared` (docs/theory.md 3.3)."""
        a, b, c, e = self.norm_student, self.norm_teacher, self.norm_cross, self.errors
        entries = 2 * a * e.student + e.student**2 + 2 * b * e.teacher + e.teacher**2
        entries += 2 * (2 * c * e.cross + e.cross**2)
        forming = 4 * UNIT_ROUNDOFF * abs(self.difference_squared)
        forming += evaluation_error(self.gram.size, a * a + b * b + 2 * c * c)
        return 1.01 * (entries + forming)

    def norm_error(self, which: str) -> float:
        """Proved bound on the error of ``norm_student``, ``norm_teacher`` or ``norm_cross``; ``which`` names it."""
        block = {"student": self.G_SS, "teacher": self.G_TT, "cross": self.G_ST}[which]
        norm = {"student": self.norm_student, "teacher": self.norm_teacher, "cross": self.norm_cross}[which]
        forming = gamma(norm_roundings(block)) * norm
        rest = 0.0 if self.rest is None else UNIT_ROUNDOFF * norm
        return 1.01 * (float(getattr(self.errors, which)) + forming + rest)

    def centred(self) -> GramSums:
        """The sums of features with their means removed, by downdating: ``G − n μ μᵀ``.

        Loses the digits that :meth:`mean_share` counts, and the errors grow with it; with a large offset sum shifted
        rows instead.
        """
        s, d = self.sums, self.d_student
        gram = self.gram - np.outer(s, s) / self.n
        means = [float(np.linalg.norm(part)) / math.sqrt(self.n) for part in (s[:d], s[d:])]  # √n ‖μ‖
        offs = [self.sums_error * math.sqrt(trace) for trace in (self.trace_student, self.trace_teacher)]
        norms = [self.norm_student, self.norm_teacher, self.norm_cross]

        def error(before: float, i: int, j: int, norm: float) -> float:
            outer = means[i] * offs[j] + means[j] * offs[i] + offs[i] * offs[j]
            return 1.01 * (before + outer + 4 * UNIT_ROUNDOFF * (means[i] * means[j] + norm))

        e = self.errors
        return GramSums(
            self.n,
            d,
            gram,
            np.zeros_like(s),
            BlockErrors(
                error(e.student, 0, 0, norms[0]), error(e.teacher, 1, 1, norms[1]), error(e.cross, 0, 1, norms[2])
            ),
            rest=self.rest,
        )

    def with_row_errors(self, rows_S: float, rows_T: float) -> GramSums:
        """The same of rows that are themselves off by ``rows_S`` and ``rows_T`` in Frobenius norm."""
        errors = with_row_errors(
            self.errors, norm_student=self.norm_student, norm_teacher=self.norm_teacher, rows_S=rows_S, rows_T=rows_T
        )
        return replace(self, errors=errors)

    def without(self, student: bool, teacher: bool) -> GramSums:
        """The sums with the named networks' features all 0."""
        if not student and not teacher:
            return self
        keep = np.where(np.arange(len(self.gram)) < self.d_student, not student, not teacher).astype(float)
        e = self.errors
        return replace(
            self,
            gram=self.gram * np.outer(keep, keep),
            errors=BlockErrors(
                0.0 if student else e.student, 0.0 if teacher else e.teacher, 0.0 if student or teacher else e.cross
            ),
            rest=None if self.rest is None else self.rest * np.outer(keep, keep),
        )

    def times(self, *, student: float, teacher: float) -> GramSums:
        """The sums of features times these factors > 0, without column sums and halves."""
        is_student = np.arange(len(self.gram)) < self.d_student
        weights, e, rounding = np.where(is_student, student, teacher), self.errors, 4 * UNIT_ROUNDOFF

        def scaled(matrix: np.ndarray) -> np.ndarray:
            return matrix * weights[:, None] * weights  # in turn: the product of weights may underflow

        return GramSums(
            self.n,
            self.d_student,
            scaled(self.gram),
            None,
            BlockErrors(
                student * (student * (e.student + rounding * self.norm_student)),
                teacher * (teacher * (e.teacher + rounding * self.norm_teacher)),
                student * (teacher * (e.cross + rounding * self.norm_cross)),
            ),
            rest=None if self.rest is None else scaled(self.rest),
        )

    @property
    def totals(self) -> tuple[float, float]:
        """``1ᵀ K 1 = ‖Σ_i x_i‖²`` of the student and of the teacher."""
        parts = self.sums[: self.d_student], self.sums[self.d_student :]
        return float(parts[0] @ parts[0]), float(parts[1] @ parts[1])

    def mean_share(self) -> float:
        """Largest ratio of ‖X‖_F² to ‖X − mean‖_F² over the two networks: the digits that centring cancels."""
        shares = []
        for part in (slice(0, self.d_student), slice(self.d_student, None)):
            total = float(np.trace(self.gram[part, part]))
            within = total - float(self.sums[part] @ self.sums[part]) / self.n
            shares.append(total / within if within > 0 else (math.inf if total > 0 else 1.0))
        return max(shares)


def gram_sums(
    *,
    teacher: Rows,
    student: Rows,
    device: str = "cpu",
    halves: bool = False,
    second: np.ndarray | None = None,
    means: bool = True,
    may_vanish: bool = False,
) -> GramSums:
    """One pass over both networks' features.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same examples in the same order.
        device: where the products are formed; ``"cpu"`` in NumPy, others in torch in double precision.
        halves: also keep the Grams of even and odd rows (for cross-fitting), at no extra cost.
        second: which rows, shape ``(n,)``, make the second half in the place of the odd ones.
        means: also sum the columns, which centring and chance need; the loss alone does not.
        may_vanish: accept an all-zero teacher (centred features of one repeated example).

    Raises:
        Mismatch: different numbers of rows, or none.
        NumericalError: NaN or infinite features, with their number and first row.
        DegenerateKernel: an all-zero teacher.
    """
    n = require_same_examples(teacher, student)
    d_S, d_T = student.shape[1], teacher.shape[1]

    share = Share.of(n)
    parts = _summed(teacher, student, device, means, share, halves, second)
    grams = share.summed(*(part.gram() for part in parts))
    with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite, or too large, are named next
        gram = grams[0] if len(grams) == 1 else grams[0] + grams[1]  # one rounding more, counted in the chain below
        sums = share.summed(np.sum([np.asarray(part.sums) for part in parts], axis=0))[0] if means else None
    _require_usable(gram, d_S, teacher, student, may_vanish)
    in_second = n // 2 if second is None else int(second.sum())
    chain = summation_chain(n, block_rows(d_S + d_T)) + (len(parts) - 1) + (share.parts - 1)
    plain = GramSums(n, d_S, gram, sums, summation_errors(gram, d_S, chain))
    rows_S = entry_error(student, math.sqrt(plain.trace_student))
    rows_T = entry_error(teacher, math.sqrt(plain.trace_teacher))
    return replace(
        plain.with_row_errors(rows_S, rows_T),
        sums_error=1.01 * gamma(chain + 2) + max(e / t for e, t in zip((rows_S, rows_T), _lengths(plain))),
        halves=None if not halves or are_uneven(n - in_second, in_second, d_S) else (grams[0], grams[1]),
    )


def _summed(
    teacher: Rows, student: Rows, device: str, means: bool, share: Share, halves: bool, second: np.ndarray | None
) -> list[PairSum]:
    """The pass over the rows: one sum of all, or one of each of their halves."""
    d_S, d_T = student.shape[1], teacher.shape[1]
    place = place_of(device)
    sums = [PairSum(d_S, d_T, means, place) for _ in range(2 if halves else 1)]
    for start, stop in share.steps(BLOCK_ROWS):
        X_S, X_T = numpy_block(student, start, stop), numpy_block(teacher, start, stop)
        chosen = None if second is None else second[start:stop]
        for rows, part in zip(halves_of(chosen) if halves else (slice(None),), sums):
            part.add(X_S[rows], X_T[rows])
    return sums


def _lengths(sums: GramSums) -> tuple[float, float]:
    """‖X_S‖_F and ‖X_T‖_F, infinite where 0, so that an error over it is 0."""
    both = [math.sqrt(trace) if trace > 0 else math.inf for trace in (sums.trace_student, sums.trace_teacher)]
    return both[0], both[1]


def _require_usable(gram: np.ndarray, d_S: int, teacher: Rows, student: Rows, may_vanish: bool) -> None:
    """NaN, Inf and a zero teacher all show in the Gram, so looking for them costs no pass."""
    if not np.isfinite(gram).all():
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise DegenerateKernel("features are so large that their products overflow; divide both by a common factor")
    if not may_vanish and not gram[d_S:, d_S:].any():
        raise DegenerateKernel(ZERO_TEACHER)
