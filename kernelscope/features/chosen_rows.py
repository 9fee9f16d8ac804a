"""Some examples of stored features: the first ones, which cost nothing, or those that a seed drew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.datasets.examples import order_fingerprint
from kernelscope.datasets.sampling import Drawn
from kernelscope.errors import Mismatch, UsageError, shown
from kernelscope.features.id_keys import identities
from kernelscope.kernels.row_views import First, Reordered

if TYPE_CHECKING:
    from kernelscope.features.protocol import Features
    from kernelscope.kernels.rows import Rows


class ChosenRows:
    """Some examples of ``whole``, as features of their own; their top-1 is not known."""

    def __init__(self, whole: Features, chosen: Drawn) -> None:
        self._whole, self._rows, self.n = whole, chosen.rows, len(chosen.rows)
        self._are_first = self.n == 0 or int(chosen.rows[-1]) == self.n - 1  # ascending
        self.path, self.layers, self.classes = whole.path, whole.layers, whole.classes
        self.ids = None if whole.ids is None else self._of(whole.ids)
        self.labels = None if whole.labels is None else np.asarray(whole.labels)[self._rows]
        self.order_sha256 = None if self.ids is None else order_fingerprint(np.asarray(self.ids))
        self.checkpoint_sha256, self.arch, self.top1 = whole.checkpoint_sha256, whole.arch, None
        self.notes, self.kept = (*whole.notes, chosen.note), whole.kept

    def features(self, layer: str) -> Rows:
        """The layer's rows."""
        X = self._whole.features(layer)
        if isinstance(X, np.ndarray):
            rows: np.ndarray = self._of(X)
            return rows
        return First(X, self.n) if self._are_first else Reordered(X, self._rows)

    def pool(self, layer: str) -> str | None:
        return self._whole.pool(layer)

    def _of(self, X: Rows) -> np.ndarray:
        found: np.ndarray = X[: self.n] if self._are_first else np.asarray(X[:])[self._rows]
        return found


def first_rows(whole: Features, *, n: int | None, limit: int | None) -> Drawn | None:
    """The first ``n`` or ``limit`` examples, the fewer of both; None where that is everything.

    Raises:
        Mismatch: fewer than n. UsageError: a count below 1.
    """
    if n is not None and whole.n < n:
        raise Mismatch(f"{whole.path} has {whole.n} of the {n} examples asked for; lower --n")
    most = min((count for count in (n, limit) if count is not None), default=whole.n)
    if most < 1:
        raise UsageError(f"{most} examples were asked for, expected at least 1 of {whole.n}; leave it out for all")
    return None if most >= whole.n else Drawn(np.arange(most), whole.n, f"the first {most:,} of {whole.n:,} rows")


def drawn_rows(whole: Features, drawn: Drawn, ids: Rows | None) -> Drawn:
    """The same examples among the rows of ``whole``: by ``ids``, in its own order, where it has them in another one.

    Raises:
        Mismatch: other examples than the sample is of.
    """
    if whole.n != drawn.of:
        raise Mismatch(
            f"{shown(whole.path)} has {whole.n:,} examples and the sample was drawn of {drawn.of:,}; "
            "give both of the same data"
        )
    if ids is None or whole.ids is None:
        return drawn
    own, wanted = identities(np.asarray(whole.ids[:])), identities(np.asarray(ids[:]))
    if [own[row] for row in drawn.rows] == wanted:
        return drawn
    among = set(wanted)
    rows = np.array([row for row, identity in enumerate(own) if identity in among], np.int64)
    # where others are among them, the pair of both says so
    return drawn if len(rows) != len(wanted) else Drawn(rows, drawn.of, drawn.note)
