"""Students of one cohort compared in pairs: differences over seeds, or over examples, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit as t_quantile

from kernelscope.distill.outcome import Trained

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean difference and its interval ``value ± half_width``; ``over`` says of what it is a mean."""

    value: float
    half_width: float | None
    n: int
    over: str
    level: float = LEVEL


def paired(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, over: str) -> Difference:
    """Mean of ``first − second``, with Student's interval; None in its place for a single pair."""
    differences = np.asarray(first, float) - np.asarray(second, float)
    n, half = len(differences), None
    if n > 1:
        spread = float(np.std(differences, ddof=1)) / math.sqrt(n)
        half = float(t_quantile(n - 1, (1 + LEVEL) / 2)) * spread
    return Difference(float(differences.mean()), half, n, over)


@dataclass(frozen=True, eq=False)
class Group:
    """The students of one method, one per seed, in the order of the seeds."""

    method: str
    students: tuple[Trained, ...]

    def top1(self) -> list[float]:
        """Test accuracy of each after the last epoch."""
        return [student.last.metrics["top1_last"] for student in self.students]

    def best(self) -> list[float]:
        """Test accuracy of each at its best epoch on validation."""
        return [student.last.metrics["top1_best"] for student in self.students]

    def losses(self, layer: str, field: str = "transfer_loss") -> list[float] | None:
        """The trajectories' last values at a layer, on validation examples; None where there are none."""
        last = [_last(student, layer).get(field) for student in self.students]
        return None if None in last else [float(value) for value in last if value is not None]


def compared(first: Group, second: Group) -> dict[str, Difference]:
    """``first − second``: test accuracy, and the transfer loss at embedding and logits where both have trajectories.

    Over seeds where there are several; accuracy of single students over the test examples.
    """
    if len(first.students) > 1:
        found = {"top1": paired(first.top1(), second.top1(), "seeds")}
    else:
        found = {"top1": paired(first.students[0].right, second.students[0].right, "examples")}
    for layer in ("embedding", "logits"):
        a, b = first.losses(layer), second.losses(layer)
        if a is not None and b is not None:
            found[f"transfer_loss at {layer}"] = paired(a, b, "seeds")
    return found


def _last(student: Trained, layer: str) -> dict[str, Any]:
    trajectory = student.last.training["trajectory"]
    return dict(trajectory[-1]["layers"].get(layer) or {}) if trajectory else {}
