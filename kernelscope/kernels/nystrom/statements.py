"""Theorem 1 and Lemma 1, the paper's statements that are no bounds on ``‖K_S − K_T‖_F`` (docs/theory.md 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.bounds import TOLERANCE
from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.rows import Features, as_rows, require_same_examples, take_rows

if TYPE_CHECKING:
    from kernelscope.kernels.nystrom.landmarks import Landmarks
    from kernelscope.kernels.nystrom.nystrom_sums import NetworkSums, NystromSums


@dataclass(frozen=True)
class Theorem1:
    """Theorem 1 as printed for k = m, on one network: ``residual <= tail + m^(−1/4) ‖K‖`` with the constant 1.

    ``tail`` is that of rank m, whatever the landmarks' rank; ``quotient`` = (residual − tail) / (m^(−1/4) ‖K‖), None
    for an all-zero network; ``assumption`` what failed.
    """

    residual: float
    tail: float
    epsilon: float
    quotient: float | None
    holds: bool
    assumption: str | None


def theorem1(sums: NystromSums) -> tuple[Theorem1, Theorem1]:
    """Theorem 1 for the teacher and for the student.

    The printed statement drops a probability, a factor k^¼ and n max K_ii in place of ‖K‖_F: a counterexample
    needs two lines (docs/theory.md 1.1), and it does not apply to landmarks that are not sampled uniformly.
    """
    return _theorem1(sums, sums.teacher), _theorem1(sums, sums.student)


def _theorem1(sums: NystromSums, network: NetworkSums) -> Theorem1:
    epsilon = sums.m**-0.25 * network.K_norm
    excess = network.residual - network.tail_at_m
    return Theorem1(
        residual=network.residual,
        tail=network.tail_at_m,
        epsilon=epsilon,
        quotient=excess / epsilon if epsilon > 0 else None,
        holds=excess <= epsilon + TOLERANCE * network.K_norm,
        assumption=None if sums.strategy == "uniform" else f"{sums.strategy} landmarks are not sampled uniformly",
    )


@dataclass(frozen=True)
class Lemma1:
    """Lemma 1 on sampled pairs: how many of ``pairs`` break it, and the largest left side over right side.

    ``worst`` with the printed e (the longest sampled row), ``worst_own`` with the two rows' own norms.
    """

    pairs: int
    violations: int
    worst: float
    worst_own: float


def lemma1(*, teacher: Features, student: Features, landmarks: Landmarks, rows: int = 300, seed: int = 0) -> Lemma1:
    """Lemma 1 on all pairs of at most ``rows`` examples i with as many j, both seeded; needs a partition.

    ``|K_S(i,j) − K_T(i,j)| <= e ‖x_S^i − d_S^i‖ + e ‖x_T^i − d_T^i‖ + |⟨d_S^i, x_S^j⟩ − ⟨d_T^i, x_T^j⟩|``

    Raises:
        Mismatch: the landmarks are not a partition.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    n = require_same_examples(teacher, student)
    if landmarks.assignment is None:
        raise Mismatch(f"{landmarks.strategy} landmarks assign no landmark to an example; use class means or k-means")
    rng = np.random.default_rng(seed)
    i, j = (np.sort(rng.choice(n, min(n, rows), replace=False)) for _ in range(2))
    own = landmarks.assignment[i]
    left, right_own, right_e, middle = 0.0, 0.0, 0.0, 0.0
    longest = 0.0
    for sign, X in ((1, student), (-1, teacher)):
        X_i, X_j = take_rows(X, i), take_rows(X, j)
        D_i = np.where(own[:, None] >= 0, landmarks.of(X)[own], 0.0)
        distance, length = np.linalg.norm(X_i - D_i, axis=1)[:, None], np.linalg.norm(X_j, axis=1)
        left = left + sign * (X_i @ X_j.T)
        middle = middle + sign * (D_i @ X_j.T)
        right_own = right_own + distance * length
        right_e = right_e + distance
        longest = max(longest, float(length.max()), float(np.linalg.norm(X_i, axis=1).max()))
    left, printed, sharp = np.abs(left), longest * right_e + np.abs(middle), right_own + np.abs(middle)
    rounding = 64 * UNIT_ROUNDOFF * max(student.shape[1], teacher.shape[1]) * longest**2
    return Lemma1(
        pairs=int(np.size(left)),
        violations=int(np.count_nonzero((left > printed + rounding) | (left > sharp + rounding))),
        worst=_largest_quotient(left, printed, rounding),
        worst_own=_largest_quotient(left, sharp, rounding),
    )


def _largest_quotient(left: np.ndarray, right: np.ndarray, rounding: float) -> float:
    """max left / right over pairs whose left side is more than rounding."""
    seen = left > rounding
    return float(np.max(left[seen] / np.maximum(right[seen], rounding), initial=0.0))
