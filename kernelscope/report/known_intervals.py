"""Where a number of a report is known to lie, for a gate to judge by: its interval, or the reason why there is none.

The loss has its rounding interval, or its sampling interval where that is asked for; fields named in a pair's
``intervals`` have theirs. Any other number is known as a point.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kernelscope.report.dotted_names import value_of
from kernelscope.report.fields import PairReport
from kernelscope.report.notes import NOT_SAMPLED, ONE_PASS, ROWS_TELL, STREAMED, SUMMED

LOSS = ("transfer_loss", "ladder.raw")

#: What does not rest on K_S − K_T and so means something where the loss is not resolved. What is not here passes no
#: gate there without an interval of its own: a new field is not to pass unnoticed.
APART_FROM_THE_DIFFERENCE = (
    *("n", "d_teacher", "d_student", "resolved", "rounding_certified", "storage_floor"),
    *("norm_teacher", "norm_student", "alignment", "scale_ratio", "optimal_scale", "cka", "cka_debiased"),
    *("null.*", "landmarks.*", "landmark_spectrum.*", "feature_spectrum.*", "nystrom.residual_*", "nystrom.tail_*"),
    *("neighbours.*", "outputs.*", "within_class_cka.*"),
)

POINT = "judged at a point, no interval"
SMALL = "too small to sample, judged by rounding"


@dataclass(frozen=True)
class Known:
    """Where a number lies; anywhere at all by default, for the reason ``by``. Else ``by`` is what an interval lacks."""

    low: float = -math.inf
    high: float = math.inf
    by: str = ""

    @property
    def is_nothing(self) -> bool:
        return self.low == -math.inf and self.high == math.inf

    def minus(self, other: Known) -> Known:
        return Known(self.low - other.high, self.high - other.low)

    def or_worse(self, other: Known) -> Known:
        return Known(min(self.low, other.low), max(self.high, other.high))


def known_of(pair: PairReport, field: str, sampling: bool) -> Known:
    """What is known of a field: its interval, or its value as a point."""
    if field in LOSS:
        return over_examples(pair) if sampling else Known(*pair.rounding_interval)
    value = value_of(pair, field)
    if value is None:
        return Known(by="not measured for this pair")
    own = pair.intervals.get(field)
    if own is not None:
        return Known(*own)
    if not pair.resolved and not any(fnmatchcase(field, pattern) for pattern in APART_FROM_THE_DIFFERENCE):
        low, high = pair.rounding_interval
        return Known(by=f"has no interval, and the loss is not resolved ({low:.2g} to {high:.2g}); gate transfer_loss")
    return Known(value, value, POINT)


def over_examples(pair: PairReport) -> Known:
    """The loss over other examples of the same kind; where it is too small to be sampled, over these alone."""
    rounding = Known(*pair.rounding_interval)
    if pair.sampling_interval is not None:
        sampled = Known(*pair.sampling_interval)
        return sampled if pair.resolved else sampled.or_worse(rounding)
    if rounding.high <= ROWS_TELL:
        return dataclasses.replace(rounding, by=SMALL)
    return Known(by=f"no interval over examples: {_why_not_sampled(pair)}")


def _why_not_sampled(pair: PairReport) -> str:
    if not {ONE_PASS, STREAMED, SUMMED}.isdisjoint(pair.notes):
        return "one pass gives none; name layers with --pairs T=S, leave out --no-features"
    if pair.route == "pairs-estimate":
        return "drawn pairs of examples give none; pass --route blocked"
    if pair.transfer_loss <= ROWS_TELL:
        return f"the loss is too small to sample, but rounding alone may bring it to {pair.rounding_interval[1]:.2g}"
    said = (note.removeprefix(NOT_SAMPLED) for note in pair.notes if note.startswith(NOT_SAMPLED))
    return f"{next(said, 'too few examples or groups, or one carries all of the loss')}; measure more examples"
