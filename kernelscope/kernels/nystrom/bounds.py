"""The paper's bounds on ``‖K_S − K_T‖_F``, as printed and corrected, checked against the truth (docs/theory.md 4.6).

The printed Corollaries assume that W has no eigenvalue at or below 1 and are of degree five in the features'
scale; the corrected ones assume nothing, are of degree two, and are upper bounds for any landmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.landmarks import Landmarks
from kernelscope.kernels.nystrom.nystrom_sums import NetworkSums, NystromSums
from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.rows import as_rows, require_same_examples, take_rows

NAMES = (
    "theorem2",
    "theorem2_frobenius",
    "theorem2_quadratic",
    "corollary1",
    "corollary2",
    "corollary1_paper",
    "corollary2_paper",
    "nystrom_exact",
    "class_centres_lower",
    "class_centres_upper",
)
TOLERANCE = 1e-9  #: of ‖K_S‖ + ‖K_T‖: what rounding may cost a bound that holds


@dataclass(frozen=True)
class Bound:
    """A bound on ‖K_S − K_T‖_F, in its units.

    ``kind`` "upper" or "lower"; ``over_truth`` value / truth, None for a truth of 0; ``holds`` on this pair,
    whatever its assumptions; ``vacuous``: no better than ``|‖K_S‖ − ‖K_T‖| .. hypot(‖K_S‖, ‖K_T‖)``, which needs no
    landmarks; ``assumption`` which of its assumptions failed, None if none did.
    """

    name: str
    kind: str
    value: float
    over_truth: float | None
    holds: bool
    vacuous: bool
    assumption: str | None


def bounds(sums: NystromSums, truth: float, norm_student: float, norm_teacher: float) -> tuple[Bound, ...]:
    """Every bound of :data:`NAMES` that exists for these landmarks, in that order.

    Args:
        sums: from :func:`kernelscope.kernels.nystrom.nystrom.partial`.
        truth: ‖K_S − K_T‖_F.
        norm_student, norm_teacher: ‖K_S‖_F, ‖K_T‖_F.

    ``theorem2*`` need an assignment, ``class_centres_*`` its exact means; a value beyond float64 is left out.
    """
    truth, norm_student, norm_teacher = float(truth), float(norm_student), float(norm_teacher)
    values = {**_assigned(sums), **_corrected(sums), **_printed(sums), **_class_centres(sums)}
    tolerance = TOLERANCE * (norm_student + norm_teacher)
    below, above = abs(norm_student - norm_teacher), math.hypot(norm_student, norm_teacher)  # needs no landmarks
    found = []
    for name in NAMES:
        value = values.get(name)
        if value is None or not math.isfinite(value):
            continue
        lower = name == "class_centres_lower"
        allowance = tolerance + _rounding_allowance(sums, name)
        found.append(
            Bound(
                name=name,
                kind="lower" if lower else "upper",
                value=value,
                over_truth=value / truth if truth > 0 else None,
                holds=value <= truth + allowance if lower else value >= truth - allowance,
                vacuous=value <= below if lower else value >= above,
                assumption=_failed_assumption(sums, name),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Theorem2:
    """Terms of Theorem 2 as printed; ``bound`` = n e (A_S + A_T) + B."""

    e: float
    term_a_student: float
    term_a_teacher: float
    term_b: float
    bound: float


def theorem2(sums: NystromSums) -> Theorem2 | None:
    """Theorem 2 (paper equation 2): e the longest row, A_* = Σ_i ‖x_i − d_l(i)‖, B = Σ_l n_l Σ_j |dC_jl|.

    None without an assignment. True for any landmarks, but it adds up n² absolute values to bound a Frobenius norm.
    """
    if sums.counts is None or sums.student.distances is None or sums.teacher.distances is None:
        return None
    e = max(sums.student.longest, sums.teacher.longest)
    term_b = math.fsum(sums.counts * sums.dC_sums)
    A_S, A_T = sums.student.distances, sums.teacher.distances
    return Theorem2(e, A_S, A_T, term_b, sums.n * e * (A_S + A_T) + term_b)


def nystrom_interval(sums: NystromSums) -> tuple[float, float]:
    """N0: ``‖K~_S − K~_T‖ ∓ hypot(r_S, r_T)``, both ends, any landmarks; the tightest without an assignment."""
    r = math.hypot(sums.student.residual, sums.teacher.residual)
    return max(0.0, sums.dK - r), sums.dK + r


def quadratic_interval(sums: NystromSums) -> tuple[float, float] | None:
    """T2Q: ``‖M‖ ∓ hypot(‖F_S F_Sᵀ‖, ‖F_T F_Tᵀ‖)``, quadratic in the distances to the landmarks, any landmarks."""
    if sums.between is None or sums.across is None:
        return None
    M, g = math.sqrt(sums.between + sums.across), _gap(sums)
    return max(0.0, M - g), M + g


def class_centre_interval(sums: NystromSums) -> tuple[float, float]:
    """PY: ``LB = ‖(parts of K_S − K_T that class means see)‖ <= f <= (LB² + ‖F_S F_Sᵀ‖² + ‖F_T F_Tᵀ‖²)^½``.

    Raises:
        Mismatch: the landmarks are not the exact means of their groups (stale, sampled, foreign).
    """
    if not sums.exact_centres or sums.between is None or sums.across is None:
        raise Mismatch(
            f"{sums.strategy} landmarks are not the exact means of groups of these examples; use class means or k-means"
        )
    seen = sums.between + sums.across
    return math.sqrt(seen), math.hypot(math.sqrt(seen), _gap(sums))


def _gap(sums: NystromSums) -> float:
    return math.hypot(sums.student.FF_norm or 0.0, sums.teacher.FF_norm or 0.0)


def _assigned(sums: NystromSums) -> dict[str, float]:
    """theorem2, T2F ``‖F_S X_Sᵀ‖ + ‖F_T X_Tᵀ‖ + ‖Y dCᵀ‖`` and T2Q."""
    printed, quadratic = theorem2(sums), quadratic_interval(sums)
    if printed is None or quadratic is None or sums.expanded_norm is None:
        return {}
    return {
        "theorem2": printed.bound,
        "theorem2_frobenius": (sums.student.FX_norm or 0.0) + (sums.teacher.FX_norm or 0.0) + sums.expanded_norm,
        "theorem2_quadratic": quadratic[1],
    }


def _corrected(sums: NystromSums) -> dict[str, float]:
    """C1* ``hypot(r) + (‖A_S‖_2 + ‖A_T‖_2) ‖A_S − A_T‖``, C2* ``hypot(r) + (y_S + y_T) ‖dC‖ + y_S y_T ‖dW‖``, N0.

    C2* rests on C = (C W⁺) W, which is true of the landmarks as cut at their rank; so their C and W stand in for
    the whole ones, at most ``cut_C`` and ``cut_W`` away.
    """
    S, T = sums.student, sums.teacher
    r = math.hypot(S.residual, T.residual)
    dC, dW = sums.partial_norm + S.cut_C + T.cut_C, sums.dW + S.cut_W + T.cut_W
    return {
        "corollary1": r + (S.A_norm_2 + T.A_norm_2) * sums.dA,
        "corollary2": r + (S.Y_norm_2 + T.Y_norm_2) * dC + S.Y_norm_2 * T.Y_norm_2 * dW,
        "nystrom_exact": nystrom_interval(sums)[1],
    }


def _printed(sums: NystromSums) -> dict[str, float]:
    """``2ε + 2c² ‖A_S − A_T‖`` and ``2ε + 3c² ‖dC‖`` (what the appendix shows), c = max ‖C‖, ε the larger residual."""
    S, T = sums.student, sums.teacher
    c, epsilon = max(S.C_norm, T.C_norm), max(S.residual, T.residual)
    return {
        "corollary1_paper": 2 * epsilon + 2 * c * c * sums.dA,
        "corollary2_paper": 2 * epsilon + 3 * c * c * sums.partial_norm,
    }


def _class_centres(sums: NystromSums) -> dict[str, float]:
    if not sums.exact_centres:
        return {}
    low, high = class_centre_interval(sums)
    return {"class_centres_lower": low, "class_centres_upper": high}


def _rounding_allowance(sums: NystromSums, name: str) -> float:
    """100u (‖Y‖ (‖C_S‖ + ‖C_T‖) + ‖Y‖² (‖W_S‖ + ‖W_T‖)) for bounds with coefficients Y (docs/theory.md 4.3)."""
    if name == "corollary2":
        y_S, y_T = sums.student.Y_norm_2, sums.teacher.Y_norm_2
        once, twice = y_S + y_T, y_S * y_T
    elif name == "theorem2_quadratic" and sums.counts is not None:
        once, twice = math.sqrt(float(sums.counts.max())), float(sums.counts.max())
    else:
        return 0.0
    C, W = (sums.student.C_norm + sums.teacher.C_norm), (sums.student.W_norm + sums.teacher.W_norm)
    return 100 * UNIT_ROUNDOFF * (once * C + twice * W)


def _failed_assumption(sums: NystromSums, name: str) -> str | None:
    """Only the printed Corollaries assume anything: W's eigenvalues above 1, one rank, landmarks of these examples."""
    if name not in ("corollary1_paper", "corollary2_paper"):
        return None
    for letter, network in (("S", sums.student), ("T", sums.teacher)):
        if network.rank == 0:
            return f"all landmarks vanish, so W_{letter} has no eigenvalue above 1"
        if not network.W_min > 1:
            return f"the smallest nonzero eigenvalue of W_{letter} is {network.W_min:.3g}, not above 1"
    if sums.student.rank != sums.teacher.rank:
        return f"W_S has rank {sums.student.rank} and W_T {sums.teacher.rank}, but both are cut at one k"
    if sums.strategy == "external":
        return "the landmarks are not made from these examples, so nothing ties W and C together"
    if sums.repeats > 1:
        return f"a row serves as a landmark {sums.repeats} times, so W is not a part of C"
    return None


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
    needs two lines (CE1), and it says nothing of landmarks that are not sampled uniformly.
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


def lemma1(*, teacher: Any, student: Any, landmarks: Landmarks, rows: int = 300, seed: int = 0) -> Lemma1:
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
    told = left > rounding
    return float(np.max(left[told] / np.maximum(right[told], rounding), initial=0.0))
