"""Warnings a reader needs before believing a number; each has a code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.rows import columns
from kernelscope.report.fields import Outliers, Warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kernelscope.kernels.distance.answers import TransferLoss
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
    from kernelscope.kernels.similarity.head import Head
    from kernelscope.kernels.statistics.jackknife import Estimate
    from kernelscope.kernels.statistics.sampling import RowNorms
    from kernelscope.measurement.layer_pairs import Examples

FEW_ROWS = 0.01
MUCH_OF_THE_KERNEL = 0.5
HEAVY = 10  #: times the average share of ‖K_T‖², from which a row is left out beside those
MOST_LEFT_OUT = 0.05
ENOUGH_FOR_A_HEAD = 10  #: examples for each of the student's features
ENOUGH_OF_A_CLASS = 10  #: examples, or groups of them


def cautions(
    loss: TransferLoss,
    scaled: ScaledSums,
    rows: RowNorms | None,
    sums: NystromSums | None,
    labels: np.ndarray | None,
    on_head: Iterable[Warning],
    outliers: Outliers | None,
) -> Iterator[Warning]:
    """Every warning that applies to this pair, the gravest first; ``sums``: None where there are no landmarks."""
    if not loss.resolved:
        low, high = loss.interval
        yield Warning("unresolved", f"the loss is only known to lie between {low:.2g} and {high:.2g}; see the interval")
    if loss.storage_floor > max(loss.value, 1e-300) and loss.value > 0:
        yield Warning(
            "below-storage-floor",
            f"features are stored so coarsely that a loss up to {loss.storage_floor:.2g} may be rounding; use float32",
        )
    if outliers is not None and rows is not None:
        without = "not defined" if outliers.loss_without is None else f"{outliers.loss_without:.3g}"
        yield Warning(
            "outliers",
            f"{outliers.count} of {rows.n} examples carry half of the teacher's kernel: the loss is {rows.loss():.3g} "
            f"with them and {without} without the heaviest {outliers.left_out}",
        )
    s = scaled.sums
    d_S, d_T = columns(scaled.student), columns(scaled.teacher)
    if s.n < max(d_S, d_T):
        yield Warning(
            "few-examples",
            f"{s.n} examples for {max(d_S, d_T)} features: even unrelated networks look alike",
        )
    yield from on_head
    if labels is not None and len(np.unique(labels)) < 3:
        yield Warning(
            "few-classes", f"{len(np.unique(labels))} classes: class centres see little; try --landmarks kmeans:50"
        )
    if sums is not None:
        yield from _on_landmarks(sums, s.d_teacher, s.d_student)
    yield from _mean_direction(scaled)


def _on_landmarks(sums: NystromSums, d_teacher: int, d_student: int) -> Iterator[Warning]:
    for name, network, width in (("teacher", sums.teacher, d_teacher), ("student", sums.student, d_student)):
        # the default without labels is many k-means cells: more than features, so dependent by their number alone
        if network.rank < (min(sums.m, width) if sums.strategy.startswith("kmeans") else sums.m):
            yield Warning(
                "rank-deficient-landmarks",
                f"the {name}'s {sums.m} landmarks span {network.rank} dimensions, so W has eigenvalues 0 and the "
                "paper's assumption fails",
            )


def head_cautions(n: int, d_student: int, head: Head) -> Iterator[Warning]:
    """What a linear head in sample may not be trusted with."""
    if n < ENOUGH_FOR_A_HEAD * d_student:
        yield Warning(
            "few-examples-for-head",
            f"{n} examples for a linear head on {d_student} features: in sample it fits what is not there; "
            "read the held-out head",
        )
    if head.rank < head.columns:
        yield Warning(
            "rank-cut",
            f"{head.columns - head.rank} of {head.columns} directions of the student lie below {head.tolerance:.1g} of "
            "the largest, where rounding rules, and were left out of the linear head",
        )


def sampling_cautions(found: Estimate | None, examples: Examples) -> Iterator[Warning]:
    """What an interval over other examples may not be trusted with: few that decide it, classes hardly sampled."""
    unit = "examples" if examples.groups is None else "groups"
    if found is not None and found.rests_on < min(10.0, found.parts / 6):
        yield Warning(
            "few-decide-the-interval",
            f"the sampling interval rests on {max(1, round(found.rests_on))} of {found.parts} {unit}, which outweigh "
            "the rest; another sample may hold heavier ones",
        )
    if examples.labels is None:
        return
    classes, counts = _counts_by_class(examples.labels, examples.groups)
    few = np.flatnonzero(counts < ENOUGH_OF_A_CLASS)
    if len(few):
        least = int(few[np.argmin(counts[few])])
        name = f"{examples.class_name(int(classes[least]))}: {counts[least]}"
        which = f"class {name} {unit}" if len(few) == 1 else f"{len(few)} of {len(classes)} classes (least {name})"
        yield Warning(
            "few-of-a-class",
            f"fewer than {ENOUGH_OF_A_CLASS} {unit} of {which}; no sampling interval can see what was hardly sampled",
        )


def _counts_by_class(labels: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The classes, and how many examples or groups of each there are."""
    if groups is not None:
        labels = np.unique(np.stack([labels, groups]), axis=1)[0]
    return np.unique(labels, return_counts=True)


def outliers_among(
    rows: RowNorms | None, of: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]
) -> Outliers | None:
    """Few rows carrying most of ‖K_T‖²: with them and without them are two different answers.

    ``of``: X_S and X_T of rows by number; None where they are not known, and with them not the loss without them.
    """
    if rows is None or rows.n < 100:
        return None
    order = np.argsort(-rows.teacher, kind="stable")
    few = max(1, math.floor(FEW_ROWS * rows.n))
    carried = np.cumsum(rows.teacher[order[:few]])
    half = MUCH_OF_THE_KERNEL * rows.teacher.sum()
    if carried[-1] <= half:
        return None
    # all that are heavy have to go, or those that are left would still decide
    share = rows.teacher[order] / rows.teacher.sum()
    few = max(few, min(int(np.count_nonzero(share > HEAVY / rows.n)), math.floor(MOST_LEFT_OUT * rows.n)))
    heavy = np.sort(order[:few])
    count = int(np.searchsorted(carried, half)) + 1
    found = of(heavy)
    if found is None:
        return Outliers(count, few, None)
    among = gram_sums(teacher=found[1], student=found[0], may_vanish=True)
    # leaving rows out takes off their rows and columns, and puts back the block where these cross
    difference = rows.difference.sum() - 2 * rows.difference[heavy].sum() + max(0.0, among.difference_squared)
    teacher = rows.teacher.sum() - 2 * rows.teacher[heavy].sum() + among.norm_teacher**2
    without = math.sqrt(max(0.0, difference) / teacher) if teacher > 0 else None
    return Outliers(count, few, without)


def _mean_direction(scaled: ScaledSums) -> Iterator[Warning]:
    """‖mean‖² as a share of the mean ‖x‖²: near 1 every kernel looks like every other."""
    s = scaled.sums
    for name, part, trace in (
        ("teacher", slice(s.d_student, None), s.trace_teacher),
        ("student", slice(0, s.d_student), s.trace_student),
    ):
        share = float(s.sums[part] @ s.sums[part]) / s.n / trace if trace > 0 else 0.0
        if share > 0.9 and s.n > 1:
            yield Warning(
                "mean-dominates",
                f"{share:.0%} of the {name}'s features is their mean, shared by all examples; read the centred rung",
            )
