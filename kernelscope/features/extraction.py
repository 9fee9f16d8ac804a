"""Extraction: a network runs over examples in order, and its layers go to disk."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernelscope import devices, exchange
from kernelscope.activations.accuracy import require_stated_accuracy
from kernelscope.activations.example_rows import BatchRows, ExampleRows, ForwardPass, top1
from kernelscope.activations.units import unit_of
from kernelscope.checkpoints.loading import as_loaded
from kernelscope.datasets import foreign, sources
from kernelscope.datasets.reading import Reading
from kernelscope.errors import encodable
from kernelscope.features.fingerprint import fingerprint
from kernelscope.features.header import Samples
from kernelscope.features.request import Request
from kernelscope.features.writing import FeatureWriter, feature_writer, reopen
from kernelscope.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.store import FeatureStore

RULES = 2  #: of what a layer's name stands for and what notes say of it; features kept by other rules are not ours


def extract(
    model: object,
    data: object,
    *,
    layers: str | Sequence[str] | None = None,
    out: str | os.PathLike[str],
    pooling: str = "auto",
    batch_size: int = 256,
    device: str = "cpu",
    dtype: str = "float32",
    overwrite: bool = False,
    accuracy_check: bool = True,
    memory_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Layer features of a network over data, in eval mode and in order, written to ``out``.

    Interrupted, the same call goes on at the last whole batch and ends with the same bits.

    Examples:
        >>> import torch, kernelscope as ks
        >>> net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
        >>> ks.extract(net, torch.randn(40, 6), layers="1,2", out="rows.h5").layers
        ('1', '2')

    Args:
        model: a checkpoint's path, what :func:`kernelscope.load` gives, or a module.
        data: examples to run it on: a data set's name, ``(x, y)``, a tensor, a Dataset, a DataLoader in order.
        layers: names or globs (see ``activations/tap.py``); ``embedding,logits`` by default.
        pooling: how maps and tokens become rows (``activations/pooling.py``).
        dtype: storage type, float32 or float16.
        accuracy_check: refuse a network that scores other than its checkpoint states for these examples.
        memory_bytes: the most that this process may have resident; a batch that took it further ends the extraction.
        progress: called with examples done and their number.

    Raises:
        UsageError: a device that is not there or an unknown layer, before any data is read; an output that exists.
        Mismatch: features of different widths from batch to batch, inputs the network does not take, or another top-1
            than its checkpoint states.
        ResourceError: the disk cannot take the features; a device that fails, or whose memory is full.
    """
    device = devices.require_device(device)
    request = Request(
        layers=layers,
        pool=pooling,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        accuracy_check=accuracy_check,
        memory_bytes=memory_bytes,
        progress=None if progress is None else lambda name, done, total: progress(done, total),
    )
    named = isinstance(data, (str, os.PathLike))
    examples = sources.load(str(data)) if named else foreign.given(data, Reading(), None)
    return Extraction(as_loaded(model, "model"), examples, request).write(out, overwrite=overwrite)


class Extraction:
    """A network, examples and a request, with layers resolved and the configuration known before anything runs.

    Attributes:
        config: everything that decides the bits of the feature file.
    """

    def __init__(self, loaded: Loaded, examples: Examples, request: Request) -> None:
        self.loaded, self.examples, self.request = loaded, examples, request
        self.forward = ForwardPass.of(loaded, examples, request.layers, pooling=request.pool, device=request.device)
        self.config = {
            "network": fingerprint(loaded.module),
            "arch": loaded.arch,
            "data": [examples.name, examples.split, examples.order_sha256],
            "preprocess": self.forward.operations,
            "layers": list(self.forward.layers),
            "pool": request.pool,
            "batch_size": request.batch_size,
            "device": torch.device(request.device).type,
            "dtype": request.dtype,
            "torch": str(torch.__version__),
            "kernelscope": __version__,
            "rules": RULES,
        }

    @devices.faults()
    @exchange.joint()
    def write(self, out: str | os.PathLike[str], *, overwrite: bool = False) -> FeatureStore:
        """Run the network and write its layers to ``out``; see :func:`extract`.

        Several processes take turns at batches, and the first one alone writes: the file, and what an interrupted run
        leaves of it, is that of one process.
        """
        with self.forward as forward, exchange.alike():
            rows = forward.example_rows()
            if exchange.rank() == 0:
                self._write(out, forward, rows, overwrite)
            else:
                self._help(forward)
            exchange.decided(lambda: None)  # the file is there
        return reopen(out)

    def _help(self, forward: ForwardPass) -> None:
        """Run batches for the first process."""
        first, size = exchange.decided(lambda: 0), self.request.batch_size  # the first process decides
        if first < self.examples.n:  # what the first batch shows of the layers is to be the same for all
            forward.run(first, min(first + size, self.examples.n))
        for _ in _batches(forward, size, first):
            pass

    def _write(self, out: str | os.PathLike[str], forward: ForwardPass, rows: ExampleRows, overwrite: bool) -> None:
        loaded, examples, request = self.loaded, self.examples, self.request
        source, classes = encodable(f"{examples.name}/{examples.split}"), tuple(map(encodable, examples.classes))
        samples = Samples(rows.ids, rows.order_sha256, source, rows.labels, classes)
        with feature_writer(
            out, config=self.config, samples=samples, dtype=request.dtype, overwrite=overwrite
        ) as writer:
            first = exchange.decided(lambda: _first(writer.rows_done, rows, request.batch_size))
            for start, batch in _batches(forward, request.batch_size, first):
                _write(writer, int(rows.offsets[start]), forward, batch)
                request.report(loaded.name, min(start + request.batch_size, examples.n), examples.n)
            accuracy = top1(writer.predicted, rows.labels)
            if request.accuracy_check:
                require_stated_accuracy(loaded, examples, accuracy)
            writer.note(
                checkpoint_sha256=loaded.sha256,
                arch=loaded.arch,
                top1=accuracy,
                notes=json.dumps([encodable(note) for note in (*writer.layer_notes, *examples.notes)]),
                versions=json.dumps({"torch": str(torch.__version__), "python": platform.python_version()}),
                config_sha256=config_sha256(self.config),
            )


def config_sha256(config: dict[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _first(rows_done: int, samples: ExampleRows, batch_size: int) -> int:
    """The example to go on with: the first of a batch that is not written whole, or the end."""
    done = int(np.searchsorted(samples.offsets, rows_done, side="right")) - 1
    return done if done == len(samples.offsets) - 1 else done // batch_size * batch_size


def _batches(forward: ForwardPass, size: int, first: int) -> Iterator[tuple[int, _Batch]]:
    """``(start, rows)`` of all batches from example ``first`` on, in order, for the first process; none for others."""
    n, together = forward.examples.n, exchange.count() * size
    for start in range(first, n, together):
        own = start + exchange.rank() * size
        ran = _Batch.of(forward.run(own, min(own + size, n))).arrays() if own < n else []
        found = [*exchange.in_turn(ran, to_all=False)]  # all of them, before writing one may fail
        for number, arrays in enumerate(found if exchange.rank() == 0 else ()):
            if arrays:
                yield start + number * size, _Batch.from_arrays(forward.layers, arrays)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Of a batch the rows of every layer in float32, how many each example gave, and its class by the network."""

    rows: dict[str, np.ndarray]
    counts: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, batch: BatchRows) -> _Batch:
        rows = {name: rows.float().cpu().numpy() for name, rows in batch.rows.items()}
        return cls(rows, batch.counts, batch.predicted)

    def arrays(self) -> list[np.ndarray]:
        """What another process makes the batch of again."""
        return [self.counts, self.predicted, *self.rows.values()]

    @classmethod
    def from_arrays(cls, layers: Sequence[str], arrays: Sequence[np.ndarray]) -> _Batch:
        return cls(dict(zip(layers, arrays[2:], strict=True)), arrays[0], arrays[1])


def _write(writer: FeatureWriter, start: int, forward: ForwardPass, batch: _Batch) -> None:
    if not writer.laid_out:
        writer.create_layers(
            {
                name: {"width": rows.shape[1], "pool": forward.pooling, **forward.described[name]}
                for name, rows in batch.rows.items()
            },
            [encodable(note) for note in forward.notes()],
        )
    # where positions are rows, no class is predicted for them
    predicted = batch.predicted if unit_of(forward.pooling) == "example" else np.full(int(batch.counts.sum()), -1)
    writer.write(start, batch.rows, predicted)
