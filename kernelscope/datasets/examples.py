"""Examples in memory, with an identity each and a fingerprint of their order."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch, UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Examples:
    """Raw inputs as stored, before any preprocessing; order is part of their identity.

    Attributes:
        inputs: shape ``(n, ...)``; images ``(n, c, h, w)``, uint8 or float32.
        labels: shape ``(n,)`` int64, or None.
        ids: shape ``(n, 16)`` uint8, see :func:`example_ids`.
        preprocess: operations that turn raw inputs into what a network takes (see ``preprocess.apply``).
    """

    name: str
    split: str
    inputs: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray
    classes: tuple[str, ...] = ()
    preprocess: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.inputs):
            raise Mismatch(
                f"{self.name} has {len(self.inputs)} inputs and {len(self.labels)} labels; give one label per example"
            )
        if self.ids.shape != (len(self.inputs), 16):
            raise Mismatch(
                f"{self.name} has ids of shape {self.ids.shape}, expected ({len(self.inputs)}, 16); use example_ids"
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
            inputs=self.inputs[rows],
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
        return self.take(np.arange(min(limit, self.n)))

    def batch(self, start: int, stop: int, preprocess: list[dict[str, Any]] | None = None) -> torch.Tensor:
        """Rows ``start:stop`` as a network takes them, float32, through ``preprocess`` or these examples' own."""
        from kernelscope.datasets.preprocess import apply

        return apply(self.preprocess if preprocess is None else preprocess, self.inputs[start:stop])


def example_ids(inputs: np.ndarray) -> np.ndarray:
    """Identity of each example, shape ``(n, 16)`` uint8: BLAKE2b-128 of raw bytes and occurrence among equals.

    It is taken before any transform, so networks with different input sizes still agree on who is who.
    """
    seen: Counter[bytes] = Counter()
    ids = np.empty((len(inputs), 16), np.uint8)
    for row, example in enumerate(inputs):
        content = hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=16)
        alone = content.digest()
        content.update(seen[alone].to_bytes(8, "little"))
        ids[row] = np.frombuffer(content.digest(), np.uint8)
        seen[alone] += 1
    return ids


def order_fingerprint(ids: np.ndarray) -> str:
    """Hex SHA-256 over ids ``(n, 16)`` in order."""
    return hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()
