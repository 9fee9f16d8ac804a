"""What two networks answer, as a report has it: from logits as they were given, whatever the kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope.activations.layer_names import parts
from kernelscope.kernels.similarity import outputs
from kernelscope.kernels.similarity.class_blocks import MOST_CLASSES
from kernelscope.report import similarity_fields as fields

if TYPE_CHECKING:
    import numpy as np

    from kernelscope.measurement.layer_pairs import Examples, LayerPair

NO_INTERVAL = "examples come in groups, so the difference in accuracy carries no interval"
NOT_OF_ROWS = "labels are those of whole inputs, not of every position: answers are compared, not marked"
NOT_OF_LOGITS = (
    "labels are words, which name no column of the logits: answers are compared, not marked; give their numbers"
)
NOT_CLASSES = "labels are no numbers of the logits' classes: answers are compared, not marked"


def output_fields(pair: LayerPair) -> tuple[fields.Outputs | None, tuple[str, ...]]:
    """Numbers of the logits, and notes on what is left out; None unless both layers are logits of equal classes.

    Of outputs with positions they are those of every position, however the features are pooled.
    """
    given = pair.as_given or pair
    if not all(_are_logits(pair.names[side]) for side in ("teacher_layer", "student_layer")):
        return None, ()
    if given.positions is not None:
        rows, note = given.positions.rows()
        if rows is None:
            return None, (note,)
        of_inputs = () if given.examples.labels is None else (NOT_OF_ROWS,)
        answered = outputs.outputs(teacher=rows[0], student=rows[1])
        return fields.Outputs(answered.agreement, answered.kl, answered.changed, answered.top_k), (note, *of_inputs)
    running, notes = running_answers(given)
    if running is None:
        return None, notes
    found = outputs.outputs(teacher=given.teacher, student=given.student, labels=running.labels)
    answers, on_flips = answer_fields(found, given.examples)
    return answers, (*notes, *on_flips)


def running_answers(pair: LayerPair) -> tuple[outputs.RunningOutputs | None, tuple[str, ...]]:
    """What rows of logits fill as they pass, and notes; None unless both layers are logits of equal classes by row."""
    if pair.positions is not None or not all(_are_logits(pair.names[s]) for s in ("teacher_layer", "student_layer")):
        return None, ()
    if pair.teacher.shape != pair.student.shape:
        classes = pair.teacher.shape[1], pair.student.shape[1]
        return None, (f"logits are of {classes[0]} and {classes[1]} classes, so answers are not compared",)
    labels, notes = _marks(pair)
    return outputs.RunningOutputs(pair.teacher.shape, labels), notes


def answer_fields(found: outputs.Outputs, examples: Examples) -> tuple[fields.Outputs, tuple[str, ...]]:
    """As a report has them, and notes."""
    grouped = found.flips is not None and examples.groups is not None
    answers = fields.Outputs(
        agreement=found.agreement,
        kl=found.kl,
        changed=found.changed,
        top_k=found.top_k,
        flips=None if found.flips is None else _flips(found.flips, examples, grouped),
        calibration=found.calibration,
    )
    return answers, (NO_INTERVAL,) if grouped else ()


def _are_logits(layer: str) -> bool:
    """Whether a layer is what a network answers: ``logits``, or one of several outputs."""
    name = parts(layer)
    return name.path == "logits" and not name.side


def _marks(pair: LayerPair) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The right class of each row, or why there is none."""
    labels = pair.examples.labels
    if labels is None:
        return None, ()
    if not pair.examples.labels_of_rows:
        return None, (NOT_OF_ROWS,)
    if not pair.examples.labels_of_logits:
        return None, (NOT_OF_LOGITS,)
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
