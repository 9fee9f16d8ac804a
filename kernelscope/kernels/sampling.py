"""Which examples carry the loss, and how much it would vary over other samples of examples (THEORY B.10, B.11).

Row i of Δ = K_S − K_T has ``‖Δ_i‖² = w_iᵀ G w_i`` with ``w_i = [x_S,i, −x_T,i]`` and G the Gram of both
features, so all n rows cost one more pass and nothing of size n × n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.exact import ScaledSums
from kernelscope.kernels.groups import take_rows
from kernelscope.kernels.rows import BLOCK_ROWS, row_blocks

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


@dataclass(frozen=True, eq=False)
class LeaveOut:
    """What leaving out each of G parts (examples, or whole groups of them) takes off the squared norms of Δ and K_T.

    ``difference`` and ``teacher``: Σ ‖Δ_i‖² and Σ ‖K_T,i‖² over the part's rows; ``difference_block`` and
    ``teacher_block``: the squared norm of the block where its rows and columns cross; ``sizes``: its examples.
    Each of shape ``(G,)``.
    """

    difference: np.ndarray
    difference_block: np.ndarray
    teacher: np.ndarray
    teacher_block: np.ndarray
    sizes: np.ndarray

    def loss(self) -> float:
        return math.sqrt(self.difference.sum() / self.teacher.sum())

    def logs(self) -> np.ndarray | None:
        """log loss without each part; None for fewer than 3 parts, or where nothing would be left."""
        difference = self.difference.sum() - (2 * self.difference - self.difference_block)
        teacher = self.teacher.sum() - (2 * self.teacher - self.teacher_block)
        if len(self.sizes) < 3 or min(difference.min(), teacher.min()) <= 0:
            return None
        return 0.5 * (np.log(difference) - np.log(teacher))


def single_examples(rows: RowNorms) -> LeaveOut:
    """Every example is a part of its own."""
    return LeaveOut(
        rows.difference, rows.difference_diagonal**2, rows.teacher, rows.teacher_diagonal**2, np.ones(rows.n, np.int64)
    )


def whole_groups(rows: RowNorms, scaled: ScaledSums, groups: np.ndarray) -> LeaveOut:
    """Groups of examples that were drawn together (frames of a film, patches of an image, pupils of a class).

    Args:
        groups: the group of each example, shape ``(n,)``, any whole numbers.
    """
    _, groups = np.unique(groups, return_inverse=True)
    sizes = np.bincount(groups)
    blocks = np.zeros((2, len(sizes)))
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(sizes)
    for first, last in _batches(ends):
        members = order[(ends[first] - sizes[first]) : ends[last]]
        X_S, X_T = take_rows(scaled.student, members), take_rows(scaled.teacher, members)
        cuts = np.cumsum(sizes[first:last])
        for g, (S, T) in enumerate(zip(np.split(X_S, cuts), np.split(X_T, cuts)), first):
            blocks[:, g] = _own_block(S, T)
    carried = [np.bincount(groups, weights=norms) for norms in (rows.difference, rows.teacher)]
    return LeaveOut(carried[0], blocks[0], carried[1], blocks[1], sizes)


def _batches(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last group of stretches that hold a block of rows, or one group that is larger."""
    first = 0
    while first < len(ends):
        start = ends[first - 1] if first else 0
        last = max(first, int(np.searchsorted(ends, start + BLOCK_ROWS, side="right")) - 1)
        yield first, last
        first = last + 1


def _own_block(S: np.ndarray, T: np.ndarray) -> tuple[float, float]:
    """‖S Sᵀ − T Tᵀ‖² and ‖T Tᵀ‖² of one group's rows, over whichever is smaller, rows or features."""
    if len(S) <= 2 * (S.shape[1] + T.shape[1]):
        K_T = T @ T.T
        difference = S @ S.T - K_T
        return float(np.vdot(difference, difference)), float(np.vdot(K_T, K_T))
    squares = [float(np.vdot(G, G)) for G in (S.T @ S, T.T @ T, S.T @ T)]
    return max(0.0, squares[0] + squares[1] - 2 * squares[2]), squares[1]


@dataclass(frozen=True)
class Estimate:
    """A value corrected for the bias of a finite sample, its standard error and its 95 % interval."""

    value: float
    error: float
    interval: tuple[float, float]


def sampling_interval(parts: LeaveOut) -> Estimate | None:
    """95 % interval of the loss over examples, by the jackknife of its logarithm that leaves out one part at a time.

    The jackknife also removes the bias 1/n that the diagonal of both kernels brings, so the interval is about the
    loss of the population the examples were drawn from. None for fewer than 3 parts, or a loss of 0.
    """
    logs = parts.logs()
    if logs is None:
        return None
    value, error = _jackknife(math.log(parts.loss()), logs, parts.sizes)
    return Estimate(math.exp(value), math.exp(value) * error, _exponentials(value, error))


def paired_difference(first: LeaveOut, second: LeaveOut) -> Estimate | None:
    """Loss of the first student minus that of the second on the same examples, with its 95 % interval."""
    logs_a, logs_b = first.logs(), second.logs()
    if logs_a is None or logs_b is None:
        return None
    value, error = _jackknife(first.loss() - second.loss(), np.exp(logs_a) - np.exp(logs_b), first.sizes)
    return Estimate(value, error, (value - Z_95 * error, value + Z_95 * error))


def _jackknife(full: float, left_out: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Bias-corrected value and standard error from values without each of G parts of unequal sizes.

    With h = n / size: value = G full − Σ (1 − 1/h) left_out, variance the mean of (pseudo-value − value)² / (h − 1)
    (Busing, Meijer and van der Leeden 1999); for parts of one size the usual delete-one jackknife.
    """
    h = sizes.sum() / sizes
    value = len(sizes) * full - float(np.sum((1 - 1 / h) * left_out))
    pseudo = h * full - (h - 1) * left_out
    return value, math.sqrt(float(np.mean((pseudo - value) ** 2 / (h - 1))))


def _exponentials(value: float, error: float) -> tuple[float, float]:
    return math.exp(value - Z_95 * error), math.exp(value + Z_95 * error)
