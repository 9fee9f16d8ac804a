"""Features that are computed when they are read and never kept: straight from the network into the sums.

Reading all rows once costs one forward pass over the examples and memory for one block of rows, whatever their number.
Every further reading costs another forward pass, so this suits what needs one: ``kernels/distance/layer_grid.py``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import exchange
from kernelscope.activations.accuracy import require_stated_accuracy
from kernelscope.activations.example_rows import BatchRows, ForwardPass, top1
from kernelscope.features.column import narrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.request import Request


class StreamedFeatures:
    """Layers of a network over examples, in the form of a feature store without a file.

    Hooks are on the network while a block is read, and it is left as it was in between. ``beside`` are other networks
    over the same examples, which run on each batch in turn, so that every example is read once for all of them.

    Attributes:
        top1: share of examples given their own class, once all of them were read in order.
    """

    def __init__(self, loaded: Loaded, examples: Examples, request: Request) -> None:
        self.path, self.classes = loaded.name, examples.classes
        self.checkpoint_sha256, self.arch = loaded.sha256, loaded.arch
        self.dtype = np.dtype(request.dtype)
        self._loaded, self._examples, self._request = loaded, examples, request
        self._predicted: dict[int, np.ndarray] = {}
        self._last: tuple[int, dict[str, np.ndarray]] = (-1, {})
        self._block: tuple[tuple[int, int], dict[str, np.ndarray]] = ((-1, -1), {})
        self.beside: tuple[StreamedFeatures, ...] = ()
        self._forward = ForwardPass.of(loaded, examples, request.layers, pooling=request.pool, device=request.device)
        with self._forward:
            self._samples = self._forward.example_rows()
            self.ids, self.labels = self._samples.ids, self._samples.labels
            self.order_sha256 = self._samples.order_sha256
            self._rows = {name: StreamedRows(self, name, X.shape[1]) for name, X in self._of_batch(0).items()}
            self.layers, self.notes = tuple(self._rows), tuple(self._forward.notes())

    kept = False

    @property
    def n(self) -> int:
        return self._samples.n

    @property
    def top1(self) -> float | None:
        parts = [predicted for _, predicted in sorted(self._predicted.items())]
        predicted = np.concatenate(parts) if parts else np.empty(0, np.int64)
        labels = self._examples.labels
        return top1(predicted, labels) if labels is not None and len(predicted) == len(labels) else None

    def features(self, layer: str) -> StreamedRows:
        return self._rows[layer]

    def pool(self, layer: str) -> str:
        return self._request.pool

    def raw_shape(self, layer: str) -> list[int]:
        return self._forward.described[layer]["raw_shape"]

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows ``start:stop`` of every layer; the last block is kept, as its layers are asked for in turn."""
        if self._block[0] != (start, stop):
            numbers = self._batches(start, stop)
            together = [self, *(other for other in self.beside if other._batches(start, stop) == numbers)]
            parts: list[list[dict[str, np.ndarray]]] = [[] for _ in together]
            for number in numbers:
                for each, part in zip(together, parts):
                    with each._forward:  # one at a time: two may capture the same network
                        part.append(each._of_batch(number))
            for each, part in zip(together, parts):
                each._keep_block(start, stop, part)
        return self._block[1]

    def seconds(self) -> float:
        """What running over all examples takes, from a batch that has not run yet, where there is one."""
        batches = -(-self._examples.n // self._request.batch_size)
        number, self._last = min(1, batches - 1), (-1, {})
        begun = time.perf_counter()
        with self._forward:
            self._of_batch(number)
        return (time.perf_counter() - begun) * batches

    def _batches(self, start: int, stop: int) -> range:
        """Batches of examples that rows ``start:stop`` come from."""
        offsets = self._samples.offsets
        first = (int(np.searchsorted(offsets, start, side="right")) - 1) // self._request.batch_size
        return range(first, (int(np.searchsorted(offsets, stop)) - 1) // self._request.batch_size + 1)

    def _keep_block(self, start: int, stop: int, parts: list[dict[str, np.ndarray]]) -> None:
        skip = start - int(self._samples.offsets[self._batches(start, stop)[0] * self._request.batch_size])
        whole = {name: np.concatenate([part[name] for part in parts]) for name in self.layers}
        self._block = (start, stop), {name: X[skip : skip + stop - start] for name, X in whole.items()}

    def _of_batch(self, number: int) -> dict[str, np.ndarray]:
        """Rows of one batch; batches are extraction's, whatever the blocks, so that the numbers are the same."""
        if self._last[0] != number:
            start = number * self._request.batch_size
            stop = min(start + self._request.batch_size, self._examples.n)
            batch = self._forward.run(start, stop)
            self._last = (
                number,
                {name: narrowed(name, X.float().cpu().numpy(), self._request.dtype) for name, X in batch.rows.items()},
            )
            self._score(number, batch, stop)
        return self._last[1]

    def _score(self, number: int, batch: BatchRows, stop: int) -> None:
        self._request.report(self._loaded.name, stop, self._examples.n)
        if number in self._predicted:  # read again: scored already
            return
        self._predicted[number] = batch.predicted
        if stop == self._examples.n and exchange.count() == 1:
            self._require_accuracy()

    def take_in_others(self) -> None:
        """What the network predicts of the examples that other processes ran; all are to ask once all were read."""
        if exchange.count() == 1:
            return
        numbers = np.array([*self._predicted])
        sizes = np.array([len(predicted) for predicted in self._predicted.values()])
        own = [numbers, sizes, np.concatenate([*self._predicted.values()])]
        for numbers, sizes, predicted in exchange.in_turn(own):
            self._predicted |= zip(numbers.tolist(), np.split(predicted, np.cumsum(sizes)[:-1]))
        self._require_accuracy()

    def _require_accuracy(self) -> None:
        if self._request.accuracy_check:
            require_stated_accuracy(self._loaded, self._examples, self.top1)


def side_by_side(streams: Sequence[StreamedFeatures]) -> None:
    """Let networks over the same examples run batch by batch together."""
    for stream in streams:
        stream.beside = tuple(other for other in streams if other is not stream)


def read_once(examples: Examples) -> Examples:
    """The same examples, of which the batch read last is remembered for the next network that asks for it."""
    inputs = examples.inputs
    return examples if isinstance(inputs, np.ndarray) else replace(examples, inputs=_Remembering(inputs))


class _Remembering:
    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs
        self._last: tuple[np.ndarray, Any] = (np.empty(0, np.int64), None)

    def __len__(self) -> int:
        return len(self._inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inputs, name)

    def read(self, rows: np.ndarray) -> Any:
        if not np.array_equal(rows, self._last[0]):
            self._last = np.array(rows), self._inputs.read(rows)
        return self._last[1]


class StreamedRows:
    """Rows ``(n, d)`` of one layer; slicing runs the network."""

    def __init__(self, features: StreamedFeatures, layer: str, width: int) -> None:
        self._features, self._layer = features, layer
        self.shape, self.dtype = (features.n, width), features.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step != 1 or stop <= start:
            return np.empty((0, self.shape[1]), self.dtype) if stop <= start else self[start:stop][::step]
        return self._features.rows(start, stop)[self._layer]
