"""Which examples carry the loss, and how much it would vary over other samples of examples (THEORY B.10, B.11).

Row i of Δ = K_S − K_T has ``‖Δ_i‖² = w_iᵀ G w_i`` with ``w_i = [x_S,i, −x_T,i]`` and G the Gram of both
features, so all n rows cost one more pass and nothing of size n × n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.exact import ScaledSums
from kernelscope.kernels.rows import row_blocks

Z_95 = 1.959963984540054  #: two-sided 95 % point of the normal distribution


@dataclass(frozen=True, eq=False)
class RowNorms:
    """Per example: ‖Δ_i‖² and Δ_ii, ‖K_T,i‖² and (K_T)_ii; each of shape ``(n,)``, in units of the scaled features."""

    difference: np.ndarray
    difference_diagonal: np.ndarray
    teacher: np.ndarray
    teacher_diagonal: np.ndarray

    @property
    def n(self) -> int:
        return len(self.difference)

    @property
    def shares(self) -> np.ndarray:
        """What each example carries of ‖Δ‖²; sums to 1, and to 0 where the loss is 0."""
        total = self.difference.sum()
        return self.difference / total if total > 0 else np.zeros_like(self.difference)

    @property
    def teacher_shares(self) -> np.ndarray:
        """What each example carries of ‖K_T‖²; sums to 1."""
        return self.teacher / self.teacher.sum()

    def loss(self) -> float:
        return math.sqrt(self.difference.sum() / self.teacher.sum())


def row_norms(scaled: ScaledSums) -> RowNorms:
    """One pass over the features: n (d_S² + d_S d_T + d_T²) multiply-adds.

    Each ‖Δ_i‖² is right to about u ‖K_T‖² / n, so the shares mean something while the loss exceeds about 1e-6.
    """
    sums = scaled.sums
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for (_, X_S), (_, X_T) in zip(row_blocks(scaled.student), row_blocks(scaled.teacher)):
        teacher = np.einsum("ij,ij->i", X_T @ sums.G_TT, X_T)
        cross = np.einsum("ij,ij->i", X_S @ sums.G_ST, X_T)
        student = np.einsum("ij,ij->i", X_S @ sums.G_SS, X_S)
        k_S, k_T = np.einsum("ij,ij->i", X_S, X_S), np.einsum("ij,ij->i", X_T, X_T)
        for column, values in zip(columns, (np.maximum(student - 2 * cross + teacher, 0), k_S - k_T, teacher, k_T)):
            column.append(values)
    return RowNorms(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Estimate:
    """A value corrected for the bias of a finite sample, its standard error and its 95 % interval."""

    value: float
    error: float
    interval: tuple[float, float]


def sampling_interval(rows: RowNorms) -> Estimate | None:
    """95 % interval of the loss over examples, by the delete-one jackknife of its logarithm.

    The jackknife also removes the bias 1/n that the diagonal of both kernels brings, so the interval is about the
    loss of the population the examples were drawn from. None for fewer than 3 examples, or a loss of 0.
    """
    logs = _left_out_logs(rows)
    if logs is None:
        return None
    full = math.log(rows.loss())
    value, error = _jackknife(full, logs)
    return Estimate(math.exp(value), math.exp(value) * error, _exponentials(value, error))


def paired_difference(first: RowNorms, second: RowNorms) -> Estimate | None:
    """Loss of the first student minus that of the second on the same examples, with its 95 % interval."""
    logs_a, logs_b = _left_out_logs(first), _left_out_logs(second)
    if logs_a is None or logs_b is None:
        return None
    value, error = _jackknife(first.loss() - second.loss(), np.exp(logs_a) - np.exp(logs_b))
    return Estimate(value, error, (value - Z_95 * error, value + Z_95 * error))


def _left_out_logs(rows: RowNorms) -> np.ndarray | None:
    """log loss without each example: what its row and its column carry is taken off both norms."""
    difference, teacher = (
        norms.sum() - (2 * norms - diagonal**2)
        for norms, diagonal in (
            (rows.difference, rows.difference_diagonal),
            (rows.teacher, rows.teacher_diagonal),
        )
    )
    if rows.n < 3 or min(difference.min(), teacher.min()) <= 0:
        return None
    return 0.5 * (np.log(difference) - np.log(teacher))


def _jackknife(full: float, left_out: np.ndarray) -> tuple[float, float]:
    """Bias-corrected value and standard error from leave-one-out values."""
    n = len(left_out)
    mean = float(left_out.mean())
    return n * full - (n - 1) * mean, math.sqrt((n - 1) / n * float(np.sum((left_out - mean) ** 2)))


def _exponentials(value: float, error: float) -> tuple[float, float]:
    return math.exp(value - Z_95 * error), math.exp(value + Z_95 * error)
