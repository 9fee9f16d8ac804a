"""Nyström sums: everything the partial matrices ``C = X Dᵀ`` say about ``K_S − K_T``, in one pass over the rows.

    K~ = C W⁺ Cᵀ = X P Xᵀ,   P = V Vᵀ the projector on the landmarks' span,   K − K~ = X (I − P) Xᵀ >= 0

Neither W⁺ nor anything n × n is formed: D is factored once, rows are projected first and multiplied afterwards
(docs/theory.md 4.2). Costs O(n d² + n d m) and O(d² + d m) numbers of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit as t_quantile

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.nystrom.landmarks import Landmarks, group_means
from kernelscope.kernels.nystrom.nystrom_sums import NystromSums, RunningSide, RunningSums
from kernelscope.kernels.nystrom.spectrum import landmark_basis
from kernelscope.kernels.rows import (
    Rows,
    as_rows,
    identical,
    numpy_block,
    require_finite,
    require_same_examples,
    row_steps,
    storage_roundoff,
)


def partial(*, teacher: Any, student: Any, landmarks: Landmarks, sums: GramSums | None = None) -> NystromSums:
    """Nyström sums of two networks for landmarks that are groups of these very examples.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same n examples in the same order.
        sums: Grams of the same features if they exist already; saves a fifth of the work.

    Raises:
        Mismatch: numbers of rows differ.
        NumericalError: NaN or infinite features.
        DegenerateKernel: kernel norms outside 1e-150 .. 1e150, whose squares float64 does not hold.
    """
    return partial_with(
        teacher=teacher,
        student=student,
        D_T=landmarks.of(teacher),
        D_S=landmarks.of(student),
        assignment=landmarks.assignment,
        exact_centres=landmarks.is_partition,
        strategy=landmarks.strategy,
        sums=sums,
        repeats=landmarks.repeats,
        noise=(landmarks.noise(student), landmarks.noise(teacher)),
    )


def partial_with(
    *,
    teacher: Any,
    student: Any,
    D_T: np.ndarray,
    D_S: np.ndarray,
    assignment: np.ndarray | None = None,
    exact_centres: bool = False,
    strategy: str = "external",
    sums: GramSums | None = None,
    rank: int | None = None,
    repeats: int = 1,
    noise: tuple[float, float] = (0.0, 0.0),
) -> NystromSums:
    """The same for any landmark vectors, also stale or foreign ones, with an assignment or none.

    Args:
        D_T, D_S: landmarks ``(m, d_T)`` and ``(m, d_S)``; landmark l means the same in both spaces.
        assignment: the landmark of each example, shape ``(n,)``, −1 for none, common to both networks.
        exact_centres: the landmarks are the means of ``assignment``'s groups in these features. Only then do
            Theorem PY and the ANOVA hold.
        strategy: how the landmarks were chosen; ``external`` if they are not made from these examples.
        rank: cut the landmarks at this rank (the paper's k); cutting never helps a bound.
        repeats: how often the most frequent row serves as a landmark.
        noise: what rounding may have added to D_S and to D_T, in ‖·‖_2.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    n = require_same_examples(teacher, student)
    _require_fit(teacher, student, D_T, D_S, assignment)
    m = len(D_T)
    means = (D_S, D_T)
    if assignment is not None and not exact_centres:
        means = group_means(student, assignment, m), group_means(teacher, assignment, m)
    grams = (None, None) if sums is None else (sums.G_SS, sums.G_TT)
    sides = [
        RunningSide(X, D, mean, gram, landmark_basis(D, storage_roundoff(X), floor, rank), floor)
        for X, D, mean, gram, floor in zip((student, teacher), (D_S, D_T), means, grams, noise)
    ]
    both = RunningSums(sides[0], sides[1], m, assigned=assignment is not None)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found in the sums
        for start, stop in row_steps(n, m + student.shape[1] + teacher.shape[1]):
            groups = None if assignment is None else assignment[start:stop]
            X_S, X_T = (numpy_block(X, start, stop).astype(np.float64, copy=False) for X in (student, teacher))
            both.add(X_S, X_T, groups)
    both.require_usable()
    same = np.array_equal(D_S, D_T) and identical(teacher, student)  # two reads of the first block, as a rule
    return both.result(strategy, exact_centres, assignment, repeats, same)


@dataclass(frozen=True)
class SampledEstimate:
    """‖K_S − K_T‖_F from uniform landmarks: ``value``² is unbiased, ``[low, high]`` holds the truth at ``level``."""

    value: float
    low: float
    high: float
    level: float


def uniform_estimate(sums: NystromSums, level: float = 0.95) -> SampledEstimate | None:
    """The loss from uniform landmarks, ``E (n/m) ‖C_S − C_T‖_F² = ‖K_S − K_T‖_F²`` (docs/theory.md 4.5).

    Each landmark is one whole column of K_S − K_T, drawn without replacement; the interval is Student's on their
    squared norms, so a few heavy rows that were not drawn are beyond it. None for other landmarks or m = 1.
    """
    n, m = sums.n, sums.m
    if sums.strategy != "uniform" or m < 2:
        return None
    columns = n * sums.dC_squares
    spread = float(np.std(columns, ddof=1)) / math.sqrt(m) * math.sqrt(1 - m / n)
    half = float(t_quantile(m - 1, (1 + level) / 2)) * spread
    squared = float(np.mean(columns))
    return SampledEstimate(math.sqrt(squared), math.sqrt(max(0.0, squared - half)), math.sqrt(squared + half), level)


@dataclass(frozen=True)
class ErrorAtM:
    """What m landmarks leave: ``residual`` and ``tail`` over the network's own ‖K‖_F (0 for an all-zero one).

    ``estimate`` is :attr:`NystromSums.expanded_estimate`, ``paper_estimate`` Figure 4's, ``difference`` =
    ‖K~_S − K~_T‖_F / ‖K_T‖_F; all three are meant to come near the transfer loss.
    """

    m: int
    residual_teacher: float
    residual_student: float
    tail_teacher: float
    tail_student: float
    difference: float
    estimate: float | None
    paper_estimate: float


def error_against_m(
    *,
    teacher: Any,
    student: Any,
    ms: Iterable[int],
    choose: Callable[[int], Landmarks],
    sums: GramSums | None = None,
) -> tuple[ErrorAtM, ...]:
    """The approximation's error for growing numbers of landmarks; some passes over the rows for each m.

    Args:
        choose: the landmarks for m, say ``lambda m: uniform(n, m, seed)``, which grow by adding rows.
        sums: Grams of the same features if they exist already.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    grams = sums or gram_sums(teacher=teacher, student=student)
    return tuple(_error(partial(teacher=teacher, student=student, landmarks=choose(m), sums=grams)) for m in ms)


def _error(sums: NystromSums) -> ErrorAtM:
    T, S = sums.teacher, sums.student
    unit_S = S.K_norm or 1.0
    return ErrorAtM(
        m=sums.m,
        residual_teacher=sums.over_teacher(T.residual),
        residual_student=S.residual / unit_S,
        tail_teacher=sums.over_teacher(T.tail),
        tail_student=S.tail / unit_S,
        difference=sums.over_teacher(sums.dK),
        estimate=sums.expanded_estimate,
        paper_estimate=sums.paper_estimate,
    )


def _require_fit(teacher: Rows, student: Rows, D_T: np.ndarray, D_S: np.ndarray, assignment: np.ndarray | None) -> None:
    if D_T.shape != (len(D_S), teacher.shape[1]) or D_S.shape[1] != student.shape[1]:
        raise Mismatch(
            f"landmarks have shapes {D_T.shape} and {D_S.shape} for features of widths {teacher.shape[1]} and "
            f"{student.shape[1]}; give as many landmarks for both networks, each in its own space"
        )
    if len(D_T) == 0:
        raise Mismatch("there are no landmarks; choose at least one")
    if not (np.isfinite(D_T).all() and np.isfinite(D_S).all()):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise Mismatch("landmarks hold NaN or infinite values; compute them again")
    if assignment is not None and (
        assignment.shape != (teacher.shape[0],) or assignment.min() < -1 or assignment.max() >= len(D_T)
    ):
        raise Mismatch(f"assignment must name one of {len(D_T)} landmarks, or -1, for each of {teacher.shape[0]} rows")
