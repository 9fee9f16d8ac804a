"""Whether the loss means anything by itself: each rule gives the whole sentence, or None where it does not apply."""

from __future__ import annotations

from kernelscope.report.digits import brief, two_digits
from kernelscope.report.fields import PairReport
from kernelscope.report.verdict_limits import (
    AMPLITUDE,
    BEYOND_THE_MEAN,
    MOSTLY_MEAN,
    NEARLY,
    NEARLY_CENTRED,
    NOTHING_MUCH,
    SIGNIFICANT,
)
from kernelscope.report.verdict_repair import mean_share, rank_cut


def known_no_better(pair: PairReport) -> str | None:
    """Precision: equal, equal within storage, or not resolved."""
    low, high = pair.rounding_interval
    if (low, high) == (0.0, 0.0):
        return "the student has the teacher's kernel exactly"
    if not pair.resolved:
        return (
            f"the loss is only known to lie between {two_digits(low)} and {two_digits(high)}: {_how_to_resolve(pair)}"
        )
    if high <= pair.storage_floor:
        return (
            f"equal within storage: a loss of {two_digits(pair.transfer_loss)} is no more than storing the features "
            "in less than float64 may have done; nothing to repair"
        )
    return None


def _how_to_resolve(pair: PairReport) -> str:
    if pair.route == "pairs-estimate":
        return "it is estimated from drawn pairs of examples; --route blocked forms all of them"
    return "too close to the teacher to tell apart by this route; take --route auto"


def collapsed(pair: PairReport) -> str | None:
    """Features that are zero, or the same for all examples."""
    if pair.norm_student == 0:
        return "the student's features are all zero: it has collapsed, or the layer is dead"
    if pair.feature_spectrum is None:
        return None
    for name in ("teacher", "student"):
        if getattr(pair.feature_spectrum, name).centred_effective_rank == 0:
            return (
                f"the {name}'s features are constant, the same for all examples: it has collapsed at this layer, and "
                f"the loss ({brief(pair.transfer_loss)}) compares nothing; look at another layer, or at its training"
            )
    return None


def as_by_chance(pair: PairReport) -> str | None:
    """Shuffled examples do as well, or nearly."""
    p, above = pair.null.p_value, pair.null.above_chance
    if p is None:
        return None
    if p > SIGNIFICANT:
        return f"no better than chance: shuffling the examples does as well (p = {p:.2f})"
    if above is not None and above < NOTHING_MUCH.value * (1 + NOTHING_MUCH.margin):
        how = "hardly" if NOTHING_MUCH.clearly_below(above) else "between hardly and somewhat"
        return (
            f"{how} better than chance: {brief(max(0.0, above))} above it, where 1 is the teacher's kernel "
            f"(p = {p:.1g})"
        )
    return None


def carried_by_few(pair: PairReport) -> str | None:
    """Two numbers differ, and one of them is about a handful of examples."""
    found = pair.outliers
    if found is None or found.loss_without is None:
        return None
    if 0.5 * pair.transfer_loss <= found.loss_without <= 2 * pair.transfer_loss:
        return None
    return (
        f"{found.count} of {pair.n:,} examples carry half of the teacher's kernel: the loss is "
        f"{brief(pair.transfer_loss)} with them and {brief(found.loss_without)} without the heaviest "
        f"{found.left_out}; look at these examples first"
    )


def mostly_the_mean(pair: PairReport) -> str | None:
    """Both networks are mostly their mean, and share little beyond it."""
    above = pair.null.above_chance
    if above is None or min(mean_share(pair, "teacher"), mean_share(pair, "student")) <= MOSTLY_MEAN:
        return None
    if not (BEYOND_THE_MEAN.clearly_below(above) or BEYOND_THE_MEAN.near(above)):
        return None
    centred = "" if pair.ladder.centred is None else f" (centred, the best factor leaves {brief(pair.ladder.centred)})"
    amount = "between little and some" if BEYOND_THE_MEAN.near(above) else "little"
    rank = "" if (cut := rank_cut(pair)) is None else f"; {cut}"
    return (
        f"what the two share is mostly the mean direction, common to all examples: loss "
        f"{brief(pair.transfer_loss)}, but beyond the mean {amount} is shared{centred}; judge by --centre{rank}"
    )


def left_over(pair: PairReport) -> str | None:
    """A small loss; where a mean dominates, it is small whatever the rest does, which has to agree too."""
    centred, ratio = pair.ladder.centred, pair.centred_scale_ratio
    if pair.transfer_loss >= NEARLY or (centred or 0.0) > NEARLY_CENTRED:
        return None
    if ratio is not None and not AMPLITUDE[0] <= ratio <= AMPLITUDE[1]:
        return None
    return f"nearly the teacher's kernel (loss {two_digits(pair.transfer_loss)}); little is left to repair"
