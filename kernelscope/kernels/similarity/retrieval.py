"""Recall of queries in an index: which share of the k documents that the teacher finds others find too.

Documents are compared by ``cosine``, ``dot`` or ``euclidean``; each becomes a search for the nearest rows: of unit rows
for the cosine, and for the dot product of documents with one feature more, √(M² − ‖x‖²), so that all have length M.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from kernelscope.errors import UsageError
from kernelscope.kernels.row_views import Normalised, RowView, row_lengths
from kernelscope.kernels.rows import Rows, numpy_block, row_blocks
from kernelscope.kernels.similarity.nearest import Index, Shares, tile_rows

Similarity = Literal["cosine", "dot", "euclidean"]
SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
CONFIDENCE = 0.975


def unit_rows(X: np.ndarray) -> np.ndarray:
    """Rows of length 1; those that are all zero stay so."""
    lengths = row_lengths(X)[:, None]
    found: np.ndarray = np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)
    return found


class SameLength(RowView):
    """Rows ``[x, √(M² − ‖x‖²)]``, M the longest: the nearest of them has the largest dot product with a query."""

    def __init__(self, X: Rows) -> None:
        super().__init__(X)
        self.shape = (X.shape[0], X.shape[1] + 1)
        self.longest = max(float(row_lengths(block).max(initial=0.0)) for _, block in row_blocks(X))

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        block = numpy_block(self.X, start, stop).astype(np.float64)
        rest = np.maximum(self.longest**2 - np.einsum("ij,ij->i", block, block), 0.0)
        return np.hstack([block, np.sqrt(rest)[:, None]])


class Documents:
    """An index of rows ``(n, d)`` that queries are looked up in.

    Args:
        memory_bytes: what searching may take; the rows are held in float32 where they fit, else read for each tile.
    """

    def __init__(
        self, X: Rows, similarity: Similarity, *, k: int, device: str = "cpu", memory_bytes: int = 2**29
    ) -> None:
        if similarity not in SIMILARITIES:
            raise UsageError(f"similarity {similarity!r} is not one of {', '.join(SIMILARITIES)}")
        if not 1 <= k < X.shape[0]:
            raise UsageError(f"{k} of {X.shape[0]} documents asked for; ask for 1 to {X.shape[0] - 1}")
        self.similarity, self.k = similarity, k
        rows = Normalised(X) if similarity == "cosine" else SameLength(X) if similarity == "dot" else X
        n, d = rows.shape[0], rows.shape[1]
        self.tile = tile_rows(n, d, k, memory_bytes // 2)
        hold = 4 * n * (d + 2) <= memory_bytes // 2
        self.index = Index(rows, device, tile=self.tile, hold=hold)

    def search(self, queries: np.ndarray, own: np.ndarray | None = None) -> Shares:
        """The k best documents of each query ``(q, d)``, at most ``tile`` of them; ``own``: see ``Index``."""
        if self.similarity == "dot":
            queries = np.hstack([queries, np.zeros((len(queries), 1))])
        elif self.similarity == "cosine":
            queries = unit_rows(queries)
        return self.index.search_for(queries, self.k, own)

    def recalls(self, truth: Shares, found: Shares, queries: int) -> np.ndarray:
        """Of each query, the share of its k true documents that were found, ties shared; shape ``(queries,)``."""
        _, mine, theirs = np.intersect1d(truth.keys, found.keys, assume_unique=True, return_indices=True)
        common = np.minimum(truth.share[mine], found.share[theirs])
        each: np.ndarray = np.bincount(truth.keys[mine] // self.index.n, weights=common, minlength=queries) / self.k
        return each


def mean_recall(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """By Student's t over queries; where all are alike, three in q may still be others (95 %)."""
    n, mean = len(values), float(values.mean())
    half = float(stdtrit(n - 1, CONFIDENCE)) * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 1.0
    half = max(half, 3 / n)
    return mean, (max(0.0, mean - half), min(1.0, mean + half))


def ratio(values: np.ndarray, to: np.ndarray) -> tuple[float, tuple[float, float]] | None:
    """Mean of ``values`` over the mean of ``to``, of the same queries; None where the latter is 0."""
    n, below = len(values), float(to.mean())
    if below <= 0 or n < 2:
        return None
    found = float(values.mean()) / below
    spread = float((values - found * to).std(ddof=1)) / (below * math.sqrt(n))
    half = max(float(stdtrit(n - 1, CONFIDENCE)) * spread, 3 / n)
    return found, (max(0.0, found - half), found + half)
