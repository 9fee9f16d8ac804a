"""The first examples of stored features: a slice, which costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.datasets.examples import order_fingerprint
from kernelscope.errors import Mismatch, UsageError
from kernelscope.kernels.row_views import First

if TYPE_CHECKING:
    from kernelscope.features.protocol import Features
    from kernelscope.kernels.rows import Rows


class FirstRows:
    """The first n examples of ``whole``, as features of their own; their top-1 is not known."""

    def __init__(self, whole: Features, n: int) -> None:
        self._whole, self.n = whole, n
        self.path, self.layers, self.classes = whole.path, whole.layers, whole.classes
        self.ids = None if whole.ids is None else whole.ids[:n]
        self.labels = None if whole.labels is None else np.asarray(whole.labels[:n])
        self.order_sha256 = None if self.ids is None else order_fingerprint(np.asarray(self.ids))
        self.checkpoint_sha256, self.arch, self.top1 = whole.checkpoint_sha256, whole.arch, None
        self.notes, self.kept = (*whole.notes, f"the first {n:,} of {whole.n:,} rows"), whole.kept

    def features(self, layer: str) -> Rows:
        """The layer's first rows."""
        X = self._whole.features(layer)
        return X[: self.n] if isinstance(X, np.ndarray) else First(X, self.n)

    def pool(self, layer: str) -> str | None:
        return self._whole.pool(layer)


def first_rows(whole: Features, *, n: int | None, limit: int | None) -> Features:
    """The first ``n`` or ``limit`` examples, the fewer of both; everything where neither is given.

    Raises:
        Mismatch: fewer than n. UsageError: a count below 1.
    """
    if n is not None and whole.n < n:
        raise Mismatch(f"{whole.path} has {whole.n} of the {n} examples asked for; lower --n")
    most = min((count for count in (n, limit) if count is not None), default=whole.n)
    if most < 1:
        raise UsageError(f"{most} examples were asked for, expected at least 1 of {whole.n}; leave it out for all")
    return whole if most >= whole.n else FirstRows(whole, most)
