"""What the caller gave for a teacher or a student, made into features of layers with their examples' identity."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernelscope.errors import UsageError
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.request import Request
from kernelscope.files import is_folder, require_readable
from kernelscope.kernels.rows import as_rows
from kernelscope.measurement import evaluation_data
from kernelscope.report.fields import NetworkReport


@dataclass(frozen=True)
class Side:
    """One network as measured: its features by layer, and what the report says of it."""

    name: str
    store: Any
    network: NetworkReport
    split: str | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Network:
    """A network to be listened to, before it is known on which examples; ``trained`` as its file says."""

    name: str
    loaded: Any
    trained: bool = True


@dataclass(frozen=True)
class Sides:
    """The teacher, its students, and what they are read by: networks common to all students, and one each."""

    teacher: Side
    students: list[Side]
    references: dict[str, Side]
    untrained: list[Side | None]


def open_sides(
    teacher: Any,
    students: Sequence[Any],
    options: Request,
    *,
    teacher_arch: tuple[str | None, dict[str, Any] | None],
    student_archs: Sequence[tuple[str | None, dict[str, Any] | None]],
    references: Mapping[str, Any] | None = None,
    untrained: int | None = None,
    pairs: str | None = None,
) -> Sides:
    """Everything given, as :class:`Side`; networks run over the same examples.

    Args:
        pairs: of layers, which say what to listen to where ``options.layers`` do not.
        references: by name, networks or features to read the students' losses by.
        untrained: the seed of an untrained copy of every student that is a network; None for none.

    Raises:
        UnreadableInput: a file that is none of the kinds, or damaged.
        Mismatch: checkpoints that name different data where none was given, or a network that scores other than its
            checkpoint states.
    """
    opened = [_open(teacher, "teacher", *teacher_arch)]
    opened += [
        _open(s, "student" if len(students) == 1 else f"student {i + 1}", *arch)
        for i, (s, arch) in enumerate(zip(students, student_archs))
    ]
    named = {name: _open(given, name, *teacher_arch) for name, given in (references or {}).items()}
    fresh = [None if untrained is None else _fresh(side, untrained) for side in opened[1:]]
    networks = [side for side in (*opened, *named.values()) if isinstance(side, _Network)]
    loaded = {network.name: network.loaded for network in networks}
    examples = evaluation_data.examples_for(loaded, options) if networks else None
    for name, network in loaded.items():
        assert examples is not None
        evaluation_data.require_inputs(name, network, examples, options.preprocess)

    if examples is not None and not options.features:
        from kernelscope.features.streaming import read_once

        examples = read_once(examples)
    of_teacher, of_student = _layers_of_each(options, pairs)

    def heard(side: Side | _Network, layers: str | Sequence[str] | None) -> Side:
        if not isinstance(side, _Network):
            return side
        network = replace(side, loaded=evaluation_data.with_operations(side.loaded, options.preprocess))
        return _hear(network, examples, replace(options, layers=layers))

    sides = _distinct_names([heard(opened[0], of_teacher), *(heard(side, of_student) for side in opened[1:])])
    return Sides(
        sides[0],
        sides[1:],
        {name: heard(side, of_teacher) for name, side in named.items()},
        [None if side is None else heard(side, of_student) for side in fresh],
    )


def _layers_of_each(options: Request, pairs: str | None) -> tuple[Any, Any]:
    """Layers of the teacher and of the student to listen to."""
    if options.layers is not None or pairs in (None, "all"):
        return options.layers, options.layers
    named = [text.partition("=") for text in str(pairs).split(",")]
    teacher = [t.strip() for t, _, _ in named]
    student = [(s if equals else t).strip() for t, equals, s in named]
    return list(dict.fromkeys(teacher)), list(dict.fromkeys(student))


def _fresh(side: Side | _Network, seed: int) -> _Network | None:
    """The same network, untrained; None for features, and for networks that cannot be drawn anew."""
    if not isinstance(side, _Network):
        return None
    from kernelscope.checkpoints.untrained import untrained

    loaded = untrained(side.loaded, seed=seed)
    return None if loaded is None else _Network(loaded.name, loaded, trained=False)


def _distinct_names(sides: list[Side]) -> list[Side]:
    """Students that share a name are told apart by a number."""
    names = [side.name for side in sides]
    return [
        _renamed(side, f"{side.name} ({names[:i].count(side.name) + 1})") if i and names[:i].count(side.name) else side
        for i, side in enumerate(sides)
    ]


def _renamed(side: Side, name: str) -> Side:
    return replace(side, name=name, network=replace(side.network, name=name))


def _open(given: Any, role: str, arch: str | None, arch_kwargs: dict[str, Any] | None) -> Side | _Network:
    """Tell apart by content: a path to a feature file or a checkpoint, a module, a store, an array, named arrays."""
    if isinstance(given, Side):
        return given
    if isinstance(given, (str, os.PathLike)):
        return _open_path(Path(given), role, arch, arch_kwargs)
    if _is_module(given):
        from kernelscope.checkpoints.loaded import loaded_module

        return _Network(role, loaded_module(given, name=role))
    if hasattr(given, "features") and hasattr(given, "layers"):
        return _side_of_store(str(getattr(given, "path", role)), given)
    if isinstance(given, dict):
        arrays = {str(layer): as_rows(X, f"{role} layer {layer!r}") for layer, X in given.items()}
    else:
        arrays = {"features": as_rows(given, f"{role} features")}
    if not arrays:
        raise UsageError(f"{role} is an empty dict; give at least one layer's features")
    return Side(role, ArrayFeatures(role, arrays), NetworkReport(role, None, None, None))


def _open_path(path: Path, role: str, arch: str | None, arch_kwargs: dict[str, Any] | None) -> Side | _Network:
    from kernelscope.features.store import is_feature_file, open_features

    if not is_folder(path) and is_feature_file(require_readable(path)):
        if arch is not None:
            raise UsageError(f"{path} is a feature file, which needs no architecture; drop the option")
        return _side_of_store(str(path), open_features(path))
    from kernelscope.checkpoints.loading import load

    return _Network(str(path), load(path, arch=arch, arch_kwargs=arch_kwargs, role=role.partition(" ")[0]))


def _side_of_store(name: str, store: Any) -> Side:
    network = NetworkReport(name, store.checkpoint_sha256, store.arch, store.top1)
    return Side(name, store, network, notes=tuple(getattr(store, "notes", ())))


def _hear(network: _Network, examples: Any, options: Request) -> Side:
    from kernelscope.activations.accuracy import disagreement, require_stated_accuracy
    from kernelscope.features.cache import cached_features
    from kernelscope.features.streaming import StreamedFeatures

    report = options.progress
    name = network.name
    how: dict[str, Any] = {
        "layers": options.layers,
        "pool": options.pool,
        "batch_size": options.batch_size,
        "device": options.device,
        "dtype": options.dtype,
        "progress": None if report is None else lambda done, total: report(Path(name).name, done, total),
    }
    store: Any
    if options.features:
        store = cached_features(network.loaded, examples, no_cache=not options.cache, **how)
        if network.trained and options.accuracy_check:
            require_stated_accuracy(network.loaded, examples, store.top1)
    else:
        check = network.trained and options.accuracy_check
        store = StreamedFeatures(network.loaded, examples, accuracy_check=check, **how)
    other = disagreement(network.loaded, examples, store.top1) if network.trained else None
    checkpoint = network.loaded.checkpoint
    training = (checkpoint.training if checkpoint else None) or {}
    return Side(
        name,
        store,
        NetworkReport(
            name,
            network.loaded.sha256,
            network.loaded.arch,
            store.top1,
            history=training.get("history"),
            trajectory=training.get("trajectory"),
        ),
        split=f"{examples.name}/{examples.split}",
        notes=(*network.loaded.notes, *([other] if other else []), *examples.notes, *getattr(store, "notes", ())),
    )


def _is_module(given: Any) -> bool:
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.nn.Module)
