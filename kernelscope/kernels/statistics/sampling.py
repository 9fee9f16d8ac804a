"""Share of the loss by example, and its sampling interval over other examples (docs/theory.md 8.1).

Row i of Δ = K_S − K_T has ``‖Δ_i‖² = w_iᵀ G w_i`` with ``w_i = [x_S,i, −x_T,i]`` and G the Gram of both
features, so all n rows cost one more pass and nothing of size n × n.

A sample's loss counts every example against itself, which is 1/n of all pairs in the sample and nothing of them in
the population. The interval is therefore about the loss over pairs of different examples, or of different groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.plan import few_examples
from kernelscope.kernels.rows import BLOCK_ROWS, take_rows
from kernelscope.kernels.shares import Dealt
from kernelscope.kernels.statistics.jackknife import (
    Estimate,
    half_width,
    participation,
    pseudo_values,
    standard_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.statistics.row_forms import RowForms

LEAST_EXAMPLES = 10  #: below which no interval is given
LEAST_GROUPS = 5  #: the same for groups of examples
ROUNDING = 1e-12  #: share of ‖K_S‖² + ‖K_T‖² that sums of rows may be off by, with room for long rows
STILL = 1e-9  #: an influence below this share of what it is the difference of is rounding
LARGEST_LOG = 690.0  #: beyond it the upper end leaves float64


@dataclass(frozen=True, eq=False)
class RowNorms:
    """Per example: ‖Δ_i‖² and Δ_ii, ‖K_T,i‖² and (K_T)_ii; each of shape ``(n,)``, in units of the scaled features.

    ``roundoff``: what Σ ‖Δ_i‖² may be off by because it was formed from larger sums; 0 where it was summed itself.
    """

    difference: np.ndarray
    difference_diagonal: np.ndarray
    teacher: np.ndarray
    teacher_diagonal: np.ndarray
    roundoff: float = 0.0

    @property
    def n(self) -> int:
        return len(self.difference)

    @property
    def shares(self) -> np.ndarray:
        """What each example carries of ‖Δ‖²; sums to 1, and to 0 where the loss is 0."""
        total = self.difference.sum()
        shares: np.ndarray = self.difference / total if total > 0 else np.zeros_like(self.difference)
        return shares

    def loss(self) -> float:
        return math.sqrt(self.difference.sum() / self.teacher.sum())


def row_norms(forms: RowForms) -> RowNorms:
    """From one pass over the rows.

    Each ‖Δ_i‖² is right to about u ‖K_T‖² / n, so the shares mean something while the loss exceeds about 1e-6.
    """
    S, T = forms.student, forms.teacher
    return RowNorms(
        difference=np.maximum(S.squares - 2 * forms.cross + T.squares, 0),
        difference_diagonal=S.diagonal - T.diagonal,
        teacher=T.squares,
        teacher_diagonal=T.diagonal,
        roundoff=ROUNDING * (float(S.squares.sum()) + float(T.squares.sum())),
    )


@dataclass(frozen=True, eq=False)
class LeaveOut:
    """What each of G parts (examples, or whole groups of them) holds of the squared norms of Δ and K_T.

    ``difference`` and ``teacher``: Σ ‖Δ_i‖² and Σ ‖K_T,i‖² over the part's rows; ``difference_block`` and
    ``teacher_block``: the squared norm of the block where its rows and columns cross; ``sizes``: its examples.
    Each of shape ``(G,)``. ``roundoff``: see :class:`RowNorms`.
    """

    difference: np.ndarray
    difference_block: np.ndarray
    teacher: np.ndarray
    teacher_block: np.ndarray
    sizes: np.ndarray
    roundoff: float = 0.0

    def loss(self) -> float:
        return math.sqrt(self.difference.sum() / self.teacher.sum())

    @property
    def unit(self) -> str:
        """What a part is."""
        return "example" if len(self.sizes) == self.sizes.sum() else "group"

    def apart(self) -> tuple[np.ndarray, np.ndarray]:
        """Squared norms of each part's rows of Δ and K_T against all *other* parts; each of shape ``(G,)``."""
        difference, teacher = self.difference - self.difference_block, self.teacher - self.teacher_block
        return np.maximum(difference, 0.0), np.maximum(teacher, 0.0)

    def why_no_interval(self) -> str | None:
        """Why there is no interval over other examples; None where there is one."""
        examples = int(self.sizes.sum())
        if examples < LEAST_EXAMPLES:
            return f"too few examples or groups: it takes {LEAST_EXAMPLES} examples, here are {examples}"
        if self.unit == "group" and len(self.sizes) < LEAST_GROUPS:
            return f"too few examples or groups: it takes {LEAST_GROUPS} groups, here are {len(self.sizes)}"
        floors = max(self.roundoff, ROUNDING * self.difference.sum()), ROUNDING * self.teacher.sum()
        for own, floor, name in zip(self.apart(), floors, ("difference of the kernels", "teacher's kernel")):
            if not own.sum() > floor:
                return f"the {name} lies within single {self.unit}s, and pairs of them have none"
            if not own.sum() - 2 * own.max() > floor:
                return f"without one {self.unit} nothing would be left of the {name}"
        return None


def single_examples(rows: RowNorms) -> LeaveOut:
    """Every example is a part of its own."""
    return LeaveOut(
        rows.difference,
        rows.difference_diagonal**2,
        rows.teacher,
        rows.teacher_diagonal**2,
        np.ones(rows.n, np.int64),
        rows.roundoff,
    )


def whole_groups(rows: RowNorms, scaled: ScaledSums, groups: np.ndarray) -> LeaveOut:
    """Groups of examples that were drawn together (frames of a film, patches of an image, pupils of a class).

    Args:
        groups: the group of each example, shape ``(n,)``, any whole numbers.
    """
    groups = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(groups)
    blocks = np.zeros((2, len(sizes)))
    order = np.argsort(groups, kind="stable")  # stable: rows of a group stay in order, so that reads go forward
    ends = np.cumsum(sizes)
    batches = [*_batches(ends)]
    dealt = Dealt(len(batches))
    for first, last in batches:
        if not dealt.own():
            continue
        members = order[(ends[first] - sizes[first]) : ends[last]]
        X_S, X_T = take_rows(scaled.student, members), take_rows(scaled.teacher, members)
        cuts = np.cumsum(sizes[first:last])
        for g, (S, T) in enumerate(zip(np.split(X_S, cuts), np.split(X_T, cuts)), first):
            blocks[:, g] = own_block(S, T)
    (blocks,) = dealt.summed(blocks)
    return groups_with_blocks(rows, groups, blocks)


def groups_with_blocks(rows: RowNorms, groups: np.ndarray, blocks: np.ndarray) -> LeaveOut:
    """Groups numbered from 0, and of each the squared norms of its own blocks of Δ and K_T, shape ``(2, G)``."""
    carried = [np.bincount(groups, weights=norms) for norms in (rows.difference, rows.teacher)]
    return LeaveOut(carried[0], blocks[0], carried[1], blocks[1], np.bincount(groups), rows.roundoff)


def _batches(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last group of stretches that hold a block of rows, or one group that is larger."""
    first = 0
    while first < len(ends):
        start = ends[first - 1] if first else 0
        last = max(first, int(np.searchsorted(ends, start + BLOCK_ROWS, side="right")) - 1)
        yield first, last
        first = last + 1


def own_block(S: np.ndarray, T: np.ndarray) -> tuple[float, float]:
    """‖S Sᵀ − T Tᵀ‖² and ‖T Tᵀ‖² of one group's rows, over whichever is smaller, rows or features."""
    if few_examples(len(S), S.shape[1] + T.shape[1]):
        K_T = T @ T.T
        difference = S @ S.T - K_T
        return float(np.vdot(difference, difference)), float(np.vdot(K_T, K_T))
    squares = [float(np.vdot(G, G)) for G in (S.T @ S, T.T @ T, S.T @ T)]
    return max(0.0, squares[0] + squares[1] - 2 * squares[2]), squares[1]


def sampling_interval(parts: LeaveOut) -> Estimate | None:
    """95 % interval of the loss over examples: a jackknife of θ = ½ log(A/B), A and B over pairs of different parts.

    ``A = Σ_{i≠j} Δ_ij²`` and ``B = Σ_{i≠j} (K_T)_ij²`` are U-statistics, free of the diagonal; leaving part i out takes
    2 r_i and 2 b_i off them. With pseudo-values ``v_i = G θ − (G − 1) θ_(i)`` the loss of the population is about
    ``exp(mean v)``, and the interval ``exp(mean v ± t sd(v) / √G)`` (docs/theory.md 8.1). Student's t has as many
    degrees of freedom as parts that the variance rests on, at most G − 1. Nothing is seen of what was not sampled.

    Returns:
        None where :meth:`LeaveOut.why_no_interval` says why, or where the upper end would leave float64.
    """
    if parts.why_no_interval() is not None:
        return None
    logs = _Jackknife.of(parts)
    v = pseudo_values(logs.theta, logs.left_out)
    value, error = float(v.mean()), standard_error(v)
    rests_on = participation(logs.influence)
    half = half_width(error, rests_on, len(v))
    if value + half > LARGEST_LOG:
        return None
    loss = math.exp(value)
    return Estimate(loss, loss * error, (math.exp(value - half), math.exp(value + half)), rests_on, len(v))


def paired_difference(first: LeaveOut, second: LeaveOut) -> Estimate | None:
    """Population loss of the first student minus that of the second on the same examples, with its 95 % interval.

    Both leave the same parts out, so that what an example does to both cancels: the spread is that of the jackknife of
    ``exp θ_1 − exp θ_2``, the degrees of freedom are those of its own influences.
    """
    if first.why_no_interval() is not None or second.why_no_interval() is not None:
        return None
    a, b = _Jackknife.of(first), _Jackknife.of(second)
    centres = [float(pseudo_values(each.theta, each.left_out).mean()) for each in (a, b)]
    if max(*centres, *(max(each.theta, float(each.left_out.max())) for each in (a, b))) > LARGEST_LOG:
        return None
    losses = [math.exp(centre) for centre in centres]
    full, left_out = math.exp(a.theta) - math.exp(b.theta), np.exp(a.left_out) - np.exp(b.left_out)
    error = standard_error(pseudo_values(full, left_out))
    rests_on = participation(losses[0] * a.influence - losses[1] * b.influence)
    half = half_width(error, rests_on, len(left_out))
    value = losses[0] - losses[1]
    return Estimate(value, error, (value - half, value + half), rests_on, len(left_out))


@dataclass(frozen=True, eq=False)
class _Jackknife:
    """θ = ½ log(A/B), the same without each part, and each part's influence ``r_i/A − b_i/B``."""

    theta: float
    left_out: np.ndarray
    influence: np.ndarray

    @classmethod
    def of(cls, parts: LeaveOut) -> _Jackknife:
        r, b = parts.apart()
        A, B = float(r.sum()), float(b.sum())
        left_out = 0.5 * (np.log((A - 2 * r) / A) - np.log((B - 2 * b) / B))
        theta = 0.5 * (math.log(A) - math.log(B))
        influence = r / A - b / B
        influence[np.abs(influence) <= STILL * (r / A + b / B)] = 0.0  # all of them for a multiple of the teacher
        return cls(theta, theta + left_out, influence)
