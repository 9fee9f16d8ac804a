"""Warnings a reader needs before believing a number; each has a code."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from kernelscope.kernels.exact import ScaledSums, TransferLoss
from kernelscope.kernels.gram import GramSums, gram_sums
from kernelscope.kernels.head import Head
from kernelscope.kernels.landmarks import take_rows
from kernelscope.kernels.nystrom_sums import NystromSums
from kernelscope.kernels.sampling import RowNorms
from kernelscope.report.fields import Warning

FEW_ROWS = 0.01
MUCH_OF_THE_KERNEL = 0.5
ENOUGH_FOR_A_HEAD = 10  #: examples for each of the student's features


def cautions(
    loss: TransferLoss,
    scaled: ScaledSums,
    rows: RowNorms | None,
    sums: NystromSums,
    labels: np.ndarray | None,
    head: Head,
) -> Iterator[Warning]:
    """Every warning that applies to this pair, the gravest first."""
    if not loss.resolved:
        low, high = loss.interval
        yield Warning("unresolved", f"the loss is only known to lie between {low:.2g} and {high:.2g}; see the interval")
    if loss.storage_floor > max(loss.value, 1e-300) and loss.value > 0:
        yield Warning(
            "below-storage-floor",
            f"features are stored so coarsely that a loss up to {loss.storage_floor:.2g} may be rounding; use float32",
        )
    if rows is not None:
        yield from _outliers(rows, scaled)
    s = scaled.sums
    if s.n < max(s.d_student, s.d_teacher):
        yield Warning(
            "few-examples",
            f"{s.n} examples for {max(s.d_student, s.d_teacher)} features: even unrelated networks look alike",
        )
    yield from head_cautions(s, head)
    if labels is not None and len(np.unique(labels)) < 3:
        yield Warning(
            "few-classes", f"{len(np.unique(labels))} classes: class centres see little; try --landmarks kmeans:50"
        )
    for name, network, width in (("teacher", sums.teacher, s.d_teacher), ("student", sums.student, s.d_student)):
        # the default without labels is many k-means cells: more than features, so dependent by their number alone
        if network.rank < (min(sums.m, width) if sums.strategy.startswith("kmeans") else sums.m):
            yield Warning(
                "rank-deficient-landmarks",
                f"the {name}'s {sums.m} landmarks span {network.rank} dimensions, so W has eigenvalues 0 and the "
                "paper's assumption fails",
            )
    yield from _mean_direction(scaled)


def head_cautions(sums: GramSums, head: Head) -> Iterator[Warning]:
    """What a linear head in sample may not be trusted with."""
    if sums.n < ENOUGH_FOR_A_HEAD * sums.d_student:
        yield Warning(
            "few-examples-for-head",
            f"{sums.n} examples for a linear head on {sums.d_student} features: in sample it fits what is not there; "
            "read the held-out head",
        )
    if head.rank < head.columns:
        yield Warning(
            "rank-cut",
            f"{head.columns - head.rank} of {head.columns} directions of the student lie below {head.tolerance:.1g} of "
            "the largest, where rounding rules, and were left out of the linear head",
        )


def _outliers(rows: RowNorms, scaled: ScaledSums) -> Iterator[Warning]:
    """Few rows carrying most of ‖K_T‖²: with them and without them are two different answers."""
    order = np.argsort(-rows.teacher, kind="stable")
    few = max(1, math.floor(FEW_ROWS * rows.n))
    carried = np.cumsum(rows.teacher[order[:few]])
    half = MUCH_OF_THE_KERNEL * rows.teacher.sum()
    if rows.n < 100 or carried[-1] <= half:
        return
    count = int(np.searchsorted(carried, half)) + 1
    heavy = np.sort(order[:few])
    among = gram_sums(
        teacher=take_rows(scaled.teacher, heavy), student=take_rows(scaled.student, heavy), may_vanish=True
    )
    # leaving rows out takes off their rows and columns, and puts back the block where these cross
    difference = rows.difference.sum() - 2 * rows.difference[heavy].sum() + max(0.0, among.difference_squared)
    teacher = rows.teacher.sum() - 2 * rows.teacher[heavy].sum() + among.norm_teacher**2
    without = math.sqrt(max(0.0, difference) / teacher) if teacher > 0 else math.inf
    yield Warning(
        "outliers",
        f"{count} of {rows.n} examples carry half of the teacher's kernel: the loss is {rows.loss():.3g} with them and "
        f"{without:.3g} without the heaviest {few}",
    )


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
