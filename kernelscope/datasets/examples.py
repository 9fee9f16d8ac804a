"""Examples with an identity each and a fingerprint of their order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.datasets.inputs import Identities, Inputs, Raw
from kernelscope.datasets.sampling import Drawn, draw
from kernelscope.errors import Mismatch, UsageError

if TYPE_CHECKING:
    import torch

    from kernelscope.datasets.preprocess import Operations

    Batch = torch.Tensor | dict[str, torch.Tensor]  #: what a network is called with: ``net(x)``, or ``net(**x)``

IN_MEMORY_BYTES = 2**30  #: inputs of training are kept decoded up to this size


@dataclass(frozen=True, eq=False)
class Examples:
    """Raw inputs, before any preprocessing; order is part of their identity.

    Attributes:
        inputs: an array of shape ``(n, ...)``, images ``(n, c, h, w)``, uint8 or float32; or inputs that are read as
            they are needed (see :mod:`kernelscope.datasets.inputs`).
        labels: shape ``(n,)`` int64, or None.
        ids: shape ``(n, 16)`` uint8, see :func:`example_ids`.
        preprocess: operations that turn raw inputs into what a network takes (see ``preprocess.apply``).
        notes: what was done to read them, in words.
        drawn: which of more they are, where a seed drew them.

    Raises:
        Mismatch: other numbers of inputs, labels and ids, or labels outside the classes.
    """

    name: str
    split: str
    inputs: np.ndarray | Inputs
    labels: np.ndarray | None
    ids: np.ndarray
    classes: tuple[str, ...] = ()
    preprocess: Operations = field(default_factory=list)
    seed: int = 0
    notes: tuple[str, ...] = ()
    drawn: Drawn | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.inputs):
            raise Mismatch(
                f"{self.name} has {len(self.inputs)} inputs and {len(self.labels)} labels; give one label per example"
            )
        if self.ids.shape != (len(self.inputs), 16):
            raise Mismatch(
                f"{self.name} has ids of shape {self.ids.shape}, expected ({len(self.inputs)}, 16); use example_ids"
            )
        if self.labels is not None and self.classes:
            outside = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
            if len(outside):
                raise Mismatch(
                    f"{self.name} has {len(outside)} labels outside its {len(self.classes)} classes, first "
                    f"{self.labels[outside[0]]} at example {outside[0]}; correct labels or classes"
                )

    @property
    def n(self) -> int:
        return len(self.inputs)

    @property
    def order_sha256(self) -> str:
        """Hex SHA-256 over the ids in order: equal if and only if the same examples come in the same order."""
        return order_fingerprint(self.ids)

    def take(self, rows: np.ndarray) -> Examples:
        """These rows, in this order."""
        return replace(
            self,
            inputs=self.inputs[rows] if isinstance(self.inputs, np.ndarray) else self.inputs.take(rows),
            labels=None if self.labels is None else self.labels[rows],
            ids=self.ids[rows],
        )

    def head(self, limit: int) -> Examples:
        """The first ``limit`` examples; all of them if there are fewer.

        Raises:
            UsageError: a limit below 1.
        """
        if limit < 1:
            raise UsageError(f"limit is {limit}, expected at least 1 of {self.n} examples; leave it out for all")
        return self if limit >= self.n else self.take(np.arange(limit))

    def sample(self, count: int, seed: int) -> Examples:
        """``count`` of these examples, drawn by ``seed``, each class in proportion, in their order.

        Raises:
            Mismatch: fewer than so many. UsageError: a count below 1.
        """
        return self.taken(draw(self.labels, self.n, count, seed, self.name))

    def taken(self, drawn: Drawn) -> Examples:
        """Those that were drawn, with a note."""
        return replace(self.take(drawn.rows), drawn=drawn, notes=(*self.notes, drawn.note))

    def raw(self, rows: np.ndarray) -> Raw:
        """These rows as stored: one array, a list of images of different sizes, or a dict of arrays."""
        return self.inputs[rows] if isinstance(self.inputs, np.ndarray) else self.inputs.read(rows)

    def batch(self, start: int, stop: int, preprocess: Operations | None = None) -> Batch:
        """Rows ``start:stop`` as a network takes them: float32 through ``preprocess`` or these examples' own.

        Whole numbers other than pixels (uint8), which may be those of tokens, stay so where there is no preprocessing.
        Named inputs, such as token numbers and their mask, come as a dict of tensors of their own types.

        Raises:
            UnreadableInput, Mismatch: see ``preprocess.apply``, and operations for named inputs, which take none.
        """
        from kernelscope.datasets.preprocess import apply

        operations = self.preprocess if preprocess is None else preprocess
        stop = min(stop, self.n)
        raw = self.inputs[start:stop] if isinstance(self.inputs, np.ndarray) else self.raw(np.arange(start, stop))
        if isinstance(raw, dict):
            return _named(raw, operations, self.name)
        if not operations and isinstance(raw, np.ndarray) and raw.dtype.kind in "iu" and raw.dtype != np.uint8:
            return _tensor(raw)
        return apply(operations, raw)

    def example_shape(self, preprocess: Operations | None = None) -> tuple[int, ...] | None:
        """Shape of one example as a network takes it; None for named inputs."""
        batch = self.batch(0, 1, preprocess)
        return None if isinstance(batch, dict) else tuple(batch.shape[1:])

    def for_training(self) -> Examples:
        """The same examples in a form that can be read in any order, in memory where they fit.

        Raises:
            UsageError: an iterable that is too large for it.
        """
        kept = self.in_memory()
        if getattr(kept.inputs, "in_order", False):
            raise UsageError(
                f"{self.name} is an iterable of over {IN_MEMORY_BYTES // 2**20} MiB, or of several sizes, which "
                "training cannot shuffle; give a Dataset that is read by number"
            )
        return kept

    def in_memory(self, limit_bytes: int = IN_MEMORY_BYTES) -> Examples:
        """The same examples, decoded for good if that fits into ``limit_bytes`` and all have one shape."""
        if isinstance(self.inputs, np.ndarray) or not self.n:
            return self
        first = self.raw(np.arange(1))
        if not isinstance(first, np.ndarray) or first.nbytes * self.n > limit_bytes:
            return self
        whole = np.empty((self.n, *first.shape[1:]), first.dtype)
        for start in range(0, self.n, 256):
            block = self.raw(np.arange(start, min(start + 256, self.n)))
            if not isinstance(block, np.ndarray) or block.shape[1:] != whole.shape[1:] or block.dtype != whole.dtype:
                return self
            whole[start : start + len(block)] = block
        return replace(self, inputs=whole)


def example_ids(inputs: np.ndarray) -> np.ndarray:
    """Identity of each example, shape ``(n, 16)`` uint8: BLAKE2b-128 of raw bytes and occurrence among equals.

    It is taken before any transform, so networks with different input sizes still agree on who is who.
    """
    identities = Identities()
    for example in inputs:
        identities.add(hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=16))
    return identities.ids()


def order_fingerprint(ids: np.ndarray) -> str:
    """Hex SHA-256 over ids ``(n, 16)`` in order."""
    return hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()


def _named(raw: dict[str, np.ndarray], operations: Operations, name: str) -> dict[str, torch.Tensor]:
    if operations:
        raise Mismatch(f"{name} gives named inputs {', '.join(raw)}, which take no preprocessing; leave it out")
    return {key: _tensor(values) for key, values in raw.items()}


def _tensor(values: np.ndarray) -> torch.Tensor:
    """A copy; whole numbers other than bytes as int64, which torch computes with wherever it takes them."""
    import torch

    wide = values.dtype.kind in "iu" and values.dtype != np.uint8
    return torch.from_numpy(np.array(values, dtype=np.int64 if wide else values.dtype))
