"""Which examples and classes carry the loss, and how far it would vary over other examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelscope.kernels.class_blocks import MOST_CLASSES, class_blocks
from kernelscope.kernels.exact import ScaledSums
from kernelscope.kernels.sampling import (
    LeaveOut,
    RowNorms,
    row_norms,
    sampling_interval,
    single_examples,
    whole_groups,
)
from kernelscope.report import fields
from kernelscope.report.matching import Examples

WORST_EXAMPLES = 20
ROWS_TELL = 1e-5  #: below this loss single rows of K_S − K_T drown in rounding


@dataclass(frozen=True, eq=False)
class Attribution:
    """Row norms of one pair and the parts that resampling leaves out; both None where the loss is too small."""

    rows: RowNorms | None
    parts: LeaveOut | None

    def note(self, examples: Examples) -> str:
        if self.parts is None:
            return "the loss is too small to attribute to examples or classes, or to resample"
        whole = f"{len(self.parts.sizes)} whole groups of examples"
        return f"sampling interval by jackknife over {'single examples' if examples.groups is None else whole}"


def attribute(scaled: ScaledSums, examples: Examples, loss: float) -> Attribution:
    """One more pass over the rows, unless the loss is too small for it."""
    if loss <= ROWS_TELL:
        return Attribution(None, None)
    rows = row_norms(scaled)
    if examples.groups is None:
        return Attribution(rows, single_examples(rows))
    return Attribution(rows, whole_groups(rows, scaled, examples.groups))


def attribution_fields(scaled: ScaledSums, examples: Examples, found: Attribution) -> dict[str, Any]:
    """The fields of a :class:`PairReport` that need the loss row by row."""
    return {
        "sampling_interval": interval(found.parts),
        "classes": _classes(scaled, examples, found.rows),
        "worst": worst(found.rows, examples),
    }


def interval(parts: LeaveOut | None) -> tuple[float, float] | None:
    estimate = None if parts is None else sampling_interval(parts)
    return None if estimate is None else estimate.interval


def _classes(scaled: ScaledSums, examples: Examples, rows: RowNorms | None) -> fields.Classes | None:
    if examples.labels is None or rows is None:
        return None
    present, classes = np.unique(examples.labels, return_inverse=True)
    if len(present) > MOST_CLASSES:
        return None
    shares = class_blocks(teacher=scaled.teacher, student=scaled.student, classes=classes, sums=scaled.sums)
    return fields.Classes(
        names=tuple(examples.class_name(int(c)) for c in present),
        loss=tuple(tuple(row) for row in shares.tolist()),
    )


def worst(rows: RowNorms | None, examples: Examples) -> tuple[fields.WorstExample, ...] | None:
    if rows is None:
        return None
    shares = rows.shares
    return tuple(
        fields.WorstExample(
            id="" if examples.ids is None else examples.ids[i].tobytes().hex(),
            index=int(i),
            label=None if examples.labels is None else examples.class_name(int(examples.labels[i])),
            share=float(shares[i]),
        )
        for i in np.argsort(-shares, kind="stable")[:WORST_EXAMPLES]
    )
