"""ANOVA of the transfer loss: shares between class means, between means and deviations, and within classes.

With Π the projector on the group indicators and Δ = K_S − K_T (Theorem PY, docs/theory.md 4.5),

    ‖Δ‖_F² = ‖Π Δ Π‖² + 2 ‖Π Δ (I − Π)‖² + ‖(I − Π) Δ (I − Π)‖²

The first two terms are what KDA's loss measures; the third is invisible to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums

RESOLVED = 1e-13  #: relative loss below which the shares would be those of rounding


@dataclass(frozen=True)
class Shares:
    """Shares of ‖K_S − K_T‖_F²: between group means, between a mean and what varies within, both within. Sum 1."""

    mean_mean: float
    mean_within: float
    within_within: float


def anova(sums: NystromSums) -> Shares | None:
    """The three shares, for landmarks that are exact means; None if the kernels are equal to within float64.

    Each term is a square of differences formed row by row or, for ``within_within``, a kernel difference of centred
    rows, so none is the difference of two others: each is accurate to about 1e-12 (‖K‖ / ‖Δ‖) of the whole.

    Raises:
        Mismatch: the landmarks are not the exact means of groups of these examples.
    """
    if sums.between is None or sums.across is None or sums.within is None:
        raise Mismatch(
            f"{sums.strategy} landmarks are not the exact means of groups of these examples; use class means or k-means"
        )
    parts = sums.between, sums.across, sums.within
    total = math.fsum(parts)
    if total <= (RESOLVED * (sums.student.K_norm + sums.teacher.K_norm)) ** 2:
        return None
    return Shares(*(part / total for part in parts))
