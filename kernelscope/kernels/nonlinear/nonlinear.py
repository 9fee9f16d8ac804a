"""Transfer loss of RBF and polynomial kernels: exact from all n² entries, or estimated from drawn pairs.

By blocks n² entries are formed once and thrown away; squares of the *difference* are summed, so nothing cancels, and
the interval is proved. From pairs drawn by weight (docs/theory.md 8.2) every term is bounded, so an empirical Bernstein
interval holds with the probability stated, however heavy some rows are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.gram import ZERO_TEACHER
from kernelscope.kernels.nonlinear.functions import Kernel, KernelBlocks
from kernelscope.kernels.rounding import gamma
from kernelscope.kernels.rows import Rows, require_finite, require_same_examples, take_rows
from kernelscope.kernels.shares import Dealt
from kernelscope.kernels.statistics.sampling import LeaveOut, RowNorms, groups_with_blocks, single_examples

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1024
MOST_BY_BLOCKS = 20_000  #: examples up to which all pairs are formed without being asked for
DRAWN_PAIRS = 2**20
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums over the n² entries of K_S and K_T: squares, products, row sums, diagonals; Δ = K_S − K_T.

    ``bar`` bounds the error of ‖Δ‖_F, ``student_error`` and ``teacher_error`` those of ‖K_S‖_F and ‖K_T‖_F.
    ``parts``: what resampling leaves out, single examples or whole groups of them.
    """

    n: int
    difference: float
    student: float
    teacher: float
    inner: float
    row_sums: tuple[np.ndarray, np.ndarray]
    diagonals: tuple[np.ndarray, np.ndarray]
    rows: RowNorms
    parts: LeaveOut
    bar: float
    student_error: float
    teacher_error: float

    @property
    def alignment(self) -> float:
        return min(1.0, self.inner / (self.student * self.teacher))

    def centred(self) -> tuple[float, float, float]:
        """⟨HK_SH, HK_TH⟩, ‖HK_SH‖² and ‖HK_TH‖², H = I − 11ᵀ/n."""
        r_S, r_T = self.row_sums

        def removed(a: np.ndarray, b: np.ndarray) -> float:
            return 2 / self.n * float(a @ b) - float(a.sum()) * float(b.sum()) / self.n**2

        squares = self.student**2 - removed(r_S, r_S), self.teacher**2 - removed(r_T, r_T)
        return self.inner - removed(r_S, r_T), max(0.0, squares[0]), max(0.0, squares[1])

    def centred_diagonals(self) -> tuple[np.ndarray, np.ndarray]:
        """Diagonals of HK_SH and HK_TH."""
        k, l = (d - 2 * r / self.n + r.sum() / self.n**2 for d, r in zip(self.diagonals, self.row_sums))
        return k, l


def kernel_sums(
    *, teacher: Rows, student: Rows, kernel: Kernel, seed: int = 0, groups: np.ndarray | None = None
) -> tuple[KernelSums, str]:
    """Everything that all pairs of examples give, and what the two kernels are in words; n² (d_S + d_T) / 2.

    Args:
        groups: the group of each example, shape ``(n,)``, where examples were drawn in groups.

    Raises:
        Mismatch, NumericalError, DegenerateKernel: as for linear kernels.
    """
    n = require_same_examples(teacher, student)
    sides = _sides(teacher, student, kernel, seed)
    totals, dealt = _Totals(n, groups), Dealt(-(-n // BLOCK))
    for block in _kernel_blocks(sides, n, dealt):
        totals.add(*block)
    totals.take_in_others(dealt)
    _require_finite(totals.sums, teacher, student)
    diagonals = sides[0].diagonal(), sides[1].diagonal()
    errors = [math.sqrt(2 * n * float(e @ e) + 2 * float(e.sum()) ** 2) for side in sides for e in [side.entry_error()]]
    difference, norm_S, norm_T = (math.sqrt(square) for square in totals.sums[:3])
    summing = gamma(2 * BLOCK + n // BLOCK + dealt.parts + 8)
    rows = RowNorms(totals.norms[0], diagonals[0] - diagonals[1], totals.norms[1], diagonals[1])
    return KernelSums(
        n=n,
        difference=difference,
        student=norm_S,
        teacher=norm_T,
        inner=float(totals.sums[3]),
        row_sums=(totals.row_sums[0], totals.row_sums[1]),
        diagonals=diagonals,
        rows=rows,
        parts=totals.parts(rows),
        bar=1.01 * (sum(errors) + summing * difference),
        student_error=1.01 * (errors[0] + summing * norm_S),
        teacher_error=1.01 * (errors[1] + summing * norm_T),
    ), _label(sides)


def _kernel_blocks(
    sides: tuple[KernelBlocks, KernelBlocks], n: int, dealt: Dealt
) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Rows, columns, and K_S and K_T where they cross, of every block on and above the diagonal, of this process."""
    for i in range(0, n, BLOCK):
        if not dealt.own():
            continue
        a = slice(i, min(i + BLOCK, n))
        left = [side.rows(a.start, a.stop) for side in sides]
        for j in range(i, n, BLOCK):
            b = slice(j, min(j + BLOCK, n))
            right = left if i == j else [side.rows(b.start, b.stop) for side in sides]
            S, T = (side.between(A, side.squares[a], B, side.squares[b]) for side, A, B in zip(sides, left, right))
            if i == j:  # k(x, x) is known without the rounding of ‖x‖² + ‖x‖² − 2 x·x
                for side, K in zip(sides, (S, T)):
                    np.fill_diagonal(K, side.diagonal()[a])
            yield a, b, S, T


class _Totals:
    """Running sums over all n² entries; blocks above the diagonal count twice.

    ``sums`` of Δ², K_S², K_T² and K_S K_T; ``row_sums`` of K_S and K_T; ``norms``: squared norms of the rows of Δ and
    K_T; ``own``: those of the blocks of Δ and K_T within each group.
    """

    def __init__(self, n: int, groups: np.ndarray | None) -> None:
        self.sums = np.zeros(4)
        self.row_sums, self.norms = np.zeros((2, n)), np.zeros((2, n))
        self.groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
        self.own = np.zeros((2, 0 if self.groups is None else int(self.groups.max()) + 1))

    def add(self, a: slice, b: slice, S: np.ndarray, T: np.ndarray) -> None:
        squares = np.square(S - T), np.square(T)
        twice = 1 if a == b else 2
        if self.groups is not None:
            same = self.groups[a, None] == self.groups[None, b]
            for which in (0, 1):
                within = np.where(same, squares[which], 0.0).sum(axis=1)
                self.own[which] += twice * np.bincount(self.groups[a], weights=within, minlength=self.own.shape[1])
        entries = squares[0].sum(), np.vdot(S, S), squares[1].sum(), np.vdot(S, T)
        self.sums += [twice * float(x) for x in entries]
        for which, K in enumerate((S, T)):
            self.row_sums[which, a] += K.sum(axis=1)
            self.norms[which, a] += squares[which].sum(axis=1)
            if a != b:
                self.row_sums[which, b] += K.sum(axis=0)
                self.norms[which, b] += squares[which].sum(axis=0)

    def take_in_others(self, dealt: Dealt) -> None:
        """What the other processes found in their blocks."""
        self.sums, self.row_sums, self.norms, self.own = dealt.summed(self.sums, self.row_sums, self.norms, self.own)

    def parts(self, rows: RowNorms) -> LeaveOut:
        return single_examples(rows) if self.groups is None else groups_with_blocks(rows, self.groups, self.own)


@dataclass(frozen=True)
class PairsEstimate:
    """The loss from drawn pairs of examples; ``low .. high`` holds it with probability ``confidence``."""

    value: float
    low: float
    high: float
    confidence: float
    pairs: int
    norm_difference: float
    norm_student: float
    norm_teacher: float
    inner: float


def pairs_estimate(
    *, teacher: Rows, student: Rows, kernel: Kernel, pairs: int = DRAWN_PAIRS, seed: int = 0
) -> tuple[PairsEstimate, str]:
    """‖K_S − K_T‖_F / ‖K_T‖_F from pairs (i, j) drawn by weight ``p_i ∝ k_S(i, i) + k_T(i, i)``; any n.

    ``Δ_ij² / (p_i p_j) <= (Σ k_S(i,i) + k_T(i,i))²`` by Cauchy and Schwarz, and so is K_T's: both means are of bounded
    terms, so each lies within the empirical Bernstein bound of Audibert, Munos and Szepesvari (2009).
    """
    require_same_examples(teacher, student)
    sides = _sides(teacher, student, kernel, seed)
    weight = sides[0].diagonal() + sides[1].diagonal()
    if not np.isfinite(weight).all() or not weight.sum() > 0:
        _require_finite(weight, teacher, student)
        raise DegenerateKernel(ZERO_TEACHER)
    means, spread = _drawn_terms(sides, weight, pairs, seed)
    log = math.log(3 * 2 / (1 - CONFIDENCE))  # two means, each wrong with half of the probability that is left
    half = np.sqrt(2 * spread * log / pairs) + 3 * float(weight.sum()) ** 2 * log / pairs
    if means[2] == 0:
        raise DegenerateKernel(ZERO_TEACHER)
    low = math.sqrt(max(0.0, means[0] - half[0]) / (means[2] + half[2]))
    high = math.sqrt((means[0] + half[0]) / max(means[2] - half[2], 1e-300))
    norms = np.sqrt(means[:3])
    return PairsEstimate(
        value=float(norms[0] / norms[2]),
        low=low,
        high=min(high, 1e300),
        confidence=CONFIDENCE,
        pairs=pairs,
        norm_difference=float(norms[0]),
        norm_student=float(norms[1]),
        norm_teacher=float(norms[2]),
        inner=float(means[3]),
    ), _label(sides)


def _drawn_terms(
    sides: tuple[KernelBlocks, KernelBlocks], weight: np.ndarray, pairs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of Δ², K_S², K_T² and K_S K_T, each over p_i p_j, of pairs drawn by weight."""
    p = weight / weight.sum()
    rng = np.random.default_rng(seed)
    totals, squares = np.zeros(4), np.zeros(4)
    left = pairs
    while left > 0:
        m = min(left, 2**15)
        i, j = (np.minimum(np.searchsorted(np.cumsum(p), rng.random(m)), len(p) - 1) for _ in range(2))
        S, T = (_entries(side, i, j) for side in sides)
        terms = np.stack([np.square(S - T), np.square(S), np.square(T), S * T]) / (p[i] * p[j])
        totals += terms.sum(axis=1)
        squares += np.square(terms).sum(axis=1)
        left -= m
    means = totals / pairs
    return means, np.maximum(squares / pairs - means**2, 0)


def _sides(teacher: Rows, student: Rows, kernel: Kernel, seed: int) -> tuple[KernelBlocks, KernelBlocks]:
    sides = KernelBlocks(student, kernel, seed), KernelBlocks(teacher, kernel, seed)
    for side, X, name in zip(sides, (student, teacher), ("student", "teacher")):
        if not np.isfinite(side.squares).all():
            require_finite(X, f"{name} features")
            raise DegenerateKernel(f"{name} features are so large that their squares overflow; divide by a factor")
    return sides


def _entries(side: KernelBlocks, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    A, B = (take_rows(side.X, rows) - side.shift for rows in (i, j))
    entries = side.of_pairs(A, side.squares[i], B, side.squares[j])
    return np.where(i == j, side.diagonal()[i], entries)


def _label(sides: tuple[KernelBlocks, KernelBlocks]) -> str:
    """``rbf(gamma=0.1)`` where both are the same, else both, the teacher's first."""
    student, teacher = (side.label for side in sides)
    return teacher if student == teacher else f"teacher {teacher}, student {student}"


def _require_finite(sums: np.ndarray, teacher: Rows, student: Rows) -> None:
    if np.isfinite(sums).all():
        return
    require_finite(teacher, "teacher features")
    require_finite(student, "student features")
    raise DegenerateKernel("features are so large that their kernel overflows; divide both by a common factor")
