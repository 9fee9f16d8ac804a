"""A term's weight from its first steps: its gradient is brought to a stated part of cross-entropy's, then frozen."""

from __future__ import annotations

import math
from typing import Any

AUTO = "auto"
RATIO = 0.5  #: ‖∇term‖ / ‖∇CE‖ that is aimed at
STEPS = 20  #: with the term switched on, that the ratio is taken over


class Balance:
    """``scale`` times the term has a gradient of about :data:`RATIO` times cross-entropy's.

    ``scale`` is RATIO over the geometric mean of ‖∇term‖ / ‖∇CE‖ at the steps seen; after :data:`STEPS` of them it
    stays. Steps at which either gradient vanishes, or is not finite, do not count.
    """

    def __init__(self) -> None:
        self.scale = 1.0
        self.logs: list[float] = []

    @property
    def frozen(self) -> bool:
        return len(self.logs) >= STEPS

    def observe(self, of_ce: float, of_term: float) -> None:
        """The norms of both gradients at one step, the term without ``scale``."""
        if self.frozen or not (0 < of_ce < math.inf and 0 < of_term < math.inf):
            return
        self.logs.append(math.log(of_term / of_ce))
        self.scale = RATIO / math.exp(sum(self.logs) / len(self.logs))

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale, "logs": list(self.logs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale, self.logs = state["scale"], list(state["logs"])
