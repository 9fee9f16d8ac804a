"""A term's weight from its own gradient: brought to a stated part of cross-entropy's once training has begun.

The very first steps would mislead: logits grow from nothing, and with them the gradients of a kernel of logits, by
orders of magnitude. So the ratio is taken after the rate's warm-up; until then a term may only be weakened.
"""

from __future__ import annotations

import math
from typing import Any

AUTO = "auto"
RATIO = 0.5  #: ‖∇term‖ / ‖∇CE‖ that is aimed at, of all terms of a sum whose weight is to be found together
STEPS = 20  #: with the term switched on, that the ratio is taken over
MOST = 2  #: times what is aimed at, from where on the term is weakened once more
LEAST_BEFORE = 4  #: epochs before the ratio is taken, of the rate's warm-up or not; never more than a quarter of all


class Balance:
    """``scale`` times the term has a gradient of about ``aim`` times cross-entropy's.

    ``scale`` is ``aim`` over the geometric mean of ‖∇term‖ / ‖∇CE‖ at :data:`STEPS` steps; what is seen before and
    after them, at the first step of each early epoch, may only lower it. Steps at which either gradient vanishes, or
    is not finite, do not count.
    """

    def __init__(self, aim: float = RATIO) -> None:
        self.aim = aim
        self.scale = 1.0
        self.logs: list[float] = []

    @property
    def found(self) -> bool:
        return len(self.logs) >= STEPS

    def looks(self, epoch: int, epochs: int, warm_up: int, *, first: bool) -> bool:
        """Whether a step of this epoch (from 0) is to be observed; ``first``: it is the epoch's first."""
        taking = epoch >= begins(epochs, warm_up) and not self.found
        return taking or (first and epoch <= max(2 * LEAST_BEFORE, epochs // 4))

    def observe(self, of_ce: float, of_term: float, *, early: bool = False) -> None:
        """The norms of both gradients at one step, the term without ``scale``; ``early``: no ratio is taken yet."""
        if not (0 < of_ce < math.inf and 0 < of_term < math.inf):
            return
        ratio = of_term / of_ce
        if early:
            self.scale = min(self.scale, self.aim / ratio)
        elif not self.found:
            self.logs.append(math.log(ratio))
            self.scale = self.aim / math.exp(sum(self.logs) / len(self.logs))
        elif self.scale * ratio > MOST * self.aim:
            self.scale = self.aim / ratio

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale, "logs": list(self.logs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale, self.logs = state["scale"], list(state["logs"])


def begins(epochs: int, warm_up: int) -> int:
    """The epoch (from 0) from which on the ratio is taken."""
    return min(max(warm_up, LEAST_BEFORE), epochs // 4)
