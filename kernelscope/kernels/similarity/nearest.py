"""Exact nearest neighbours: float32 products rule out what cannot be near, float64 differences decide the rest.

``‖q − x‖²`` orders the rows as ``q·x − ‖x‖²/2`` does. One product of rows with three columns more gives an upper
bound of that, its rounding included; a row is dropped only if its upper bound lies below the k-th largest lower
bound. What is left, some k rows a query, is measured again as a sum of squared differences in float64. Against
measuring every distance in float64 that is 2 to 3 times as fast at n = 10,000, and 8 to 11 times at n = 100,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelscope.errors import ResourceError
from kernelscope.kernels.full_precision import full_precision
from kernelscope.kernels.rounding import SINGLE_ROUNDOFF, UNIT_ROUNDOFF, gamma
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import Rows, numpy_block, row_blocks, take_rows
from kernelscope.kernels.scales import near_one

TILE_ROWS = 4096  #: queries, and rows of the index, whose products are formed together
LEAST_TILE = 64
CACHED_ROWS = 256  #: candidates measured at a time, so that their differences stay in cache
GROUP = 64  #: columns whose maximum is compared first
SQUARABLE = 30  #: powers of two from 1 whose squares float32 holds, of rows of any width
MOST_CANDIDATES = 48  #: per query and neighbour; with more, as where many rows are equal, everything is measured


@dataclass(frozen=True, eq=False)
class Shares:
    """Places among the k nearest, for a block of queries.

    ``keys``: query · n + row, sorted; ``share``: what part of a place each has, 1, or less where rows are tied at the
    k-th; ``tied`` queries have such a tie.
    """

    keys: np.ndarray
    share: np.ndarray
    tied: int

    def common(self, other: Shares) -> float:
        """Places that both name: Σ min of the two shares, so that equal answers have all places in common."""
        _, mine, theirs = np.intersect1d(self.keys, other.keys, assume_unique=True, return_indices=True)
        return float(np.minimum(self.share[mine], other.share[theirs]).sum())


def tile_rows(n: int, d: int, k: int, memory_bytes: int) -> int:
    """Queries that are searched together among n rows of d features, so that what is formed fits in ``memory_bytes``.

    Raises:
        ResourceError: not even a few do.
    """
    rows, candidates = min(TILE_ROWS, n), min(n, MOST_CANDIDATES * k)
    while (needed := rows * (13 * rows + 64 * candidates + 32 * d)) > memory_bytes:
        rows //= 2
        if rows < LEAST_TILE:
            raise ResourceError(f"{memory_bytes:,} bytes do not hold {needed:,} for {k} neighbours; raise --max-memory")
    return rows


class Index:
    """Rows to be searched, in float32 about their mean; of several processes each has all of them.

    Args:
        tile: rows whose products with queries are formed together, see :func:`tile_rows`.
        hold: keep all rows as they are searched, 4 n (d + 2) bytes; else they are formed from X for each tile.
    """

    def __init__(self, X: Rows, device: str = "cpu", *, tile: int = TILE_ROWS, hold: bool = True) -> None:
        self.device, self.tile = device, tile
        self.n, d = X.shape
        total, largest = np.zeros(d), 0.0
        for _, block in row_blocks(X):
            total += block.sum(axis=0)
            largest = max(largest, float(np.abs(block).max()))
        self.scale = near_one(largest, SQUARABLE)
        self.X = X = X if self.scale == 1 else Affine(X, scale=self.scale)
        self.mean = total / self.n * self.scale
        self.error = gamma(d + 8, SINGLE_ROUNDOFF)
        self.lengths = np.empty(self.n)
        held = np.empty((self.n, d + 2), np.float32) if hold else None
        for start, block in row_blocks(X):
            part = block - self.mean
            stop = start + len(part)
            self.lengths[start:stop] = np.sqrt(np.einsum("ij,ij->i", part, part))
            if held is not None:
                self._widen(part, start, out=held[start:stop])
        self.held = None if held is None else self.placed(held)
        self.room: Any = None

    def rows(self, start: int, stop: int) -> Any:
        """Rows of the index, each with what its upper bound needs in two columns more."""
        if self.held is not None:
            return self.held[start:stop]
        part = numpy_block(self.X, start, stop) - self.mean
        return self.placed(self._widen(part, start, out=np.empty((len(part), len(self.mean) + 2), np.float32)))

    def _widen(self, part: np.ndarray, start: int, out: np.ndarray) -> np.ndarray:
        lengths = self.lengths[start : start + len(part)]
        out[:, :-2] = part
        out[:, -2] = -0.5 * (1 - 4 * self.error) * np.square(lengths)
        out[:, -1] = 2 * self.error * lengths
        return out

    def placed(self, values: np.ndarray) -> Any:
        """Values where products are formed: NumPy's array on the CPU, else a torch tensor."""
        if self.device == "cpu":
            return values
        import torch

        return torch.from_numpy(values).to(self.device)

    def search(self, start: int, stop: int, k: int, Q: Rows | None = None) -> Shares:
        """The k nearest rows of queries ``start:stop``, none of them the query's own number.

        Args:
            Q: where the queries' features are, shape ``(n, d)``; by default the index itself.
        """
        queries = numpy_block(self.X if Q is None else Q, start, stop).astype(np.float64)
        if Q is not None:
            queries *= self.scale
        return self._search(queries, k, np.arange(start, stop))

    def search_for(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> Shares:
        """The k nearest rows of any queries, shape ``(q, d)``.

        Args:
            own: the row that each query is itself, which is then not found; −1, or None for all, where it is none.
        """
        return self._search(queries * self.scale, k, np.full(len(queries), -1) if own is None else own)

    def _search(self, queries: np.ndarray, k: int, own: np.ndarray) -> Shares:
        found = self._candidates(queries - self.mean, own, k)
        if found is None:
            return self._all_measured(queries, own, k)
        query, row = found
        distances = self._measured(queries, query, row)
        return _shares(distances, query, row, k, self.n, 16 * queries.shape[1] * UNIT_ROUNDOFF)

    def _candidates(self, centred: np.ndarray, own: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(query, row) of every row that may be among the k nearest, queries in order; None if they are too many."""
        count, d = centred.shape
        if self.n <= 8 * k or self.n < GROUP:
            return None
        wide = np.ones((count, d + 2), np.float32)
        wide[:, :d] = centred
        lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
        wide[:, d + 1] = lengths
        Q, pool = self.placed(wide), _Pool(count, k, lengths, self)
        for first in range(0, self.n, self.tile):
            rows = self.rows(first, min(first + self.tile, self.n))
            upper = self._product(Q, rows)
            here = np.flatnonzero((own >= first) & (own < first + len(rows)))
            upper[here, own[here] - first] = -np.inf
            pool.add(upper, first)
            if pool.overflows:
                return None
        return pool.finished()

    def _product(self, Q: Any, rows: Any) -> Any:
        """``Q rowsᵀ`` in the same room every time: fresh memory costs more than the comparison it is for."""
        wanted = len(Q) * len(rows)
        if self.room is None or len(self.room) < wanted:
            self.room = self.placed(np.empty(wanted, np.float32))
        room = self.room[:wanted].reshape(len(Q), len(rows))
        if self.device == "cpu":
            return np.matmul(Q, rows.T, out=room)
        import torch

        with full_precision():
            return torch.mm(Q, rows.T, out=room)

    def _measured(self, queries: np.ndarray, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        """‖q − x‖² of each candidate, in float64."""
        distances = np.empty(len(row))
        step = max(1, 2**10 * self.tile // queries.shape[1])
        for low in range(0, len(row), step):
            wanted, where = np.unique(row[low : low + step], return_inverse=True)
            rows = take_rows(self.X, wanted)
            for begin in range(low, min(low + step, len(row)), CACHED_ROWS):
                part = slice(begin, min(begin + CACHED_ROWS, low + step))
                gap = rows[where[part.start - low : part.stop - low]] - queries[query[part]]
                distances[part] = np.einsum("ij,ij->i", gap, gap)
        return distances

    def _all_measured(self, queries: np.ndarray, own: np.ndarray, k: int) -> Shares:
        """Every distance of these queries in float64, for few rows, or where many are equally far."""
        answers = []
        step = max(1, 2**11 * self.tile // self.n)
        for low in range(0, len(queries), step):
            part = queries[low : low + step] - self.mean
            lengths = np.einsum("ij,ij->i", part, part)
            distances = np.empty((len(part), self.n))
            for first, block in row_blocks(self.X):
                index = block - self.mean
                squares = np.einsum("ij,ij->i", index, index)
                distances[:, first : first + len(block)] = lengths[:, None] + squares - 2 * (part @ index.T)
            here = np.flatnonzero(own[low : low + len(part)] >= 0)
            distances[here, own[low + here]] = np.inf
            noise = 4 * gamma(queries.shape[1] + 4) * (np.sqrt(lengths) + self.lengths.max()) ** 2
            near = distances <= (np.partition(distances, k - 1, axis=1)[:, k - 1] + noise)[:, None]
            query, row = np.nonzero(near)
            answers.append(_shares(distances[near], query, row, k, self.n, 0.0, noise))
            answers[-1].keys[:] += low * self.n
        return Shares(
            np.concatenate([a.keys for a in answers]),
            np.concatenate([a.share for a in answers]),
            sum(a.tied for a in answers),
        )


class _Pool:
    """Candidates of a block of queries, and for each query what a row's upper bound must reach."""

    def __init__(self, count: int, k: int, lengths: np.ndarray, index: Index) -> None:
        self.count, self.k, self.index = count, k, index
        self.lengths = lengths
        self.query, self.row = np.empty(0, np.int64), np.empty(0, np.int64)
        self.lower, self.upper = np.empty(0), np.empty(0)
        self.fresh: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.waiting = 0
        self.needed = np.full(count, -np.inf)
        self.threshold = index.placed(np.full((count, 1), -np.inf, np.float32))

    @property
    def overflows(self) -> bool:
        return len(self.query) + self.waiting > MOST_CANDIDATES * self.k * self.count

    def add(self, upper: Any, first: int) -> None:
        """Take in a block of upper bounds ``(count, rows)`` of the index's rows from ``first``."""
        if first == 0:
            self._start(upper)
        whole = upper.shape[1] // GROUP * GROUP
        grouped = upper[:, :whole].reshape(self.count, -1, GROUP)
        highest = grouped.max(2) if isinstance(upper, np.ndarray) else grouped.amax(2)
        query, group = _places(highest >= self.threshold)
        values = grouped[query, group]
        hit, column = _places(values >= self.threshold[query])
        self._take(query[hit], group[hit] * GROUP + column, values[hit, column], first)
        if whole < upper.shape[1]:
            query, column = _places(upper[:, whole:] >= self.threshold)
            self._take(query, column + whole, upper[query, column + whole], first)
        if self.waiting > self.count * self.k // 2:
            self._sift()

    def _start(self, upper: Any) -> None:
        """A first threshold, from the best of the first block; they are taken in with all others that reach it."""
        if upper.shape[1] < self.k:
            return
        if isinstance(upper, np.ndarray):
            row = np.argpartition(upper, -self.k, axis=1)[:, -self.k :]
            best = np.take_along_axis(upper, row, axis=1)
        else:
            best, row = (part.cpu().numpy() for part in upper.topk(self.k, dim=1))
        self._require(self._lower(np.arange(self.count)[:, None], row, best.astype(np.float64)).min(axis=1))

    def _take(self, query: Any, column: Any, value: Any, first: int) -> None:
        self.fresh.append((_numpy(query), _numpy(column) + first, _numpy(value).astype(np.float64)))
        self.waiting += len(query)

    def _sift(self) -> None:
        """Raise what must be reached to the k-th largest lower bound, and drop what does not reach it."""
        query, row, upper = (np.concatenate(parts) for parts in zip(*self.fresh))
        self.fresh, self.waiting = [], 0
        lower = np.concatenate([self.lower, self._lower(query, row, upper)])
        query, row = np.concatenate([self.query, query]), np.concatenate([self.row, row])
        upper = np.concatenate([self.upper, upper])
        order = np.lexsort((-lower, query))
        query, row, lower, upper = query[order], row[order], lower[order], upper[order]
        begins = np.searchsorted(query, np.arange(self.count + 1))
        has = np.diff(begins) >= self.k
        needed = self.needed.copy()
        needed[has] = lower[begins[:-1][has] + self.k - 1]
        self._require(needed)
        kept = upper >= needed[query]
        self.query, self.row, self.lower, self.upper = query[kept], row[kept], lower[kept], upper[kept]

    def _lower(self, query: np.ndarray, row: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """What q·x − ‖x‖²/2 is at least, where ``upper`` came out for what it is at most."""
        lengths = self.index.lengths[row]
        lower: np.ndarray = upper - 4 * self.index.error * lengths * (self.lengths[query] + lengths)
        return lower

    def _require(self, needed: np.ndarray) -> None:
        self.needed = needed
        below = np.nextafter(needed.astype(np.float32), np.float32(-np.inf))
        self.threshold = self.index.placed(below)[:, None]

    def finished(self) -> tuple[np.ndarray, np.ndarray]:
        if self.waiting:
            self._sift()
        return self.query, self.row


def _places(mask: Any) -> Any:
    """Where a mask is true, by dimension."""
    return mask.nonzero() if isinstance(mask, np.ndarray) else mask.nonzero(as_tuple=True)


def _numpy(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else np.asarray(values.cpu().numpy())


def _shares(
    distances: np.ndarray,
    query: np.ndarray,
    row: np.ndarray,
    k: int,
    n: int,
    relative: float,
    absolute: np.ndarray | None = None,
) -> Shares:
    """Places from candidates' distances, queries in order: whole ones below the k-th distance, shared ones at it."""
    count = int(query[-1]) + 1
    begins = np.searchsorted(query, np.arange(count + 1))
    order = np.lexsort((distances, query))
    kth = distances[order][begins[:-1] + k - 1]
    slack = kth * relative if absolute is None else absolute
    nearer = distances < (kth - slack)[query]
    at = ~nearer & (distances <= (kth + slack)[query])
    whole, sharing = (np.bincount(query[mask], minlength=count) for mask in (nearer, at))
    share = np.where(nearer, 1.0, ((k - whole) / sharing)[query])
    kept = nearer | at
    keys = query[kept] * n + row[kept]
    ordered = np.argsort(keys, kind="stable")
    return Shares(keys[ordered], share[kept][ordered], int(np.count_nonzero(sharing > k - whole)))
