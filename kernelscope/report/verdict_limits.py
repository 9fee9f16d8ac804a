"""Every limit of the verdict, in one table.

Near a limit the sentence has "between": it must not change with the third digit of a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A value up to which a rule applies; within ``margin`` of it, relative, the sentence has "between"."""

    value: float
    margin: float = 0.1

    def clearly_below(self, x: float) -> bool:
        return x <= self.value * (1 - self.margin)

    def near(self, x: float) -> bool:
        return abs(x - self.value) < self.value * self.margin


SIGNIFICANT = 0.05  #: p-value above which shuffled examples do as well
NOTHING_MUCH = Limit(0.05)  #: above_chance below which that is so for all purposes, however many examples prove it
NEARLY = 0.05  #: loss below which nothing is left to repair
NEARLY_CENTRED = 0.15  #: if the centred rung is below this too
MOSTLY_MEAN = 0.5  #: share of ‖X‖² that is the mean's, in both networks
BEYOND_THE_MEAN = Limit(0.25)  #: above_chance, below which networks that are mostly mean share little else
REPAIRED = Limit(0.5)  #: share of the loss that a fix leaves, for the loss to be a matter of that fix
SMALL_ENOUGH = 0.5  #: and the loss it leaves
SAME_LENGTH = 0.05
AMPLITUDE = (0.5, 2.0)  #: ‖HK_SH‖ / ‖HK_TH‖ outside of which deviations from the mean have another size
ONE_CLASS = Limit(0.3)  #: share of ‖Δ‖² in the rows of one class, which is also three times its share of the examples
TIMES_ITS_SHARE = 3.0
ELSEWHERE = 0.15  #: or what other classes have among themselves, over what they had if all pairs were alike
WITHIN = Limit(0.2)  #: CKA within classes above its chance, over CKA: below it the classes agree, their insides do not
AT_THE_FLOOR = Limit(1.25)  #: loss over the least that the student's width allows
FALLEN = Limit(1 / 3)  #: the student's effective rank over the teacher's, means removed
OPENINGS = (  # above_chance from, centred rung up to
    (0.9, 0.45, "nearly all"),
    (0.6, 0.8, "most"),
    (0.3, 0.96, "a good part"),
    (0.1, 1.0, "a little"),
    (-math.inf, math.inf, "hardly anything"),
)
