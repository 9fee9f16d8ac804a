"""Two-sided statements about ``‖K_S − K_T‖_F``, and what the printed bounds rest on (docs/theory.md 4.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums


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


def quadratic_interval(sums: NystromSums) -> tuple[float, float] | None:
    """T2Q: ``‖M‖ ∓ hypot(‖F_S F_Sᵀ‖, ‖F_T F_Tᵀ‖)``, quadratic in the distances to the landmarks, any landmarks."""
    gap = _gap(sums)
    if sums.between is None or sums.across is None or gap is None:
        return None
    M = math.sqrt(sums.between + sums.across)
    return max(0.0, M - gap), M + gap


def nystrom_interval(sums: NystromSums) -> tuple[float, float]:
    """N0: ``‖K~_S − K~_T‖ ∓ hypot(r_S, r_T)``, both ends, any landmarks; the tightest without an assignment."""
    r = residuals(sums)
    return max(0.0, sums.dK - r), sums.dK + r


def class_centre_interval(sums: NystromSums) -> tuple[float, float]:
    """PY: ``LB = ‖(parts of K_S − K_T that class means see)‖ <= f <= (LB² + ‖F_S F_Sᵀ‖² + ‖F_T F_Tᵀ‖²)^½``.

    Raises:
        Mismatch: the landmarks are not the exact means of their groups (stale, sampled, foreign).
    """
    gap = _gap(sums)
    if not sums.exact_centres or sums.between is None or sums.across is None or gap is None:
        raise Mismatch(
            f"{sums.strategy} landmarks are not the exact means of groups of these examples; use class means or k-means"
        )
    seen = math.sqrt(sums.between + sums.across)
    return seen, math.hypot(seen, gap)


def _gap(sums: NystromSums) -> float | None:
    S, T = sums.student.FF_norm, sums.teacher.FF_norm
    return None if S is None or T is None else math.hypot(S, T)


def residuals(sums: NystromSums) -> float:
    """hypot(r_S, r_T), r = ‖K − K~‖."""
    return math.hypot(sums.student.residual, sums.teacher.residual)


def corollaries_unmet(sums: NystromSums) -> str | None:
    """Which assumption of the printed Corollaries does not hold; None if all do."""
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
