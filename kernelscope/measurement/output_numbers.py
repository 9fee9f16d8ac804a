"""What two networks answer, as a report has it: from logits as they were given, whatever the kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope.kernels.similarity import outputs
from kernelscope.kernels.similarity.class_blocks import MOST_CLASSES
from kernelscope.report import similarity_fields as fields

if TYPE_CHECKING:
    import numpy as np

    from kernelscope.measurement.layer_pairs import Examples, LayerPair

NO_INTERVAL = "examples come in groups, so the difference in accuracy carries no interval"
NOT_OF_ROWS = "labels are those of whole inputs, not of every position: answers are compared, not marked"
NOT_CLASSES = "labels are no numbers of the logits' classes: answers are compared, not marked"


def output_fields(pair: LayerPair) -> tuple[fields.Outputs | None, tuple[str, ...]]:
    """Numbers of the logits, and notes on what is left out; None unless both layers are logits of equal classes."""
    given = pair.as_given or pair
    layers = {pair.names["teacher_layer"], pair.names["student_layer"]}
    if layers != {"logits"} or given.teacher.shape != given.student.shape:
        return None, ()
    labels, notes = _marks(given)
    found = outputs.outputs(teacher=given.teacher, student=given.student, labels=labels)
    grouped = found.flips is not None and given.examples.groups is not None
    answers = fields.Outputs(
        agreement=found.agreement,
        kl=found.kl,
        changed=found.changed,
        top_k=found.top_k,
        flips=None if found.flips is None else _flips(found.flips, given.examples, grouped),
        calibration=found.calibration,
    )
    return answers, (*notes, *([NO_INTERVAL] if grouped else []))


def _marks(pair: LayerPair) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The right class of each row, or why there is none."""
    labels = pair.examples.labels
    if labels is None:
        return None, ()
    if not pair.examples.labels_of_rows:
        return None, (NOT_OF_ROWS,)
    if not outputs.are_classes(labels, *pair.teacher.shape):
        return None, (NOT_CLASSES,)
    return labels, ()


def _flips(found: outputs.Flips, examples: Examples, grouped: bool) -> outputs.Flips:
    """With the classes' own names.

    ``grouped``: examples were drawn together, so that an interval over single ones would be too narrow.
    """
    classes = tuple(
        replace(each, name=examples.class_name(int(each.name)), interval=None if grouped else each.interval)
        for each in found.classes or ()
    )
    return replace(
        found,
        accuracy_interval=None if grouped else found.accuracy_interval,
        classes=None if len(classes) > MOST_CLASSES else classes,
    )
