"""The inputs of a measurement: every network and feature store given, over the same examples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError, encodable
from kernelscope.measurement.drawing import drawn_of_features
from kernelscope.measurement.evaluation_data import examples_for, require_inputs, with_operations
from kernelscope.measurement.given_ids import with_ids
from kernelscope.measurement.layer_choice import LayerChoice, Words
from kernelscope.measurement.opening import Arch, Network, NetworkInput, Ran, is_stream, opened, untrained_copy
from kernelscope.measurement.students import Student, students_of
from kernelscope.report.fields import NetworkReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernelscope.datasets.examples import Examples
    from kernelscope.datasets.sampling import Drawn
    from kernelscope.features.protocol import Features
    from kernelscope.features.request import Request
    from kernelscope.kernels.rows import Rows


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller gave: a teacher, students, and what their losses are read by.

    Attributes:
        teacher_arch, student_archs: architectures that files do not state, one for every student.
        references: by name, networks or features to read the students' losses by.
        teacher_ids, student_ids: of rows that carry none, the latter of one student.
        untrained: the seed of an untrained copy of every student that is a network; None for none.
        choice: which layers are compared.
    """

    teacher: Any
    students: Sequence[Student]
    teacher_arch: Arch = (None, None)
    student_archs: Sequence[Arch] = ()
    references: Mapping[str, Any] = field(default_factory=dict)
    untrained: int | None = None
    teacher_ids: Any = None
    student_ids: Any = None
    choice: LayerChoice = field(default_factory=LayerChoice)

    @classmethod
    def of(
        cls,
        teacher: object,
        student: object,
        *,
        teacher_arch: Arch,
        student_arch: tuple[Any, Any],
        references: Mapping[str, Any] | None = None,
        untrained: int | None = None,
        ids: tuple[Any, Any] = (None, None),
        choice: LayerChoice | None = None,
        names: str | Sequence[str] | None = None,
    ) -> Given:
        """One student or several, see :func:`students_of`; architectures and arguments once for all, or once each."""
        students = students_of(student, names)
        archs, archs_kwargs = (one_each(value, len(students)) for value in student_arch)
        return cls(
            teacher=teacher,
            students=students,
            teacher_arch=teacher_arch,
            student_archs=list(zip(archs, archs_kwargs)),
            references=references or {},
            untrained=untrained,
            teacher_ids=ids[0],
            student_ids=ids[1],
            choice=choice or LayerChoice(),
        )


@dataclass(frozen=True)
class Inputs:
    """The teacher, its students, and what they are read by: baselines common to all students, and one each.

    ``choice``: which of their layers are compared.
    """

    teacher: NetworkInput
    students: list[NetworkInput]
    references: dict[str, NetworkInput]
    untrained: list[NetworkInput | None]
    choice: LayerChoice


def networks_among(given: Given) -> list[str]:
    """Names of what was given that must run before it can be measured."""
    sides = [
        (given.teacher, "teacher", given.teacher_arch),
        *((each.given, "student", arch) for each, arch in zip(given.students, given.student_archs)),
        *((each, name, given.teacher_arch) for name, each in given.references.items()),
    ]
    found = [opened(*side) for side in sides if not is_stream(side[0])]  # which may be read once only
    return [each.name for each in found if isinstance(each, Network)]


def open_inputs(given: Given, request: Request) -> Inputs:
    """Everything given, as features; networks run over the same examples.

    Raises:
        UnreadableInput: a file that is none of the kinds, or damaged.
        Mismatch: checkpoints that name different data where none was given, or a network that scores other than its
            checkpoint states.
    """
    teacher = opened(given.teacher, "teacher", given.teacher_arch)
    roles = ["student"] if len(given.students) == 1 else [f"student {i + 1}" for i in range(len(given.students))]
    students = [
        opened(each.given, role, arch).renamed(each.name)
        for each, role, arch in zip(given.students, roles, given.student_archs, strict=True)
    ]
    if given.student_ids is not None and len(students) > 1:
        raise UsageError("--student-ids is about one student; measure them one by one, or store ids in their files")
    teacher = with_ids(teacher, given.teacher_ids, "teacher")
    students = [with_ids(each, given.student_ids, "student") for each in students]
    references = {name: opened(each, name, given.teacher_arch) for name, each in given.references.items()}
    fresh = [None if given.untrained is None else untrained_copy(each, given.untrained) for each in students]
    everything = [teacher, *students, *references.values()]
    if not any(isinstance(each, Network) for each in everything):
        request.require_for_features()
        if given.untrained is not None:
            raise UsageError("--untrained is about networks, and only features were given; leave it out")
    examples = _examples(everything, request)
    sample = _sample(everything, examples, request)
    choice, compared = given.choice, [teacher, *students]

    def features(network: NetworkInput | Network, words: Words) -> NetworkInput:
        if isinstance(network, NetworkInput):
            first = network.first(n=request.n, limit=request.limit)
            return first if sample is None else first.sampled(*sample)
        assert examples is not None  # there is a network, so examples were looked for
        others = [each for each in compared if each is not network]
        own = choice.words_for(words, network.name, network.has_layer, lambda w: any(o.has_layer(w) for o in others))
        return _run(network, examples, request.of(own))

    of_teacher, of_student = choice.of_teacher, choice.of_student
    first, *others = _distinct_names([features(teacher, of_teacher), *(features(s, of_student) for s in students)])
    return Inputs(
        first,
        others,
        {name: features(each, of_teacher) for name, each in references.items()},
        [None if each is None else features(each, of_student) for each in fresh],
        choice,
    )


def _examples(given: Sequence[NetworkInput | Network], request: Request) -> Examples | None:
    """The examples that all networks run over; None where only features were given."""
    networks = {each.name: each.loaded for each in given if isinstance(each, Network)}
    if not networks:
        return None
    examples = examples_for(networks, request)
    for name, loaded in networks.items():
        require_inputs(name, loaded, examples, request.preprocess)
    if request.features:
        return examples
    from kernelscope.features.streaming import read_once

    return read_once(examples)


def _sample(
    given: Sequence[NetworkInput | Network], examples: Examples | None, request: Request
) -> tuple[Drawn, Rows | None] | None:
    """Which rows of features were drawn, and the ids of their examples; None for all."""
    if request.sample is None:
        return None
    if examples is not None:
        return None if examples.drawn is None else (examples.drawn, examples.ids)
    return drawn_of_features([each.features for each in given if isinstance(each, NetworkInput)], request)


def _run(network: Network, examples: Examples, request: Request) -> NetworkInput:
    """The network's features over the examples, once its accuracy was compared with the one its file states."""
    from kernelscope.activations.accuracy import disagreement, require_stated_accuracy
    from kernelscope.activations.units import unit_of

    loaded = with_operations(network.loaded, request.preprocess)
    request = replace(request, accuracy_check=request.accuracy_check and network.trained)
    features = _features(loaded, examples, request)
    if request.accuracy_check and request.features:
        require_stated_accuracy(loaded, examples, features.top1)
    other = disagreement(loaded, examples, features.top1) if network.trained else None
    training = (loaded.checkpoint.training if loaded.checkpoint else None) or {}
    described = NetworkReport(
        network.name,
        loaded.sha256,
        loaded.arch,
        features.top1,
        history=training.get("history"),
        trajectory=training.get("trajectory"),
    )
    notes = (*loaded.notes, *([other] if other else []), *examples.notes, *features.notes)
    return NetworkInput(
        network.name,
        features,
        described,
        split=encodable(f"{examples.name}/{examples.split}"),
        notes=notes,
        chosen=examples.drawn if unit_of(request.pool) == "example" else None,
        ran=Ran(loaded, examples, request),
    )


def _features(loaded: Any, examples: Examples, request: Request) -> Features:
    """From a file, the cache's or a temporary one; or, where none is wanted, computed whenever they are read."""
    if request.features:
        from kernelscope.features.cache import cached_features

        return cached_features(loaded, examples, request)
    from kernelscope.features.streaming import StreamedFeatures

    return StreamedFeatures(loaded, examples, request)


def _distinct_names(networks: list[NetworkInput]) -> list[NetworkInput]:
    """Students that share a name are told apart by a number."""
    names = [each.name for each in networks]
    before = [names[:i].count(each.name) for i, each in enumerate(networks)]
    return [each.renamed(f"{each.name} ({k + 1})") if k else each for each, k in zip(networks, before)]


def one_each(value: object, count: int) -> list[Any]:
    """One value for all students, or a list with one for each.

    Raises:
        UsageError: a list of another length.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != count:
            raise UsageError(
                f"{len(value)} architectures or arguments for {count} students; give one for all, or one each"
            )
        return list(value)
    return [value] * count
