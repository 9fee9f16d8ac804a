"""Permutation null of the loss and of CKA: the student's examples shuffled (docs/theory.md 7).

CKA's mean, variance (Kazi-Aoual et al. 1995) and skewness over all permutations are closed forms. Where the skewness is
small they give its tail, a Pearson type III distribution's; where it is not, examples are shuffled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import gammainc, gammaincc, ndtr

from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.statistics.moments import Moments, skewness
from kernelscope.kernels.statistics.permutations import Shuffled, cka_under_permutation

if TYPE_CHECKING:
    from kernelscope.kernels.similarity.alignment import Norms

NEARLY_NORMAL = 1e-4  #: skewness below which a Pearson III tail is the normal one
SKEWED = 1.0  #: |skewness| above which a Pearson III tail is off (benchmarks/how_often_chance_is_rejected.py)

Shuffling = Callable[[], Shuffled | None]  #: shuffles the examples, when called; None where these show nothing


@dataclass(frozen=True)
class Chance:
    """What the same two networks score when the student's examples are shuffled.

    ``shuffled``: the permutations that ``p_value`` is from; None where it is from closed forms.
    """

    transfer_loss: float | None
    cka_mean: float | None
    cka_sd: float | None
    cka_skewness: float | None
    p_value: float | None
    above_chance: float | None
    shuffled: Shuffled | None = None


def chance(
    sums: Norms,
    centred_sums: Norms,
    own: tuple[Moments, Moments] | None,
    shuffling: Shuffling | None = None,
    *,
    in_groups: bool = False,
) -> Chance:
    """Permutation null of the loss (docs/theory.md 7.1) and of CKA (docs/theory.md 7.2), and CKA's place in it.

    Args:
        sums, centred_sums: Grams of both networks, as they are and with means removed.
        own: :func:`kernelscope.kernels.statistics.moments.moments` of the student and of the teacher; None where
            a kernel vanishes once centred.
        shuffling: see :func:`p_value`.
        in_groups: rows came in groups, so that shuffling single rows shows nothing; what there is to say of CKA is what
            ``shuffling`` says, of one row of each group.

    ``p_value`` is the probability that a shuffled student reaches this CKA; ``above_chance`` = (CKA − mean) /
    (1 − mean) is 0 at chance and 1 for equal kernels, whatever the scale of the features. Up to 2,048 examples mean,
    deviation and skewness are exact; above, one of the skewness's eight sums is that of 2,048 drawn examples.
    """
    observed = cka(centred_sums)
    if observed is None or own is None or sums.n < 2:
        return Chance(shuffled_loss(sums), None, None, None, None, None)
    if in_groups:
        return Chance(shuffled_loss(sums), *of_groups(None if shuffling is None else shuffling()))
    S, T = own
    mean, sd = cka_under_permutation(S.entries, T.entries)
    third = skewness(S, T, sd)
    p, shuffled = (None, None) if not sd else p_value((observed - mean) / sd, third, shuffling)
    return Chance(
        transfer_loss=shuffled_loss(sums),
        cka_mean=mean,
        cka_sd=sd,
        cka_skewness=third,
        p_value=p,
        above_chance=above_chance(observed, mean),
        shuffled=shuffled,
    )


def of_groups(
    found: Shuffled | None,
) -> tuple[float | None, float | None, None, float | None, float | None, Shuffled | None]:
    """CKA's mean, deviation, skewness, p-value and place above chance over permutations, and these themselves."""
    if found is None or not found.cka_sd:
        return None, None, None, None, None, None
    return found.cka_mean, found.cka_sd, None, found.p_value, above_chance(found.cka, found.cka_mean), found


def p_value(z: float, skewness: float | None, shuffling: Shuffling | None) -> tuple[float, Shuffled | None]:
    """Probability that chance scores z standard deviations above its mean, and the permutations it is from if any.

    The Pearson III tail where ``|skewness| <= 1``, else (and where the skewness is not known) ``shuffling``, and
    without that Cantelli's upper limit.
    """
    if skewness is not None and tail_is_known(skewness):
        return upper_tail(z, skewness), None
    shuffled = None if shuffling is None else shuffling()
    return (largest_tail(z) if shuffled is None else shuffled.p_value), shuffled


def tail_is_known(skewness: float | None) -> bool:
    """Whether a Pearson III tail with this skewness is that of permutations."""
    return skewness is not None and abs(skewness) <= SKEWED


def above_chance(cka: float, mean: float) -> float | None:
    """``(CKA − mean) / (1 − mean)``, at most 1; None where chance alone gives 1."""
    return None if mean >= 1 else min(1.0, (cka - mean) / (1 - mean))


def shuffled_loss(sums: Norms) -> float | None:
    """Root mean square of the loss over all permutations of the student's examples; None for n = 1."""
    n = sums.n
    if n < 2:
        return None
    one_S, one_T = sums.totals
    t_S, t_T = sums.trace_student, sums.trace_teacher
    inner = t_S * t_T / n + (one_S - t_S) * (one_T - t_T) / (n * (n - 1))
    squared = sums.norm_student**2 + sums.norm_teacher**2 - 2 * inner
    return math.sqrt(max(0.0, squared)) / sums.norm_teacher


def upper_tail(z: float, skewness: float) -> float:
    """P(Z >= z) of a Pearson type III variable with mean 0, variance 1 and this skewness: a shifted gamma."""
    if abs(skewness) < NEARLY_NORMAL:
        return float(ndtr(-z))
    shape, flip = 4 / skewness**2, math.copysign(1.0, skewness)
    at = max(0.0, shape + flip * z * math.sqrt(shape))
    return float(gammaincc(shape, at) if flip > 0 else gammainc(shape, at))


def largest_tail(z: float) -> float:
    """The largest P(Z >= z) of any variable with mean 0 and variance 1 (Cantelli)."""
    return 1.0 if z <= 0 else 1 / (1 + z * z)
