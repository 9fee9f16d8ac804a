"""A network runs over examples in order, and its layers' activations become rows.

One row an example as a rule; with the pooling ``token``, ``patch`` or ``grid:HxW`` every position is a row, so that one
example gives several, side by side. Extraction writes the rows to disk, streaming adds them up and keeps none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch import nn

from kernelscope.activations.batch import MASK
from kernelscope.activations.capture import Capture
from kernelscope.activations.pooling import pool, positions
from kernelscope.activations.remarks import Remark
from kernelscope.activations.resolving import OUTPUT, may_be_passed_over, resolve_layers
from kernelscope.activations.trial import FEW
from kernelscope.activations.undisturbed import traceless
from kernelscope.activations.units import grid_of, require_known, unit_of
from kernelscope.datasets.examples import Examples, order_fingerprint
from kernelscope.errors import Mismatch, UsageError, one_line
from kernelscope.kernels.full_precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from kernelscope.activations.batch import Batch
    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.preprocess import Operations


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


class LayerShape(TypedDict):
    """A layer's shape per example before pooling, and its type, as a feature file states them."""

    raw_shape: list[int]
    torch_dtype: str


@dataclass(frozen=True, eq=False)
class BatchRows:
    """A batch's rows ``(N, d)`` by layer, how many of them each example gave, and its class by the network (or -1)."""

    rows: dict[str, torch.Tensor]
    counts: np.ndarray
    predicted: np.ndarray


class ForwardPass:
    """A network in eval mode over examples, with activations captured; it is left as it was on leaving.

    Args:
        layers: names or globs (see ``activations/tap.py``); None for ``embedding,logits``, of a network without a head
            ``embedding,output``.
        pooling: as :func:`kernelscope.activations.pooling.pool` takes it, ``token``, ``patch`` or ``grid:HxW``.
        operations: what is done to examples first; None for what they state.
        trial: run a few examples of the first batch ahead, so that what the network gives for them shows which axis
            they lie along and whether it depends on chance or on the rest of the batch.

    Attributes:
        layers: those of the rows; without names of patterns that gave none, after the first batch.
        described: of each layer its shape and type, after the first batch.

    Raises:
        UsageError: an unknown layer.
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Examples,
        layers: str | Sequence[str] | None,
        *,
        name: str,
        operations: Operations | None = None,
        pooling: str = "auto",
        device: str = "cpu",
        trial: bool = True,
    ) -> None:
        require_known(pooling)
        self.network, self.examples = network, examples
        named, self._notes = ((), ()) if layers is not None and not len(layers) else resolve_layers(network, layers)
        self.layers, self._default = list(named), layers is None
        self.operations = examples.preprocess if operations is None else operations
        self.pooling, self.device = pooling, device
        self.described: dict[str, LayerShape] = {}
        self._counts: np.ndarray | None = None
        self._logits: torch.Tensor | None = None
        self._compared = not trial
        self._asked = frozenset(named)
        self._captured = list(self.layers)  # by the names in the network; the default logits may be its output
        captured = self.layers if "logits" in self.layers else [*self.layers, "logits"]
        optional = (may_be_passed_over(network, layers) & set(named)) | (set(captured) - set(named))
        self._capture = Capture(network, captured, name=name, keep=self._keep, device=device, optional=optional)

    @classmethod
    def of(
        cls,
        loaded: Loaded,
        examples: Examples,
        layers: str | Sequence[str] | None,
        *,
        pooling: str,
        device: str,
    ) -> ForwardPass:
        """With the preprocessing that the network's file states, if it states any."""
        return cls(
            loaded.module,
            examples,
            layers,
            name=loaded.name,
            operations=None if loaded.checkpoint is None else loaded.checkpoint.preprocess,
            pooling=pooling,
            device=device,
        )

    def __enter__(self) -> ForwardPass:
        self.network.to(self.device)
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.__exit__(kind, error, trace)

    def batches(self, size: int, first: int = 0) -> Iterator[tuple[int, BatchRows]]:
        """``(start, rows)`` of all examples from ``first`` on, in order."""
        for start in range(first, self.examples.n, size):
            yield start, self.run(start, min(start + size, self.examples.n))

    def run(self, start: int, stop: int) -> BatchRows:
        """Run examples ``start:stop`` through the network.

        Raises:
            Mismatch: inputs it does not take, or a layer that gives no row for each of them.
            UsageError: a layer that did not run.
        """
        batch = self.examples.batch(start, stop, self.operations)
        if self._compared:
            return self._forward(batch, stop - start)[0]
        self._try_out(batch)
        found, captured = self._forward(batch, stop - start)
        with traceless(self.network), torch.inference_mode(), full_precision():
            self._capture.compare(captured)
        self._compared = True
        return found

    def _forward(self, batch: Batch, n: int) -> tuple[BatchRows, dict[str, torch.Tensor]]:
        self._counts, self._logits = None, None
        with torch.inference_mode(), full_precision():
            captured = self._capture.run(batch)
        return self._rows(captured, n), captured

    def _try_out(self, batch: Batch) -> None:
        with traceless(self.network), torch.inference_mode(), full_precision():
            self._capture.try_out(batch)
        if self._default and self._capture.headless:
            self.layers = [OUTPUT if name == "logits" else name for name in self.layers]

    def _rows(self, captured: dict[str, torch.Tensor], n: int) -> BatchRows:
        """Of a batch of n examples, those of every layer that gives as many."""
        wanted = bool(self._captured)
        left = [(name, layer) for name, layer in zip(self._captured, self.layers) if name in captured]
        self._captured, self.layers = [name for name, _ in left], [layer for _, layer in left]
        if wanted and not left:
            raise UsageError(f"no layer gives rows: {one_line(self._on_passed_over(), 120)}; name others")
        rows = {layer: captured[name] for name, layer in left}
        counts = np.ones(n, np.int64) if self._counts is None else self._counts
        for name, tensor in rows.items():
            if len(tensor) != counts.sum():
                what, fix = "examples", "choose another layer or pooling"
                if self._counts is not None:
                    what, fix = "positions", "pass --pool grid:HxW for maps of several sizes, or name others"
                raise Mismatch(f"layer {name} gives {len(tensor)} rows for {counts.sum()} {what}; {fix}")
        logits = None if self._capture.headless and "logits" not in self.layers else self._logits
        return BatchRows(rows, counts, _predicted(logits, n))

    def notes(self) -> list[str]:
        """What is to be known of the layers, once the first batch was run."""
        shown = dict(zip(self._captured, self.layers))
        remarks = [
            replace(remark, layer=shown[remark.layer]) for remark in self._capture.remarks() if remark.layer in shown
        ]
        if self._default and self._capture.headless:
            remarks.append(Remark(OUTPUT, "what a network without a head returns, so these are no logits"))
        passed_over = self._on_passed_over()
        return [*self._notes, *map(str, remarks), *filter(None, (passed_over, self._capture.note))]

    def _on_passed_over(self) -> str:
        listed = [f"{layer} ({why})" for layer, why in self._capture.passed_over.items() if layer in self._asked]
        if not listed:
            return ""
        more = f" and {len(listed) - 6} more" if len(listed) > 6 else ""
        return f"layers that were passed over: {', '.join(listed[:6])}{more}"

    def example_rows(self) -> ExampleRows:
        """The rows that all examples give. Where positions are rows, this runs a first example and reads all masks."""
        examples = self.examples
        if unit_of(self.pooling) == "example":
            return ExampleRows(np.arange(examples.n + 1), examples.ids, examples.labels, examples.order_sha256)
        if not self._compared:
            self._try_out(examples.batch(0, min(FEW, examples.n), self.operations))
        first = int(self._forward(examples.batch(0, 1, self.operations), 1)[0].counts[0])
        masked = self._capture.mask is not None
        counts = np.concatenate([self._real_positions(i) for i in range(examples.n)]) if masked else None
        counts = np.full(examples.n, first) if counts is None else counts
        offsets = np.concatenate([[0], np.cumsum(counts)])
        ids = np.repeat(examples.ids, counts, axis=0)
        place = np.arange(len(ids)) - np.repeat(offsets[:-1], counts)
        ids[:, 12:] = place.astype("<u4").view(np.uint8).reshape(-1, 4)  # an example's id, and which of its positions
        labels = None if examples.labels is None else np.repeat(examples.labels, counts)
        return ExampleRows(offsets, ids, labels, order_fingerprint(ids))

    def _real_positions(self, example: int) -> np.ndarray:
        batch = self.examples.batch(example, example + 1, self.operations)
        assert isinstance(batch, dict)
        return np.asarray(batch[MASK].bool().sum(1))

    def _keep(self, name: str, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if name == "logits":
            self._logits = x
            if name not in self._captured:
                return x[:0]
        self.described[dict(zip(self._captured, self.layers))[name]] = {
            "raw_shape": list(x.shape[1:]),
            "torch_dtype": str(x.dtype).removeprefix("torch."),
        }
        if unit_of(self.pooling) == "example":
            return pool(x, self.pooling, mask)
        rows, example = positions(x, mask, grid_of(self.pooling))
        self._counts = np.bincount(example.cpu().numpy(), minlength=len(x))
        return rows


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
