"""The trajectory for people who keep their own loop: a look at the student's kernel every so many steps.

>>> probe = ks.Probe(teacher="t.pt", data="digits", every=500, log="probe.jsonl")
>>> for step, batch in enumerate(loader):
...     train_on(batch)
...     probe(student, step)
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from kernelscope import devices, processes
from kernelscope.activations.resolving import resolve_layers
from kernelscope.activations.undisturbed import rows_of, undisturbed
from kernelscope.checkpoints.loaded import Loaded, unwrapped
from kernelscope.checkpoints.loading import as_loaded
from kernelscope.datasets import foreign, sources
from kernelscope.datasets.reading import Reading
from kernelscope.distill import callbacks
from kernelscope.distill.logbook import Logbook, plain
from kernelscope.distill.looks import Looks
from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError, one_line
from kernelscope.kernels.distance.gram import ZERO_TEACHER
from kernelscope.kernels.snapshot import Teacher

if TYPE_CHECKING:
    from kernelscope.checkpoints.checkpoint import Checkpoint
    from kernelscope.datasets.examples import Batch, Examples
    from kernelscope.datasets.preprocess import Operations

SHARDED = {"FullyShardedDataParallel", "DTensor"}  #: types of modules and weights that all processes run together


class Probe(Looks):
    """How near a student's kernel is to its teacher's, at every so many steps of a training that is not ours.

    The teacher runs once, here; its rows and Gram are kept and the network is let go. A look forwards the probe's
    examples through the student in eval mode, in the precision of its weights, outside autocast, and leaves modes,
    buffers, gradients and random generators as they were. Its numbers are those of ``measure`` on the same examples.

    Examples:
        >>> import torch, kernelscope as ks
        >>> teacher, student = (torch.nn.Sequential(torch.nn.Linear(6, w), torch.nn.Linear(w, 3)) for w in (8, 4))
        >>> probe = ks.Probe(teacher=teacher, data=torch.randn(64, 6), every=10)
        >>> for step in range(20):
        ...     record = probe(student, step)  # None between looks
        >>> len(probe.trajectory)
        2

    Args:
        teacher: a checkpoint's path, what ``ks.load`` gives, or a module.
        data: examples to look on: a data set's name, Examples, a tensor, ``(x, y)``, a Dataset.
        every: how many steps lie between looks.
        log: file that takes every record as a line of JSON; one that exists is appended to.
        layers: names or globs, comma-separated or a sequence; a dict pairs the teacher's names with the student's. By
            default ``embedding,logits``.
        split: of a data set named; by default validation where it has its own, else the one to measure on.
        n: how many of its first examples.
        labels: class of each of these examples, by default the data's own; landmarks are the class means. Without
            any they are k-means cells of the teacher's rows.
        preprocess: operations in the place of those that data and teacher state.
        student: where it is known already, to be checked before training starts.
        device: where a teacher that is read from a file runs; a UsageError where there is none of that name.
        batch_size: examples in a forward pass.
        seed: of splits and of k-means.

    Attributes:
        trajectory: the records so far, see :meth:`look`.
        examples: what is looked on; ``ks.measure(..., data=probe.examples)`` measures the same.
        layers: by the name in a record, the layer of the teacher and that of the student.

    Raises:
        UsageError: a number below 1, an unknown layer, a log that cannot be written, preprocessing that is in doubt.
        Mismatch: inputs that a network does not take. NumericalError: NaN features, an all-zero teacher.
        UnreadableInput: a file that cannot be read.
    """

    def __init__(
        self,
        *,
        teacher: str | os.PathLike[str] | Loaded | Checkpoint | nn.Module,
        data: object,
        every: int = 500,
        log: str | os.PathLike[str] | None = None,
        layers: str | Sequence[str] | Mapping[str, str] | None = None,
        split: str | None = None,
        n: int = 1000,
        labels: object = None,
        preprocess: Operations | None = None,
        student: nn.Module | None = None,
        device: str = "cpu",
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        device = devices.require_device(device)
        for name, number in (("every", every), ("n", n), ("batch_size", batch_size)):
            if _whole(number, name) < 1:
                raise UsageError(f"{name} is {number}, expected at least 1")
        self.every = every
        self.trajectory: list[dict[str, Any]] = []
        loaded = _loaded(teacher, device)
        with undisturbed(loaded.module):  # reading examples may draw random numbers
            self.examples = _examples(data, split, Reading(seed=seed, limit=n), preprocess)
            self._batches = _batches(self.examples, self.examples.preprocess, batch_size)
        self._default = layers is None
        self.layers = _layers(loaded.module, layers)
        self._teachers = self._hear_teacher(loaded, preprocess, batch_size, _labels(labels, self.examples), seed)
        if student is not None:
            self.check(student)
        self._log = None if log is None or not processes.is_first() else Logbook(log)

    def _hear_teacher(
        self, loaded: Loaded, preprocess: Operations | None, batch_size: int, labels: np.ndarray | None, seed: int
    ) -> dict[str, Teacher]:
        operations, checkpoint, batches = self.examples.preprocess, loaded.checkpoint, self._batches
        if checkpoint is not None and preprocess is None and checkpoint.preprocess != operations:
            if not operations:
                raise UsageError(
                    f"teacher {one_line(loaded.name, 40)} states preprocessing and the data none; pass "
                    "preprocess=[] if they are prepared already, else give the data raw"
                )
            batches = _batches(self.examples, checkpoint.preprocess, batch_size)
        rows, self._of_teacher = rows_of(
            loaded.module, batches, [t for t, _ in self.layers.values()], name="the teacher"
        )
        teachers = {}
        for name, (layer, _) in self.layers.items():
            if not rows[layer].any():
                raise DegenerateKernel(f"layer {one_line(layer, 60)}: {ZERO_TEACHER}")
            teachers[name] = Teacher(rows[layer], labels, seed)
        return teachers

    def __call__(self, student: nn.Module, step: int) -> dict[str, Any] | None:
        """A look where ``step`` is a multiple of ``every``; otherwise None, at the cost of one division."""
        return None if step % self.every else self.look(student, step)

    def look(self, student: nn.Module, step: int) -> dict[str, Any] | None:
        """A look now: a record for the trajectory and the log. Of several processes only the first one looks.

        Returns:
            ``{"step", "layers": {name: ...}, "seconds", "notes"}``, plain JSON: of each layer the fields of
            :class:`kernelscope.kernels.snapshot.Snapshot`, or None where its features have no kernel to speak of,
            as ``notes`` then say.

        Raises:
            Mismatch, UsageError: a student that does not take the examples, or lacks a layer.
        """
        if not processes.is_first():
            return None
        step, network = _whole(step, "step"), _network(student)
        _finish_queued_work(network)
        started = time.perf_counter()
        of_student = self._of_student(network)
        rows, notes = rows_of(network, self._batches, list(of_student.values()), name="the student")
        layers: dict[str, Any] = {}
        notes += [] if self.trajectory else [f"the teacher's {warning}" for warning in self._of_teacher]
        for name, layer in of_student.items():
            try:
                layers[name] = plain(self._teachers[name].against(rows[layer]).to_dict())
            except NumericalError as error:  # training goes on, and reports it
                layers[name] = None
                notes.append(one_line(f"{name}: {error}"))
        record = {"step": step, "layers": layers, "seconds": time.perf_counter() - started, "notes": notes}
        self.trajectory.append(record)
        if self._log is not None:
            self._log.add(record)
        return record

    def check(self, student: nn.Module) -> None:
        """Whether a student has the layers and takes the examples; runs two of them through it.

        Raises:
            UsageError: it lacks a layer. Mismatch: it takes other inputs.
        """
        network = _network(student)
        layers = list(self._of_student(network).values())
        if not any(is_lazy(weight) for weight in network.parameters()):  # those are drawn in the first forward pass
            first = self._batches[0]
            few = {key: x[:2] for key, x in first.items()} if isinstance(first, dict) else first[:2]
            rows_of(network, [few], layers, name="the student")

    def huggingface(self) -> Any:
        """A ``transformers.TrainerCallback`` that looks at the Trainer's model by its ``global_step``.

        Raises:
            UsageError: transformers is not installed.
        """
        return callbacks.huggingface(self)

    def lightning(self, student: str = "") -> Any:
        """A Lightning ``Callback`` that looks at the LightningModule, or a part of it, by ``trainer.global_step``.

        Args:
            student: path of the student within the LightningModule, such as ``net``.

        Raises:
            UsageError: neither lightning nor pytorch_lightning is installed.
        """
        return callbacks.lightning(self, student)

    def _of_student(self, network: nn.Module) -> dict[str, str]:
        """The student's layer by the name in a record; a default that it does not have is left out."""
        wanted = {name: layer for name, (_, layer) in self.layers.items()}
        if self._default:
            known = resolve_layers(network, None)[0]
            return {name: layer for name, layer in wanted.items() if layer in known}
        for layer in wanted.values():
            _one_layer(network, layer, "the student")
        return wanted


def _loaded(teacher: object, device: str) -> Loaded:
    loaded = as_loaded(teacher, "teacher")
    if not isinstance(teacher, (Loaded, nn.Module)):  # what is in memory stays where it is
        with devices.faults(f"teacher {loaded.name}"):
            loaded.module.to(device)
    return loaded


def _examples(data: object, split: str | None, reading: Reading, preprocess: Operations | None) -> Examples:
    if isinstance(data, (str, os.PathLike)):
        opened = sources.open_data(os.fspath(data), reading, split)
        examples = sources.limited(opened.split(split or opened.to_follow), reading)
    else:
        examples = sources.limited(foreign.given(data, reading, split), reading)
    return examples if preprocess is None else replace(examples, preprocess=preprocess)


def _batches(examples: Examples, operations: Operations, batch_size: int) -> list[Batch]:
    return [examples.batch(start, start + batch_size, operations) for start in range(0, examples.n, batch_size)]


def _labels(labels: object, examples: Examples) -> np.ndarray | None:
    if labels is None:
        return examples.labels
    found = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    if found.shape != (examples.n,):
        raise Mismatch(f"labels have shape {found.shape}, expected ({examples.n},); give one class per example")
    return found


def _layers(teacher: nn.Module, layers: Any) -> dict[str, tuple[str, str]]:
    """By the name in a record the teacher's layer and the student's."""
    if not isinstance(layers, Mapping):
        return {name: (name, name) for name in resolve_layers(teacher, layers)[0]}
    if not layers:
        raise UsageError('no layer paired; give for example layers={"layer4": "layer3"}')
    pairs = {t if t == s else f"{t}={s}": (str(t), str(s)) for t, s in layers.items()}
    for t, _ in pairs.values():
        _one_layer(teacher, t, "the teacher")
    return pairs


def _one_layer(network: nn.Module, layer: str, name: str) -> None:
    """Make sure that a name is that of one layer.

    Raises:
        UsageError: it is not.
    """
    try:
        found = resolve_layers(network, [layer])[0]
    except UsageError as error:
        raise UsageError(one_line(f"{name}: {error}")) from error
    if found != (layer,):
        raise UsageError(f"{name}: {one_line(layer, 60)} stands for {len(found)} layers; name one")


def _network(student: object) -> nn.Module:
    if not isinstance(student, nn.Module):
        raise UsageError(f"the student is a {type(student).__name__}, expected a torch.nn.Module")
    network = unwrapped(student)
    if any(type(part).__name__ in SHARDED for part in (*network.modules(), *network.parameters())):
        raise UsageError("the student's weights are sharded over processes, and one alone cannot run it; use DDP")
    return network


def _whole(number: Any, name: str) -> int:
    try:
        return operator.index(number)
    except TypeError as error:
        raise UsageError(f"{name} is {one_line(repr(number), 40)}, expected a whole number") from error


def _finish_queued_work(network: nn.Module) -> None:
    """A device may be steps behind; what it still has to do for training is not the look's time."""
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
