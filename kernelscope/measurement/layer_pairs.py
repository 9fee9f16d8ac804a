"""Pair teacher and student layers, row by row the same examples, with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from kernelscope.activations.units import unit_of
from kernelscope.errors import UsageError
from kernelscope.features.pair import FeaturePair
from kernelscope.kernels.halves import second_half
from kernelscope.measurement.given_labels import per_example
from kernelscope.measurement.layer_remarks import on_layers, on_networks
from kernelscope.measurement.position_outputs import Positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernelscope.kernels.rows import Rows
    from kernelscope.measurement.inputs import Inputs
    from kernelscope.measurement.layer_choice import LayerChoice
    from kernelscope.measurement.opening import NetworkInput
    from kernelscope.report.fields import Warning

UNTRAINED = "untrained student"


@dataclass(frozen=True, eq=False)
class Examples:
    """What is known of the rows: class, group (rows of one group were drawn together), identity.

    ``ids``: ``(n, 16)`` bytes, read as they are sliced. ``labels_of_rows``: False where rows are positions, and labels
    those of the inputs that they stand in. ``labels_of_logits``: False where labels are words, whose order need not be
    that of the networks' logits.
    """

    labels: np.ndarray | None
    ids: Rows | None
    classes: tuple[str, ...]
    order_sha256: str | None
    split: str | None
    groups: np.ndarray | None = None
    labels_of_rows: bool = True
    labels_of_logits: bool = True

    @cached_property
    def second_half(self) -> np.ndarray | None:
        """Which rows make the half that heads are measured on, where they come in groups; None for the odd rows."""
        return second_half(self.groups)

    def class_name(self, label: int) -> str:
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)


class LayerNames(TypedDict):
    """The fields of a report that name a pair of layers."""

    teacher: str
    student: str
    teacher_layer: str
    student_layer: str
    pool: str | None
    unit: str


@dataclass(frozen=True, eq=False)
class LayerPair:
    """Two layers' features of the same examples in the same order, and the fields of a report that name them.

    ``as_given``: the pair before anything was done to its rows; None if nothing was. ``warnings``: of the layers, as
    their networks ran. ``positions``: of logits that are pooled, every position's.
    """

    teacher: Rows
    student: Rows
    examples: Examples
    names: LayerNames
    notes: tuple[str, ...]
    kernel: str = "linear"
    as_given: LayerPair | None = None
    warnings: tuple[Warning, ...] = ()
    positions: Positions | None = None


@dataclass(frozen=True, eq=False)
class Match:
    """A teacher and one student over the same examples: their features and which of their layers are compared.

    ``grid``: every teacher layer against every student layer was asked for. ``references``: by name, features of other
    networks paired with the teacher's.
    """

    teacher: NetworkInput
    student: NetworkInput
    features: FeaturePair
    examples: Examples
    layers: tuple[tuple[str, str], ...]
    grid: bool = False
    references: dict[str, FeaturePair] = field(default_factory=dict)

    @property
    def streamed(self) -> bool:
        """Whether a network runs each time that features are read."""
        return not (self.teacher.features.kept and self.student.features.kept)

    def pair(self, teacher_layer: str, student_layer: str) -> LayerPair:
        X_T, X_S = self.features.pair(teacher_layer, student_layer)
        names = LayerNames(
            teacher=self.teacher.name,
            student=self.student.name,
            teacher_layer=teacher_layer,
            student_layer=student_layer,
            pool=self.student.features.pool(student_layer),
            unit=self.unit(student_layer),
        )
        notes, warnings = on_layers(self.teacher, teacher_layer, self.student, student_layer)
        notes = tuple(dict.fromkeys((*on_networks(self.teacher, self.student), *self.features.notes, *notes)))
        positions = Positions.of((self.teacher, teacher_layer), (self.student, student_layer))
        return LayerPair(X_T, X_S, self.examples, names, notes, warnings=warnings, positions=positions)

    def unit(self, student_layer: str) -> str:
        """What a row is: an example, or one of its tokens or patches."""
        of_teacher = self.teacher.features
        pools = [self.student.features.pool(student_layer), *map(of_teacher.pool, of_teacher.layers)]
        return next((unit for unit in map(unit_of, pools) if unit != "example"), "example")

    def reference(self, name: str, pair: LayerPair) -> tuple[str, Rows] | None:
        """The layer of a reference that stands beside this pair, and its rows; None if it has no such layer."""
        features = self.references[name]
        layers = features.student.layers
        for layer in (pair.names["teacher_layer"], pair.names["student_layer"]):
            if layer in layers:
                return layer, features.pair(pair.names["teacher_layer"], layer)[1]
        return (layers[0], features.pair(pair.names["teacher_layer"], layers[0])[1]) if len(layers) == 1 else None

    def pairs(self) -> Iterator[LayerPair]:
        for teacher_layer, student_layer in self.layers:
            yield self.pair(teacher_layer, student_layer)


@dataclass(frozen=True)
class Correspondence:
    """What is known of the rows beyond their features.

    Attributes:
        labels, groups: of each example, in memory or a file; None for what the features know.
        align: ``"ids"`` to pair re-ordered features by example id.
        join: ``"inner"`` to pair them so, without the rows that one side alone has.
    """

    labels: Any = None
    groups: Any = None
    align: str | None = None
    join: str | None = None


def matches(inputs: Inputs, wanted: Correspondence) -> list[Match]:
    """Every student matched to the teacher.

    Raises:
        Mismatch: rows that do not correspond. UsageError: a join of other than one teacher and one student, all rows.
    """
    if wanted.join is not None:
        if len(inputs.students) > 1 or inputs.references or any(inputs.untrained):
            raise UsageError("--join inner is about one teacher and one student; leave out the others, or --join")
        if inputs.teacher.chosen or inputs.students[0].chosen:
            raise UsageError("--join inner is about all rows, and --limit, --n and --sample choose some; leave one out")
    found = []
    for student, fresh in zip(inputs.students, inputs.untrained):
        beside = {**inputs.references, **({} if fresh is None else {UNTRAINED: fresh})}
        found.append(_match(inputs.teacher, student, beside, wanted, inputs.choice))
    return found


def _match(
    teacher: NetworkInput,
    student: NetworkInput,
    references: Mapping[str, NetworkInput],
    wanted: Correspondence,
    choice: LayerChoice,
) -> Match:
    features = FeaturePair(teacher.features, student.features, align=wanted.align, join=wanted.join)
    labels, groups, n = wanted.labels, wanted.groups, teacher.features.n
    chosen = teacher.chosen or student.chosen  # labels stand beside all rows, measured or not
    given, rows = (n, np.arange(n) if features.rows is None else features.rows)
    if chosen is not None:
        given, rows = chosen.of, chosen.rows
    classed = None if labels is None else per_example(labels, given, "labels", features.classes)
    grouped = None if groups is None else per_example(groups, given, "groups")
    features.notes += tuple(note for each in (classed, grouped) if each is not None for note in each.notes)
    examples = Examples(
        features.labels if classed is None else classed.numbers[rows],
        features.ids,
        features.classes if classed is None else classed.words or features.classes,
        features.order_sha256,
        student.split,
        _inputs(features) if grouped is None else grouped.numbers[rows],
        labels_of_rows=labels is not None or not features.of_positions,
        labels_of_logits=classed is None or classed.ordered,
    )
    beside = {
        name: FeaturePair(teacher.features, each.features, align=wanted.align) for name, each in references.items()
    }
    layers = choice.pairs_of(teacher.features.layers, student.features.layers)
    return Match(teacher, student, features, examples, tuple(layers), choice.grid, beside)


def _inputs(features: FeaturePair) -> np.ndarray | None:
    """The input that each row came from, since rows of one input were drawn together; None where every row is its own.

    The first 12 bytes of a position's id are its example's (:meth:`ForwardPass.example_rows`); rows of an array that
    bear the same id are of one input.
    """
    ids, of_positions = features.ids, features.of_positions
    if ids is None or (features.by_ids and not of_positions):  # to pair rows by ids, each must have its own
        return None
    if not of_positions and features.pools != {None}:  # extracted: an example is a row, whose id is its own
        return None
    of_input = ids[:] if not of_positions else ids[:][:, :12]
    _, first, groups = np.unique(of_input, axis=0, return_index=True, return_inverse=True)
    in_order = np.argsort(np.argsort(first))  # numbered as they come, not as their ids sort
    return in_order[groups.reshape(-1)] if len(first) < len(groups) else None
