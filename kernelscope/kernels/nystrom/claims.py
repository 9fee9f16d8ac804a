"""The paper's claims on one pair of layers: as printed and as corrected, both sides of each, and which holds.

A printed claim that fails is a finding about the paper; a corrected one that fails would be a bug here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernelscope.kernels.nystrom.bounds import TABLE, TOLERANCE, Bound, bounds
from kernelscope.kernels.nystrom.statements import Lemma1, theorem1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums

TRACKS = 0.1  #: an estimate tracks the truth if it comes within this share of it
COROLLARIES = ("corollary1", "corollary2")  #: shown before their assumption, as in the paper
#: short titles, for a table: claims that are no bounds on ‖Δ‖, then those of :data:`TABLE`
TITLES = {
    "theorem1_teacher": "Theorem 1 teacher",
    "theorem1_student": "Theorem 1 student",
    "eigenvalues": "eigenvalues > 1",
    "lemma1": "Lemma 1",
    "estimate": "estimate is near",
    **{rule.claim.name: rule.claim.title for rule in TABLE if rule.claim is not None},
}


@dataclass(frozen=True)
class Statement:
    """``left <= right`` (or ``>=``, as in ``formula``) with numbers in it.

    ``slack`` is how many times too large the larger side is, >= 1 where the statement holds, None where a side is 0;
    ``vacuous``: it would hold of any two kernels with these norms.
    """

    formula: str
    left: float
    right: float
    holds: bool
    slack: float | None
    vacuous: bool


@dataclass(frozen=True)
class Claim:
    """One claim; ``assumption``: which of the printed one's assumptions failed, None if none did."""

    name: str
    about: str
    printed: Statement | None
    corrected: Statement | None
    assumption: str | None


def claims(
    sums: NystromSums, truth: float, norm_student: float, norm_teacher: float, lemma: Lemma1 | None, *, printed: bool
) -> tuple[Claim, ...]:
    """Every claim of the paper for these landmarks.

    Args:
        sums: from :func:`kernelscope.kernels.nystrom.nystrom.partial`.
        truth: ‖K_S − K_T‖_F; norm_student, norm_teacher: ‖K_S‖_F, ‖K_T‖_F, in the same units.
        lemma: from :func:`kernelscope.kernels.nystrom.statements.lemma1`, None where landmarks assign nothing.
        printed: whether the sums are of the features as they are; rescaled ones do not decide the printed
            Corollaries and eigenvalues above 1, which are not of degree two.
    """
    of_bounds = _of_bounds(bounds(sums, truth, norm_student, norm_teacher, rescaled=not printed), truth)
    return (
        *_theorem1(sums),
        *(claim for name in COROLLARIES if (claim := of_bounds.pop(name, None)) is not None),
        _eigenvalues(sums, printed),
        *([] if lemma is None else [_lemma1(lemma)]),
        *of_bounds.values(),
        _tracking(sums, truth),
    )


def _of_bounds(found: Iterable[Bound], truth: float) -> dict[str, Claim]:
    """The claims that stand in :data:`TABLE`, by name: what is printed beside what is corrected."""
    known, claims = {bound.name: bound for bound in found}, dict[str, Claim]()
    for rule in TABLE:
        if rule.claim is None or rule.name not in known:
            continue
        bound, heading = known[rule.name], rule.claim
        sides = claims.get(heading.name, Claim(heading.name, heading.about, None, None, None))
        statement = _from_bound(bound, rule.formula, truth)
        claims[heading.name] = (
            replace(sides, printed=statement, assumption=bound.assumption)
            if rule.printed
            else replace(sides, corrected=statement)
        )
    return claims


def _theorem1(sums: NystromSums) -> list[Claim]:
    """The residual of each network: as printed, and between the best possible and what the groups leave."""
    found = []
    for role, network, stated in zip("TS", (sums.teacher, sums.student), theorem1(sums)):
        left = network.residual
        right, formula = network.K_norm, f"‖K_{role}−K~_{role}‖ <= ‖K_{role}‖"
        if network.FF_norm is not None and sums.counts is not None:
            # R = F (I − P) Fᵀ; what cutting D at its rank left of Y D adds in the Schatten norm of order 4
            cut = math.sqrt(float(sums.counts.max()) * network.cut_W)
            right = (math.sqrt(network.FF_norm) + cut) ** 2
            formula = f"‖K_{role}−K~_{role}‖ <= ‖F_{role} F_{role}ᵀ‖"
        found.append(
            Claim(
                name=f"theorem1_{'teacher' if role == 'T' else 'student'}",
                about="Theorem 1: landmarks approximate the kernel",
                printed=_at_most(
                    f"‖K_{role}−K~_{role}‖ <= ‖K_{role}−K_{role},k‖ + m^(−1/4)‖K_{role}‖",
                    left,
                    stated.tail + stated.epsilon,
                    TOLERANCE * network.K_norm,
                    network.K_norm,
                ),
                corrected=_at_most(formula, left, right, TOLERANCE * network.K_norm, network.K_norm),
                assumption=stated.assumption,
            )
        )
    return found


def _eigenvalues(sums: NystromSums, printed: bool) -> Claim:
    """The Corollaries' assumption; no corrected bound needs it."""
    smallest = min(sums.teacher.spectrum.min, sums.student.spectrum.min)
    statement = Statement("λ_min(W) > 1", smallest, 1.0, smallest > 1, None, False)
    deficient = [
        f"W_{r} has rank {w.rank} of {sums.m}" for r, w in zip("TS", (sums.teacher, sums.student)) if w.rank < sums.m
    ]
    return Claim(
        name="eigenvalues",
        about="the smallest eigenvalue of W exceeds 1",
        printed=statement if printed else None,
        corrected=None,
        assumption="; ".join(deficient) or None,
    )


def _lemma1(lemma: Lemma1) -> Claim:
    """Both sides of the tightest of the sampled pairs, as multiples of the right one."""

    def statement(formula: str, worst: float) -> Statement:
        return Statement(formula, worst, 1.0, lemma.violations == 0, 1 / worst if worst > 0 else None, False)

    return Claim(
        name="lemma1",
        about=f"Lemma 1, entry by entry, on {lemma.pairs:,} sampled pairs",
        printed=statement("|Δ_ij| / (e‖x_S−d_S‖ + e‖x_T−d_T‖ + |dC_lj|) <= 1", lemma.worst),
        corrected=statement("the same with the rows' own norms for e", lemma.worst_own),
        assumption=None,
    )


def _tracking(sums: NystromSums, truth: float) -> Claim:
    """Figure 4's estimate against the loss; proved is, of exact centres, that the expanded one never exceeds it."""
    loss, estimate = sums.over_teacher(truth), sums.paper_estimate
    expanded, corrected = sums.expanded_estimate, None
    if expanded is not None and sums.exact_centres:
        corrected = _at_most("(Σ n_l‖dC_l‖²)^½ / ‖K_T‖ <= loss", expanded, loss, 2 * TOLERANCE, math.inf)
    near = abs(estimate - loss) <= TRACKS * loss
    slack = None if min(estimate, loss) <= 0 else max(estimate / loss, loss / estimate)
    return Claim(
        name="estimate",
        about="the estimate from landmarks tracks the loss",
        printed=Statement("‖C_S−C_T‖ / ‖K_T‖ within 10 % of the loss", estimate, loss, near, slack, False),
        corrected=corrected,
        assumption=None,
    )


def _from_bound(bound: Bound, formula: str, truth: float) -> Statement:
    lower = bound.kind == "lower"
    small, large = (bound.value, truth) if lower else (truth, bound.value)
    stated = f"{formula} <= ‖Δ‖" if lower else f"‖Δ‖ <= {formula}"
    return Statement(stated, small, large, bound.holds, large / small if small > 0 else None, bound.vacuous)


def _at_most(formula: str, left: float, right: float, tolerance: float, trivial: float) -> Statement:
    slack = right / left if left > tolerance else None  # below it both sides are rounding
    return Statement(formula, left, right, left <= right + tolerance, slack, right >= trivial)
