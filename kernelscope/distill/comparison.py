"""Students of one cohort compared in pairs: differences over seeds and test examples, with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit as t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.distill.outcome import Trained

LEVEL = 0.95
LEAST_SEEDS = 3  #: below which no interval is given: of two seeds the spread is one number, of one there is none


@dataclass(frozen=True)
class Difference:
    """A mean difference and its interval ``value ± half_width``; ``over`` says what else it could have been a mean of.

    ``half_width`` is None for fewer than 3 seeds.
    """

    value: float
    half_width: float | None
    n: int
    over: str
    level: float = LEVEL


def paired(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, over: str) -> Difference:
    """Mean of ``first − second``, with Student's interval; None in its place for fewer than 3 pairs.

    Where both are numbers of the same test examples, other test examples are not in it: see :func:`of_predictions`.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    n, half = len(differences), None
    if n >= LEAST_SEEDS:
        spread = float(np.std(differences, ddof=1)) / math.sqrt(n)
        half = float(t_quantile(n - 1, (1 + LEVEL) / 2)) * spread
    return Difference(float(differences.mean()), half, n, over)


def of_predictions(first: np.ndarray, second: np.ndarray) -> Difference:
    """Accuracy of the first minus that of the second over other seeds *and* other test examples.

    The variance is that of the seeds' means over S plus that of the examples' means over n. Each also holds what is
    particular to a seed on an example, so that the sum errs to the wide side. To the squares of the n examples is added
    half of one that only the first gets right and half of one that only the second does (Agresti and Min 2005), since
    students that agree on a finite test set need not agree on all. Degrees of freedom after Satterthwaite.

    Args:
        first, second: whether each seed's student gets each example right, shape ``(S, n)``, seeds and examples paired.
    """
    right = np.asarray(first, float) - np.asarray(second, float)
    n = right.shape[1]
    of_examples = right.mean(axis=0)
    squares = float(np.sum(np.square(of_examples - of_examples.mean()))) + 1.0
    return _over_both(right.mean(axis=1), squares / max(1, n - 1) / n, n)


def of_accuracies(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, n: int) -> Difference:
    """The same where predictions were not kept: an upper limit takes the place of the examples' variance.

    Two students can disagree only where one of them is wrong, so that with mean error rates p and q no more than
    ``p + q − (p − q)²`` of variance is possible per example.

    Args:
        first, second: accuracy of each seed's student on the same n test examples, shape ``(S,)``.
    """
    p, q = (1 - float(np.mean(accuracies)) for accuracies in (first, second))
    return _over_both(np.asarray(first, float) - np.asarray(second, float), (p + q - (p - q) ** 2 + 1 / n) / n, n)


def _over_both(differences: np.ndarray, of_examples: float, n: int) -> Difference:
    """Seeds' differences, and the variance that the n test examples bring to their mean."""
    seeds, half = len(differences), None
    if seeds >= LEAST_SEEDS:
        of_seeds = float(np.var(differences, ddof=1)) / seeds
        variance = of_seeds + of_examples
        freedom = variance**2 / (of_seeds**2 / (seeds - 1) + of_examples**2 / max(1, n - 1))
        half = float(t_quantile(freedom, (1 + LEVEL) / 2)) * math.sqrt(variance)
    return Difference(float(differences.mean()), half, seeds, f"seeds and {n:,} test examples")


@dataclass(frozen=True, eq=False)
class Group:
    """The students of one method, one per seed, in the order of the seeds; None for one that failed."""

    method: str
    students: tuple[Trained | None, ...]

    @property
    def trained(self) -> list[Trained]:
        """Those that did not fail."""
        return [student for student in self.students if student is not None]

    def top1(self) -> list[float]:
        """Test accuracy of each after the last epoch."""
        return [student.last.metrics["top1_last"] for student in self.trained]

    def best(self) -> list[float]:
        """Test accuracy of each at its best epoch on validation."""
        return [student.last.metrics["top1_best"] for student in self.trained]

    def at(self, layer: str, field: str = "transfer_loss") -> list[float] | None:
        """The trajectories' last values at a layer, on validation examples; None where there are none."""
        last = [_last(student, layer).get(field) for student in self.trained]
        return None if None in last else [float(value) for value in last if value is not None]


def compared(first: Group, second: Group) -> dict[str, Difference]:
    """``first − second``: test accuracy over seeds and test examples, and the transfer loss at embedding and logits.

    Of seeds whose students both ended; nothing if there is none. The loss where both have trajectories, which keep one
    number for all validation examples: its interval is over seeds on these very examples.
    """
    both = [(a, b) for a, b in zip(first.students, second.students) if a is not None and b is not None]
    if not both:
        return {}
    first, second = (Group(g.method, s) for g, s in zip((first, second), zip(*both)))
    right = [np.stack([student.correct for student in group.trained]) for group in (first, second)]
    found = {"top1": of_predictions(*right)}
    for layer in ("embedding", "logits"):
        a, b = first.at(layer), second.at(layer)
        if a is not None and b is not None:
            found[f"transfer_loss at {layer}"] = paired(a, b, "seeds, on these validation examples")
    return found


def _last(student: Trained, layer: str) -> dict[str, Any]:
    trajectory = student.last.training["trajectory"]
    return dict(trajectory[-1]["layers"].get(layer) or {}) if trajectory else {}
