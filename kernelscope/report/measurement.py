"""``measure``: two or more networks in, a TransferReport out."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernelscope.errors import Mismatch, UnreadableInput, UsageError
from kernelscope.kernels.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.exact import RTOL
from kernelscope.report.fields import PairReport
from kernelscope.report.numbers import Examples, PairSettings, measure_pair
from kernelscope.report.sides import ExtractionOptions, Progress, Side, open_sides
from kernelscope.report.transfer import TransferReport


def measure(
    *,
    teacher: Any,
    student: Any,
    labels: Any = None,
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    align: str | None = None,
    layers: str | Sequence[str] | None = None,
    pairs: str | None = None,
    pool: str = "auto",
    landmarks: Any = None,
    route: str = "auto",
    rtol: float = RTOL,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    cache: bool = True,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | Sequence[str | None] | None = None,
    student_arch_kwargs: Any = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> TransferReport:
    """How much of the teacher's kernel the student inherited, layer by layer, and how far the numbers can be trusted.

    Args:
        teacher: a checkpoint or feature file (path), an array, tensor or HDF5 dataset of shape ``(n, d_T)``, a dict of
            them by layer name, a FeatureStore, or a module (with ``data``).
        student: the same for the student, or a list of students.
        labels: class of each example, shape ``(n,)``, or a path to an ``.npy`` file; known already for checkpoints.
        data: examples to run networks on: a data set's name or Examples; by default what the checkpoints say.
        split, limit: which part of the data, and how many of its first examples.
        align: ``"ids"`` to pair re-ordered feature files by example id.
        layers: names or globs, comma-separated or a sequence; by default ``embedding,logits``.
        pairs: ``"T=S,..."`` pairs layers of different names; ``"all"`` measures every teacher layer against every
            student layer.
        pool: how maps become rows: auto, avg, max, flatten.
        landmarks: a specification such as ``class-means:2`` or ``kmeans:50``, or a Landmarks value; by default class
            means where labels are known, else k-means cells.
        route, rtol, memory_bytes, device: see :func:`kernelscope.kernels.exact.transfer_loss`.
        dtype: storage type of extracted features; arithmetic is in float64.
        seed: of landmarks that are drawn.
        cache: keep extracted features for the next call.
        progress: called with a network's name, examples done and their number while features are extracted.
        announce: called with one line per pair before it is computed: route, arithmetic, bytes read, memory.

    Raises:
        UnreadableInput, Mismatch, NumericalError, UsageError: see :mod:`kernelscope.errors`.
    """
    students = list(student) if isinstance(student, (list, tuple)) else [student]
    if not students:
        raise UsageError("no student given; pass at least one")
    archs = _one_each(student_arch, len(students))
    archs_kwargs = _one_each(student_arch_kwargs, len(students))
    options = ExtractionOptions(data, split, limit, layers, pool, batch_size, device, dtype, cache, progress)
    teacher_side, student_sides = open_sides(
        teacher,
        students,
        options,
        teacher_arch=(teacher_arch, teacher_arch_kwargs),
        student_archs=list(zip(archs, archs_kwargs)),
    )
    settings = PairSettings(landmarks, route, rtol, memory_bytes, device, seed, announce)
    measured: list[PairReport] = []
    for side in student_sides:
        measured += _measure_side(teacher_side, side, labels, align, layers, pairs, settings)
    meta = {
        "kernelscope": _version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "device": device,
        "rtol": rtol,
        "route_asked": route,
        "seed": seed,
    }
    networks = tuple(side.network for side in (teacher_side, *student_sides))
    return TransferReport(meta=meta, networks=networks, pairs=tuple(measured))


def _measure_side(
    teacher: Side,
    student: Side,
    labels: Any,
    align: str | None,
    layers: str | Sequence[str] | None,
    pairs: str | None,
    settings: PairSettings,
) -> list[PairReport]:
    from kernelscope.features.pair import FeaturePair

    matched = FeaturePair(teacher.store, student.store, align=align)
    classes = _classes(labels, matched)
    found = []
    for teacher_layer, student_layer in _layer_pairs(teacher.store.layers, student.store.layers, layers, pairs):
        X_T, X_S = matched.pair(teacher_layer, student_layer)
        examples = Examples(classes, matched.ids, matched.classes, matched.order_sha256, student.split)
        names = {
            "teacher": teacher.name,
            "student": student.name,
            "teacher_layer": teacher_layer,
            "student_layer": student_layer,
            "pool": student.store.pool(student_layer),
        }
        notes = (*teacher.notes, *student.notes, *matched.notes)
        found.append(measure_pair(X_T, X_S, examples, names, settings, notes))
    return found


def _classes(labels: Any, matched: Any) -> np.ndarray | None:
    """Labels as given, checked for their number, else those that came with the features."""
    if labels is None:
        known: np.ndarray | None = matched.labels
        return known
    if isinstance(labels, (str, os.PathLike)):
        try:
            labels = np.load(Path(labels), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UnreadableInput(
                f"labels {labels} cannot be read as .npy ({error}); save them with numpy.save"
            ) from error
    labels = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if labels.ndim != 1 or len(labels) != matched.n:
        raise Mismatch(f"labels have shape {labels.shape}, expected ({matched.n},); give one class per example")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        raise Mismatch("labels are not whole numbers; give class indices")
    return np.unique(labels, return_inverse=True)[1] if labels.dtype.kind in "US" else labels.astype(np.int64)


def _layer_pairs(
    teacher_layers: Sequence[str],
    student_layers: Sequence[str],
    layers: str | Sequence[str] | None,
    pairs: str | None,
) -> list[tuple[str, str]]:
    """Which teacher layer against which student layer.

    Raises:
        UsageError: if a named layer does not exist, or nothing pairs up.
    """
    if pairs == "all":
        return [(t, s) for t in teacher_layers for s in student_layers]
    if pairs:
        found = []
        for text in pairs.split(","):
            t, equals, s = text.partition("=")
            found.append((t.strip(), s.strip() if equals else t.strip()))
        for (t, s), text in zip(found, pairs.split(",")):
            if t not in teacher_layers or s not in student_layers:
                raise UsageError(
                    f"pair {text!r} names a layer that is not there; teacher: {', '.join(teacher_layers)}; "
                    f"student: {', '.join(student_layers)}"
                )
        return found
    if len(teacher_layers) == len(student_layers) == 1:
        return [(teacher_layers[0], student_layers[0])]
    wanted = [w.strip() for w in layers.split(",")] if isinstance(layers, str) else layers
    shared = [name for name in teacher_layers if name in student_layers and (not wanted or name in wanted)]
    if not shared:
        raise UsageError(
            f"no layer is in both; teacher: {', '.join(teacher_layers)}; student: {', '.join(student_layers)}; "
            "pass --pairs T=S"
        )
    return [(name, name) for name in shared]


def _one_each(value: Any, count: int) -> list[Any]:
    """One value for all, or one each."""
    if isinstance(value, (list, tuple)):
        if len(value) != count:
            raise UsageError(f"{len(value)} architectures for {count} students; give one, or one each")
        return list(value)
    return [value] * count


def _version() -> str:
    from kernelscope import __version__

    return __version__
