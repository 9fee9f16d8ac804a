"""Which examples and classes carry the loss, and how far it would vary over other examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.similarity.class_blocks import MOST_CLASSES, class_blocks
from kernelscope.kernels.statistics.sampling import (
    LeaveOut,
    RowNorms,
    row_norms,
    sampling_interval,
    single_examples,
    whole_groups,
)
from kernelscope.report import fields
from kernelscope.report.notes import NOT_SAMPLED, ROWS_TELL

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.statistics.jackknife import Estimate
    from kernelscope.kernels.statistics.row_forms import RowForms
    from kernelscope.measurement.layer_pairs import Examples
    from kernelscope.report.fields import Interval

WORST_EXAMPLES = 20
TOO_WIDE = "few examples carry so much that it would have no upper end"


@dataclass(frozen=True, eq=False)
class Attribution:
    """Row norms of one pair and the parts that resampling leaves out; both None where the loss is too small."""

    rows: RowNorms | None
    parts: LeaveOut | None

    @cached_property
    def estimate(self) -> Estimate | None:
        """The loss over other examples, where it can be estimated."""
        return None if self.parts is None else sampling_interval(self.parts)

    def sampled(self) -> dict[str, Any]:
        """``sampling_interval`` and its centre."""
        found = self.estimate
        return {
            "sampling_interval": None if found is None else found.interval,
            "population_loss": None if found is None else found.value,
        }

    def notes(self, examples: Examples, loss: Interval) -> tuple[str, ...]:
        """What was resampled, or why nothing was; and where the ``loss`` of these examples lies outside of it."""
        if self.parts is None:
            return ("the loss is too small to attribute to examples or classes, or to resample",)
        if self.estimate is None:
            return (f"{NOT_SAMPLED}{self.parts.why_no_interval() or TOO_WIDE}",)
        low, high = self.estimate.interval
        note = (f"sampling interval by jackknife over {_resampled(self.parts, examples)}",)
        if loss[0] > high or loss[1] < low:
            return (*note, _outside(self.parts, self.estimate.value, loss[0] > high))
        return note


def _resampled(parts: LeaveOut, examples: Examples) -> str:
    if examples.groups is not None:
        return f"{len(parts.sizes)} whole groups of examples"
    if examples.ids is not None:
        return "single examples"
    return "single rows; where several come of one input (tokens, patches, frames), give groups"


def _outside(parts: LeaveOut, expected: float, above: bool) -> str:
    return (
        f"the loss lies {'above' if above else 'below'} its sampling interval: it counts each of these "
        f"{len(parts.sizes)} {parts.unit}s against itself too, which a large sample hardly does; pairs of different "
        f"{parts.unit}s give {expected:.3g} (population_loss)"
    )


def attribute(scaled: ScaledSums, forms: RowForms, examples: Examples, loss: float) -> Attribution:
    """What rows carry, unless the loss is too small to tell."""
    if loss <= ROWS_TELL:
        return Attribution(None, None)
    rows = row_norms(forms)
    if examples.groups is None:
        return Attribution(rows, single_examples(rows))
    return Attribution(rows, whole_groups(rows, scaled, examples.groups))


def attribution_fields(scaled: ScaledSums, examples: Examples, found: Attribution, memory_bytes: int) -> dict[str, Any]:
    """The fields of a :class:`PairReport` that need the loss row by row; ``memory_bytes``: for the classes' Grams."""
    return {
        **found.sampled(),
        "classes": _classes(scaled, examples, found.rows, memory_bytes),
        "worst": worst(found.rows, examples),
    }


def _classes(scaled: ScaledSums, examples: Examples, rows: RowNorms | None, memory_bytes: int) -> fields.Classes | None:
    if examples.labels is None or rows is None:
        return None
    present, classes = np.unique(examples.labels, return_inverse=True)
    if len(present) > MOST_CLASSES:
        return None
    shares = class_blocks(
        teacher=scaled.teacher,
        student=scaled.student,
        classes=classes,
        sums=scaled.sums,
        memory_bytes=memory_bytes,
    )
    return fields.Classes(
        names=tuple(examples.class_name(int(c)) for c in present),
        loss=tuple(tuple(row) for row in shares.tolist()),
        sizes=tuple(np.bincount(classes).tolist()),
    )


def worst(rows: RowNorms | None, examples: Examples) -> tuple[fields.WorstExample, ...] | None:
    """The examples whose rows carry most of ``‖K_S − K_T‖²``, by their share; None where rows drown in rounding."""
    if rows is None:
        return None
    shares = rows.shares
    return tuple(
        fields.WorstExample(**identity_of(examples, i), share=float(shares[i]))
        for i in np.argsort(-shares, kind="stable")[:WORST_EXAMPLES].tolist()
    )


def identity_of(examples: Examples, row: int) -> dict[str, Any]:
    """The fields that name an example."""
    return {
        "id": "" if examples.ids is None else examples.ids[row : row + 1].tobytes().hex(),
        "index": row,
        "label": None if examples.labels is None else examples.class_name(int(examples.labels[row])),
    }
