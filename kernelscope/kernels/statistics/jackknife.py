"""A statistic's standard error and interval over examples, from its values without each (docs/theory.md 8.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr
from scipy.special import stdtrit as t_quantile


@dataclass(frozen=True)
class Estimate:
    """A value for the population, its standard error and its 95 % interval.

    ``rests_on``: how many of the ``parts`` left out would vary as much if all weighed alike, (Σ h²)² / Σ h⁴ over their
    influences h.
    """

    value: float
    error: float
    interval: tuple[float, float]
    rests_on: float
    parts: int

    @property
    def p_value(self) -> float:
        """Of the hypothesis that the value is 0, two-sided, by the distribution that the interval is made with."""
        if self.error == 0:
            return float(self.value == 0)
        return 2 * float(stdtr(_degrees_of_freedom(self.rests_on, self.parts), -abs(self.value) / self.error))


def estimated(full: float, left_out: np.ndarray) -> Estimate:
    """The jackknife's estimate of a statistic, from all parts and without each, shape ``(G,)``.

    Student's t has as many degrees of freedom as parts that the variance rests on, at most G − 1.
    """
    v = pseudo_values(full, left_out)
    value, error, rests_on = float(v.mean()), standard_error(v), participation(v - v.mean())
    half = half_width(error, rests_on, len(v))
    return Estimate(value, error, (value - half, value + half), rests_on, len(v))


def participation(influence: np.ndarray) -> float:
    """How many of them there are, each by its weight: ``(Σ h²)² / Σ h⁴``, all of them where they are 0."""
    largest = float(np.max(np.abs(influence)))
    if largest == 0:
        return float(len(influence))
    squares = np.square(influence / largest)
    return float(squares.sum() ** 2 / np.square(squares).sum())


def pseudo_values(full: float, left_out: np.ndarray) -> np.ndarray:
    """``G f − (G − 1) f_(i)``."""
    return full + (len(left_out) - 1) * (full - left_out)


def standard_error(pseudo_values: np.ndarray) -> float:
    """Of their mean."""
    return float(np.std(pseudo_values, ddof=1)) / math.sqrt(len(pseudo_values))


def half_width(error: float, rests_on: float, parts: int) -> float:
    """Of the 95 % interval."""
    return float(t_quantile(_degrees_of_freedom(rests_on, parts), 0.975)) * error


def _degrees_of_freedom(rests_on: float, parts: int) -> float:
    return max(1.0, min(parts - 1.0, rests_on))
