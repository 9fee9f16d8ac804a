"""The paper's bounds on ``‖K_S − K_T‖_F``, as printed and corrected, checked against the truth (docs/theory.md 4.6).

The printed Corollaries assume that W has no eigenvalue at or below 1 and are of degree five in the features'
scale; the corrected ones assume nothing, are of degree two, and are upper bounds for any landmarks.

:data:`TABLE` is the one place that knows all bounds: reports, the audit, the self-check and the figures read it. A new
bound is a function of :class:`NystromSums`, an entry there, and its row in docs/theory.md 4.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kernelscope.kernels.nystrom.intervals import (
    class_centre_interval,
    corollaries_unmet,
    nystrom_interval,
    quadratic_interval,
    residuals,
    theorem2,
)
from kernelscope.kernels.rounding import UNIT_ROUNDOFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums

TOLERANCE = 1e-9  #: of ‖K_S‖ + ‖K_T‖: what rounding may cost a bound that holds

Kind = Literal["upper", "lower"]


@dataclass(frozen=True)
class Bound:
    """A bound on ‖K_S − K_T‖_F, in its units.

    ``over_truth`` value / truth, None for a truth of 0; ``holds`` on this pair, whatever its assumptions; ``vacuous``:
    no better than ``|‖K_S‖ − ‖K_T‖| .. hypot(‖K_S‖, ‖K_T‖)``, which needs no landmarks; ``assumption`` which of its
    assumptions failed, None if none did.
    """

    name: str
    kind: Kind
    value: float
    over_truth: float | None
    holds: bool
    vacuous: bool
    assumption: str | None


def bounds(
    sums: NystromSums, truth: float, norm_student: float, norm_teacher: float, *, rescaled: bool = False
) -> tuple[Bound, ...]:
    """Every bound of :data:`NAMES` that exists for these landmarks, in that order.

    Args:
        sums: from :func:`kernelscope.kernels.nystrom.nystrom.partial`.
        truth: ‖K_S − K_T‖_F.
        norm_student, norm_teacher: ‖K_S‖_F, ‖K_T‖_F.
        rescaled: the features were multiplied by a factor first, so that only bounds of degree two scale back.

    ``theorem2*`` need an assignment, ``class_centres_*`` its exact means; a value beyond float64 is left out.
    """
    truth, norm_student, norm_teacher = float(truth), float(norm_student), float(norm_teacher)
    tolerance = TOLERANCE * (norm_student + norm_teacher)
    below, above = abs(norm_student - norm_teacher), math.hypot(norm_student, norm_teacher)  # needs no landmarks
    found = []
    for rule in TABLE:
        value = None if rescaled and not rule.degree_two else rule.value(sums)
        if value is None or not math.isfinite(value):
            continue
        lower, allowance = rule.kind == "lower", tolerance + rule.allowance(sums)
        found.append(
            Bound(
                name=rule.name,
                kind=rule.kind,
                value=value,
                over_truth=value / truth if truth > 0 else None,
                holds=value <= truth + allowance if lower else value >= truth - allowance,
                vacuous=value <= below if lower else value >= above,
                assumption=rule.unmet(sums),
            )
        )
    return tuple(found)


# The values. Each is None where the bound does not exist for these landmarks.


def _theorem2(sums: NystromSums) -> float | None:
    terms = theorem2(sums)
    return None if terms is None else terms.bound


def _theorem2_frobenius(sums: NystromSums) -> float | None:
    if sums.student.FX_norm is None or sums.teacher.FX_norm is None or sums.expanded_norm is None:
        return None
    return sums.student.FX_norm + sums.teacher.FX_norm + sums.expanded_norm


def _theorem2_quadratic(sums: NystromSums) -> float | None:
    interval = quadratic_interval(sums)
    return None if interval is None else interval[1]


def _corollary1(sums: NystromSums) -> float:
    return residuals(sums) + (sums.student.A_norm_2 + sums.teacher.A_norm_2) * sums.dA


def _corollary2(sums: NystromSums) -> float:
    """Rests on C = (C W⁺) W, which holds for landmarks as cut at their rank.

    So their C and W stand in for the whole ones, at most ``cut_C`` and ``cut_W`` away.
    """
    S, T = sums.student, sums.teacher
    dC, dW = sums.partial_norm + S.cut_C + T.cut_C, sums.dW + S.cut_W + T.cut_W
    return residuals(sums) + (S.Y_norm_2 + T.Y_norm_2) * dC + S.Y_norm_2 * T.Y_norm_2 * dW


def _corollary1_paper(sums: NystromSums) -> float:
    c, epsilon = _printed_constants(sums)
    return 2 * epsilon + 2 * c * c * sums.dA


def _corollary2_paper(sums: NystromSums) -> float:
    """With the 3c² that the appendix shows for the O(1) of the statement."""
    c, epsilon = _printed_constants(sums)
    return 2 * epsilon + 3 * c * c * sums.partial_norm


def _printed_constants(sums: NystromSums) -> tuple[float, float]:
    """c = max ‖C‖ and ε, the larger residual."""
    S, T = sums.student, sums.teacher
    return max(S.C_norm, T.C_norm), max(S.residual, T.residual)


# What rounding may cost a bound beyond TOLERANCE: more where coefficients Y multiply it.


def _nothing_unmet(sums: NystromSums) -> None:
    return None


def _no_allowance(sums: NystromSums) -> float:
    return 0.0


def _allowance_of_coefficients(sums: NystromSums) -> float:
    y_S, y_T = sums.student.Y_norm_2, sums.teacher.Y_norm_2
    return _allowance(sums, y_S + y_T, y_S * y_T)


def _allowance_of_groups(sums: NystromSums) -> float:
    largest = 0.0 if sums.counts is None else float(sums.counts.max())
    return _allowance(sums, math.sqrt(largest), largest)


def _allowance(sums: NystromSums, once: float, twice: float) -> float:
    """100u (‖Y‖ (‖C_S‖ + ‖C_T‖) + ‖Y‖² (‖W_S‖ + ‖W_T‖)), see docs/theory.md 4.3."""
    C, W = (sums.student.C_norm + sums.teacher.C_norm), (sums.student.W_norm + sums.teacher.W_norm)
    return 100 * UNIT_ROUNDOFF * (once * C + twice * W)


@dataclass(frozen=True)
class ClaimHeading:
    """A claim of the audit that bounds stand under: its name, what it is about, and a short title for a table."""

    name: str
    about: str
    title: str


_COROLLARY_1 = ClaimHeading("corollary1", "Corollary 1: the partial matrices bound the loss", "Corollary 1")
_COROLLARY_2 = ClaimHeading("corollary2", "Corollary 2: the partial matrices bound the loss", "Corollary 2")
_THEOREM_2 = ClaimHeading("theorem2", "Theorem 2: distances to landmarks bound the loss", "Theorem 2")
_SQUARED = ClaimHeading("theorem2_quadratic", "Theorem 2, sharpened to squares of the distances", "Theorem 2 squared")
_CENTRES = "exact class centres: what they see, and what they cannot"


@dataclass(frozen=True)
class BoundRule:
    """One bound on ‖Δ‖.

    Attributes:
        name: as reports and gates have it.
        tag: the statement's letters (docs/theory.md 4.6).
        title: for figures, which list bounds by ``place``, the tightest first.
        formula: the bound in letters.
        value: computes it, None where it does not exist.
        claim: where the audit shows it, None for nowhere; ``printed`` bounds are a claim's printed side.
        proved: it holds for any pair of networks with any landmarks that it exists for.
        degree_two: it scales with the kernels.
        unmet: which of its assumptions does not hold, None if all do.
        allowance: what rounding may cost it beyond :data:`TOLERANCE`.
    """

    name: str
    tag: str
    title: str
    place: int
    formula: str
    value: Callable[[NystromSums], float | None]
    claim: ClaimHeading | None
    kind: Kind = "upper"
    printed: bool = False
    proved: bool = True
    degree_two: bool = True
    unmet: Callable[[NystromSums], str | None] = _nothing_unmet
    allowance: Callable[[NystromSums], float] = _no_allowance


TABLE = (
    BoundRule(
        name="theorem2",
        tag="paper",
        title="Theorem 2, as printed",
        place=8,
        formula="n e (A_S + A_T) + B",
        value=_theorem2,
        claim=_THEOREM_2,
        printed=True,
    ),
    BoundRule(
        name="theorem2_frobenius",
        tag="T2F",
        title="Theorem 2, Frobenius",
        place=5,
        formula="‖F_S X_Sᵀ‖ + ‖F_T X_Tᵀ‖ + ‖Y dCᵀ‖",
        value=_theorem2_frobenius,
        claim=_THEOREM_2,
    ),
    BoundRule(
        name="theorem2_quadratic",
        tag="T2Q",
        title="Theorem 2, quadratic",
        place=4,
        formula="‖M‖ + hypot(‖F_S F_Sᵀ‖, ‖F_T F_Tᵀ‖)",
        value=_theorem2_quadratic,
        claim=_SQUARED,
        allowance=_allowance_of_groups,
    ),
    BoundRule(
        name="corollary1",
        tag="C1*",
        title="Corollary 1, corrected",
        place=6,
        formula="hypot(r_S,r_T) + (‖A_S‖₂+‖A_T‖₂)‖A_S−A_T‖",
        value=_corollary1,
        claim=_COROLLARY_1,
    ),
    BoundRule(
        name="corollary2",
        tag="C2*",
        title="Corollary 2, corrected",
        place=7,
        formula="hypot(r_S,r_T) + (y_S+y_T)‖dC‖ + y_S y_T‖dW‖",
        value=_corollary2,
        claim=_COROLLARY_2,
        allowance=_allowance_of_coefficients,
    ),
    BoundRule(
        name="corollary1_paper",
        tag="paper",
        title="Corollary 1, as printed",
        place=9,
        formula="2ε + 2c²‖A_S−A_T‖",
        value=_corollary1_paper,
        claim=_COROLLARY_1,
        printed=True,
        proved=False,
        degree_two=False,
        unmet=corollaries_unmet,
    ),
    BoundRule(
        name="corollary2_paper",
        tag="paper",
        title="Corollary 2, as printed",
        place=10,
        formula="2ε + 3c²‖C_S−C_T‖",
        value=_corollary2_paper,
        claim=_COROLLARY_2,
        printed=True,
        proved=False,
        degree_two=False,
        unmet=corollaries_unmet,
    ),
    BoundRule(
        name="nystrom_exact",
        tag="N0",
        title="Nyström, exact",
        place=3,
        formula="hypot(r_S,r_T) + ‖K~_S−K~_T‖",
        value=lambda sums: nystrom_interval(sums)[1],
        claim=None,
    ),
    BoundRule(
        name="class_centres_lower",
        tag="PY",
        title="class centres, from below",
        place=1,
        formula="LB",
        value=lambda sums: class_centre_interval(sums)[0] if sums.exact_centres else None,
        claim=ClaimHeading("class_centres_lower", _CENTRES, "class means lower"),
        kind="lower",
    ),
    BoundRule(
        name="class_centres_upper",
        tag="PY",
        title="class centres, from above",
        place=2,
        formula="hypot(LB, ‖F_S F_Sᵀ‖, ‖F_T F_Tᵀ‖)",
        value=lambda sums: class_centre_interval(sums)[1] if sums.exact_centres else None,
        claim=ClaimHeading("class_centres_upper", _CENTRES, "class means upper"),
    ),
)
NAMES = tuple(rule.name for rule in TABLE)
