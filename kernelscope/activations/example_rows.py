"""Listening: a network runs over examples in order, and what its layers say becomes rows.

One row an example as a rule; with the pooling ``token`` or ``patch`` every position is a row, so that one example gives
several, side by side. Extraction writes the rows to disk, streaming adds them up and lets them go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch

from kernelscope.activations.pooling import UNITS, pool, positions
from kernelscope.activations.tap import Tap
from kernelscope.checkpoints.loaded import Loaded
from kernelscope.datasets.examples import Examples, order_fingerprint
from kernelscope.errors import KernelscopeError, Mismatch, one_line

MASK = "attention_mask"  #: of a batch that is a dict, as Hugging Face names it


@dataclass(frozen=True, eq=False)
class ExampleRows:
    """The rows that examples give: ``offsets[i]:offsets[i + 1]`` are those of example i."""

    offsets: np.ndarray
    ids: np.ndarray
    labels: np.ndarray | None
    order_sha256: str

    @property
    def n(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Heard:
    """A batch's rows ``(N, d)`` by layer, how many of them each example gave, and its class by the network (or -1)."""

    rows: dict[str, torch.Tensor]
    counts: np.ndarray
    predicted: np.ndarray


class Listening:
    """A network in eval mode with open ears; leaves it as it was on leaving, also by an exception.

    Args:
        layers: names, already resolved.
        pooling: as :func:`kernelscope.activations.pooling.pool` takes it, or ``token`` or ``patch``.

    Attributes:
        described: of each layer its shape per example before pooling and its type, after the first batch.
    """

    def __init__(
        self, loaded: Loaded, examples: Examples, layers: Sequence[str], *, pooling: str = "auto", device: str = "cpu"
    ) -> None:
        self.loaded, self.examples, self.layers = loaded, examples, list(layers)
        self.pooling, self.device = pooling, device
        checkpoint = loaded.checkpoint
        self.operations = examples.preprocess if checkpoint is None else checkpoint.preprocess
        self.described: dict[str, dict[str, Any]] = {}
        self._mask: torch.Tensor | None = None
        self._counts: np.ndarray | None = None
        self._logits: torch.Tensor | None = None
        listening = self.layers if "logits" in self.layers else [*self.layers, "logits"]
        self._tap = Tap(loaded.module, listening, training=False, keep=self._keep)

    def __enter__(self) -> Listening:
        self.loaded.module.to(self.device)
        self._tap.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tap.close()

    def hear(self, start: int, stop: int) -> Heard:
        """Run examples ``start:stop`` through the network.

        Raises:
            Mismatch: inputs it does not take, or a layer that gives no row for each of them.
            UsageError: a layer that did not run.
        """
        batch = _on(self.examples.batch(start, stop, self.operations), self.device)
        self._mask = batch.get(MASK) if isinstance(batch, dict) else None
        self._counts, self._logits = None, None
        with torch.inference_mode():
            self._forward(batch)
        rows = {name: self._tap.features[name] for name in self.layers}
        counts = np.ones(stop - start, np.int64) if self._counts is None else self._counts
        for name, tensor in rows.items():
            if len(tensor) != counts.sum():
                raise Mismatch(
                    f"layer {name} gives {len(tensor)} rows for {counts.sum()} "
                    f"{'examples' if self._counts is None else 'positions'}; choose another layer or pooling"
                )
        return Heard(rows, counts, _predicted(self._logits, stop - start))

    def example_rows(self) -> ExampleRows:
        """The rows that all examples give. Where positions are rows, this runs a first example and reads all masks."""
        examples = self.examples
        if self.pooling not in UNITS:
            return ExampleRows(np.arange(examples.n + 1), examples.ids, examples.labels, examples.order_sha256)
        first = int(self.hear(0, 1).counts[0])
        masked = self._mask is not None
        counts = np.concatenate([self._real_positions(i) for i in range(examples.n)]) if masked else None
        counts = np.full(examples.n, first) if counts is None else counts
        offsets = np.concatenate([[0], np.cumsum(counts)])
        ids = np.repeat(examples.ids, counts, axis=0)
        place = np.arange(len(ids)) - np.repeat(offsets[:-1], counts)
        ids[:, 12:] = place.astype("<u4").view(np.uint8).reshape(-1, 4)  # an example's id, and which of its positions
        labels = None if examples.labels is None else np.repeat(examples.labels, counts)
        return ExampleRows(offsets, ids, labels, order_fingerprint(ids))

    def _real_positions(self, example: int) -> np.ndarray:
        batch: Any = self.examples.batch(example, example + 1, self.operations)
        return np.asarray(batch[MASK].bool().sum(1))

    def _keep(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if name == "logits":
            self._logits = x
            if name not in self.layers:
                return x[:0]
        self.described[name] = {
            "raw_shape": list(x.shape[1:]),
            "torch_dtype": str(x.dtype).removeprefix("torch."),
        }
        if self.pooling not in UNITS:
            return pool(x, self.pooling, self._mask)
        rows, example = positions(x, self._mask)
        self._counts = np.bincount(example.cpu().numpy(), minlength=len(x))
        return rows

    def _forward(self, batch: Any) -> None:
        network, name = self.loaded.module, self.loaded.name
        try:
            if isinstance(batch, dict):
                network(**batch)
            elif isinstance(batch, tuple):
                network(*batch)
            else:
                network(batch)
        except KernelscopeError:
            raise
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            reason = one_line(str(error), 90)
            raise Mismatch(f"{name} does not take inputs of {_shape(batch)} ({reason}); check --data") from error


def _on(batch: Any, device: str) -> Any:
    if isinstance(batch, dict):
        return {key: value.to(device) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(value.to(device) for value in batch)
    return batch.to(device)


def _shape(batch: Any) -> str:
    if isinstance(batch, dict):
        return ", ".join(f"{key} {tuple(value.shape)}" for key, value in batch.items())
    return f"shape {' and '.join(str(tuple(x.shape)) for x in (batch if isinstance(batch, tuple) else (batch,)))}"


def _predicted(logits: torch.Tensor | None, rows: int) -> np.ndarray:
    """The class each example is given; -1 where the network's output is no row of logits per example."""
    if logits is None or logits.ndim != 2 or len(logits) != rows:
        return np.full(rows, -1)
    return np.asarray(logits.argmax(1).cpu().numpy())


def top1(predicted: np.ndarray | None, labels: np.ndarray | None) -> float | None:
    """Share of examples given their own class; None without labels or without logits."""
    if predicted is None or labels is None or (predicted < 0).all():
        return None
    return float((predicted == labels).mean())
