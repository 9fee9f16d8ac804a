"""Sums by class, taken beside the Grams in one pass: class means are the landmarks that need no second one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange
from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.column_grid import row_squares, worth
from kernelscope.kernels.nystrom.clusters import sum_by_group
from kernelscope.kernels.rounding import Two, added, in_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.distance.column_grid import Grid
    from kernelscope.kernels.rows import Key, Rows
    from kernelscope.kernels.shares import Share


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Of the L classes with the ``labels`` ``(L,)``, ascending, and ``counts`` n_l of rows.

    By layer, ``sums`` Σ_{i in l} x_i, shape ``(L, d)``, and ``squares`` Σ_{i in l} ‖x_i‖², shape ``(L,)``. Rows with a
    negative label are of no class.
    """

    labels: np.ndarray
    counts: np.ndarray
    sums: dict[Key, Two]
    squares: dict[Key, Two]

    def means(self, key: Key) -> np.ndarray:
        """Class means of a layer, shape ``(L, d)``."""
        found: np.ndarray = self.sums[key][0] / self.counts[:, None]
        return found

    def of_all(self, share: Share) -> ClassSums:
        """Of the rows of all processes, of which this one has seen its share and knows all labels."""
        if share.parts == 1:
            return self
        total: list[Two] | None = None
        for arrays in exchange.in_turn(in_parts([*self.sums.values(), *self.squares.values()])):
            own: list[Two] = [*zip(arrays[::2], arrays[1::2])]
            total = own if total is None else [added(a, b) for a, b in zip(total, own)]
        assert total is not None
        sums, squares = total[: len(self.sums)], total[len(self.sums) :]
        return ClassSums(self.labels, self.counts, dict(zip(self.sums, sums)), dict(zip(self.squares, squares)))

    def merged(self, other: ClassSums) -> ClassSums:
        """Of the rows of both, in a new value."""
        labels = np.union1d(self.labels, other.labels)
        places = np.searchsorted(labels, self.labels), np.searchsorted(labels, other.labels)
        counts = np.zeros(len(labels), np.int64)
        for each, place in zip((self, other), places):
            counts[place] += each.counts

        def both(one: dict[Key, Two], two: dict[Key, Two]) -> dict[Key, Two]:
            return {
                key: added(*(_spread(of[key], place, len(labels)) for of, place in zip((one, two), places)))
                for key in one
            }

        return ClassSums(labels, counts, both(self.sums, other.sums), both(self.squares, other.squares))


def _spread(values: Two, places: np.ndarray, m: int) -> Two:
    """The rows of both parts at their places among m, the others 0."""
    parts = [np.zeros((m, *values[0].shape[1:])) for _ in values]
    for into, part in zip(parts, values):
        if part is not None:
            into[places] = part
    return parts[0], parts[1]


class ClassSummation:
    """What :func:`kernelscope.kernels.distance.layer_grid.layer_sums` calls with every block of rows.

    Args:
        labels: the class of each row, shape ``(n,)``, whole numbers; negative ones mean no class.
        grid: that rows are rounded to; sums are then exact, of ‖x_i‖² of 36 bits.

    Raises:
        Mismatch: no row has a class.
    """

    def __init__(self, labels: np.ndarray, layers: Mapping[Key, Rows], grid: Grid | None = None) -> None:
        labels = np.asarray(labels)
        self._labels, groups = np.unique(labels[labels >= 0], return_inverse=True)
        m = len(self._labels)
        if m == 0:
            raise Mismatch("no example has a label, so there are no class means; check the labels")
        self._groups = np.full(len(labels), -1)
        self._groups[labels >= 0] = groups
        self._grid = grid
        self._sums: dict[Key, Two] = {
            key: (np.zeros((m, X.shape[1])), np.zeros((m, X.shape[1]))) for key, X in layers.items()
        }
        self._squares: dict[Key, Two] = dict.fromkeys(layers, (np.zeros(m), np.zeros(m)))

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        for key, rows in block.items():
            X, m = rows.astype(np.float64, copy=False), len(self._labels)
            groups = self._groups[start : start + len(X)]
            with np.errstate(over="ignore", invalid="ignore"):  # features that are not finite are named later
                own = sum_by_group(X, groups, m)
                self._sums[key] = added(self._sums[key], (own, np.zeros_like(own)))
                digits, powers = row_squares(self._grid, key, X)
                for digit, power in zip(sum_by_group(digits, groups, m).T, powers):
                    whole = np.ldexp(digit, power)
                    self._squares[key] = added(self._squares[key], (whole, np.zeros(m)))

    def total(self) -> ClassSums:
        """Of all rows seen."""
        counts = np.bincount(self._groups[self._groups >= 0], minlength=len(self._labels))
        sums = self._sums
        if (grid := self._grid) is not None:
            sums = {key: worth(own, grid.powers(key)) for key, own in sums.items()}
        return ClassSums(self._labels, counts, sums, self._squares)
