"""Landmarks: groups of examples, one landmark vector per group and network (the paper's D_S and D_T).

Teacher and student live in different spaces, so a landmark is not a point: each network's landmark vector is the
mean of *its own* features over the group. Class means, k-means cells and sampled rows are all of this kind, and the
same groups serve both networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kernelscope.errors import Mismatch, UsageError
from kernelscope.kernels.nystrom.clusters import sum_by_group
from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.rows import Features, Rows, as_rows, row_blocks, shared_rows, storage_roundoff
from kernelscope.kernels.shares import Share

MEAN_ROUNDINGS = 16  #: that a mean of rows is off by, in units of the mean row norm


@dataclass(frozen=True, eq=False)
class Landmarks:
    """m groups of n examples: a partition (``assignment``) or single rows (``indices``).

    ``assignment``: shape ``(n,)``, the group of each example, −1 for none; no group is empty.
    ``indices``: shape ``(m,)``, the row each landmark is.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> halves = ks.Landmarks("halves", n=100, m=2, assignment=np.arange(100) % 2)
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> halves.counts.tolist(), ks.measure(teacher=X, student=X, landmarks=halves).transfer_loss
        ([50, 50], 0.0)
    """

    strategy: str
    n: int
    m: int
    seed: int | None = None
    assignment: np.ndarray | None = field(default=None, repr=False)
    indices: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.assignment is None) == (self.indices is None):
            raise UsageError("landmarks need either an assignment or row indices; give one of them")

    @property
    def is_partition(self) -> bool:
        """Whether every landmark is the mean of a group, so that Theorem 2, PY and the ANOVA exist."""
        return self.assignment is not None

    @cached_property
    def counts(self) -> np.ndarray:
        """n_l, examples in each group, shape ``(m,)``."""
        if self.assignment is None:
            return np.ones(self.m, np.int64)
        return np.bincount(self.assignment[self.assignment >= 0], minlength=self.m)

    @property
    def rows(self) -> np.ndarray:
        """The row that each landmark is, shape ``(m,)``.

        Raises:
            UsageError: landmarks that are means of groups.
        """
        if self.indices is None:
            raise UsageError("these landmarks are means of groups, not rows; choose uniform:m or a file of row indices")
        return np.asarray(self.indices)

    @property
    def repeats(self) -> int:
        """How often the most frequent row serves as a landmark; 1 unless row indices repeat."""
        return 1 if self.indices is None else int(np.unique(self.indices, return_counts=True)[1].max())

    def vectors(self, *, teacher: Features, student: Features) -> LandmarkVectors:
        """:meth:`of` both networks, and what rounding may have added to each. One pass.

        Means of large rows that cancel are not to be trusted: ``noise`` is u of the stored type, or some sixteen
        roundings of the sum, times the groups' mean row norms, in ‖·‖_2; 0 for single rows.
        """
        (D_T, noise_T), (D_S, noise_S) = (self._with_noise(X) for X in (teacher, student))
        return LandmarkVectors(
            teacher=D_T,
            student=D_S,
            assignment=self.assignment,
            exact_centres=self.is_partition,
            strategy=self.strategy,
            repeats=self.repeats,
            noise=(noise_S, noise_T),
        )

    def of(self, X: Features) -> np.ndarray:
        """Landmark vectors ``(m, d)`` in float64: means of X's own rows per group. One pass, O(n d).

        Raises:
            Mismatch: if X has another number of rows than the landmarks were chosen from.
        """
        return self._with_noise(X)[0]

    def _with_noise(self, X: Features) -> tuple[np.ndarray, float]:
        rows = as_rows(X)
        if rows.shape[0] != self.n:
            raise Mismatch(
                f"landmarks are groups of {self.n} examples, features have {rows.shape[0]}; choose landmarks again"
            )
        if self.assignment is None:
            assert self.indices is not None
            return shared_rows(rows, self.indices), 0.0
        means = GroupMeans(rows, self.assignment, self.m)
        relative = max(MEAN_ROUNDINGS * UNIT_ROUNDOFF, storage_roundoff(rows))
        return means.vectors, relative * float(np.linalg.norm(means.lengths))


@dataclass(frozen=True, eq=False)
class LandmarkVectors:
    """Landmark vectors of both networks, whatever they are made from; landmark l means the same in both spaces.

    ``teacher (m, d_T)`` and ``student (m, d_S)``. ``assignment``: the landmark of each example, shape ``(n,)``, −1 for
    none, common to both networks. ``exact_centres``: the landmarks are the means of the assignment's groups in the
    features they are used with; only then do Theorem PY and the ANOVA hold. ``strategy``: how they were chosen,
    ``external`` if they are not made from these examples. ``repeats``: how often the most frequent row serves as one.
    ``noise``: what rounding may have added to the student's and to the teacher's, in ‖·‖_2.
    """

    teacher: np.ndarray
    student: np.ndarray
    assignment: np.ndarray | None = None
    exact_centres: bool = False
    strategy: str = "external"
    repeats: int = 1
    noise: tuple[float, float] = (0.0, 0.0)

    @property
    def m(self) -> int:
        return len(self.teacher)


class GroupMeans:
    """Over the groups of ``assignment`` (−1: none; zero for an empty group), from one pass.

    ``vectors`` ``(m, d)``: mean rows; ``lengths`` and ``squares`` ``(m,)``: means of ‖x_i‖ and ‖x_i‖².
    """

    def __init__(self, X: Rows, assignment: np.ndarray, m: int) -> None:
        total, norms, share = np.zeros((m, X.shape[1])), np.zeros((m, 2)), Share.of(X.shape[0])
        for start, block in row_blocks(X, share=share):
            groups = assignment[start : start + len(block)]
            with np.errstate(over="ignore", invalid="ignore"):  # features too large or not finite are named later
                squares = np.einsum("ij,ij->i", block, block)
                total += sum_by_group(block, groups, m)
                norms += sum_by_group(np.stack([np.sqrt(squares), squares], axis=1), groups, m)
        total, norms = share.summed(total, norms)
        counts = np.maximum(np.bincount(assignment[assignment >= 0], minlength=m), 1)
        self.vectors, (self.lengths, self.squares) = total / counts[:, None], norms.T / counts
