"""Inner products of the diagonals of centred kernels from sums of one pass: debiased CKA and chance without rows.

With a_i = ‖x_i‖², b_i = ‖y_i‖² and means μ, ν the centred diagonals are k_i = a_i − 2 μᵀx_i + ‖μ‖² and alike l_i, so

    Σ k_i l_i = Σ a_i b_i − 2 νᵀ Σ a_i y_i − 2 μᵀ Σ b_i x_i + 4 μᵀ XᵀY ν + ‖ν‖² Σ a_i + ‖μ‖² Σ b_i − 3 n ‖μ‖² ‖ν‖²

which loses the digits that the means carry, squared.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange
from kernelscope.kernels.distance.column_grid import row_squares, worth
from kernelscope.kernels.rounding import Two, added, in_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.distance.column_grid import Grid
    from kernelscope.kernels.distance.gram import GramSums
    from kernelscope.kernels.rows import Key, Rows
    from kernelscope.kernels.shares import Share

MOST_MEAN = 1e3  #: largest ratio of ‖X‖² to ‖X − mean‖² for which ten digits are left


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Of K layers in the order of ``layers``, a_i being the vector of their ‖x_i‖².

    ``products`` Σ_i a_i a_iᵀ, shape ``(K, K)``, and by layer ``weighted`` Σ_i a_i x_iᵀ, shape ``(K, d)``.
    """

    layers: tuple[Key, ...]
    products: Two
    weighted: dict[Key, Two]

    def merged(self, other: Diagonals) -> Diagonals:
        """Of the rows of both, in a new value."""
        weighted = {key: added(rows, other.weighted[key]) for key, rows in self.weighted.items()}
        return Diagonals(self.layers, added(self.products, other.products), weighted)

    def of_all(self, share: Share) -> Diagonals:
        """Of the rows of all processes, of which this one has seen its share."""
        if share.parts == 1:
            return self
        found = []
        for arrays in exchange.in_turn(in_parts([self.products, *self.weighted.values()])):
            products, *weighted = zip(arrays[::2], arrays[1::2])
            found.append(Diagonals(self.layers, products, dict(zip(self.weighted, weighted))))
        return functools.reduce(Diagonals.merged, found)

    def centred(self, sums: GramSums, student: Key, teacher: Key) -> tuple[float, float, float] | None:
        """``kᵀk``, ``lᵀl`` and ``kᵀl`` of two layers with these sums; None where means carry too much of them."""
        if not sums.mean_share() <= MOST_MEAN:
            return None
        d_S, n = sums.d_student, sums.n
        means = {student: sums.sums[:d_S] / n, teacher: sums.sums[d_S:] / n}
        traces = {student: sums.trace_student, teacher: sums.trace_teacher}

        def inner(x: Key, y: Key, cross: np.ndarray) -> float:
            a, b = self.layers.index(x), self.layers.index(y)
            mu, nu = means[x], means[y]
            m, w = float(mu @ mu), float(nu @ nu)
            found = self.products[0][a, b] - 2 * nu @ self.weighted[y][0][a] - 2 * mu @ self.weighted[x][0][b]
            return float(found + 4 * mu @ cross @ nu + w * traces[x] + m * traces[y] - 3 * n * m * w)

        return (
            inner(student, student, sums.G_SS),
            inner(teacher, teacher, sums.G_TT),
            inner(student, teacher, sums.G_ST),
        )


class DiagonalSummation:
    """What :func:`kernelscope.kernels.distance.layer_grid.layer_sums` calls with every block of rows.

    Args:
        grid: that its rows are rounded to; sums are then exact, of ‖x_i‖² of 36 bits.
    """

    def __init__(self, layers: Mapping[Key, Rows], grid: Grid | None = None) -> None:
        self._layers, self._grid = tuple(layers), grid
        self._products: Two | None = None
        self._weighted: dict[Key, Two] = {}
        self._powers: list[int] = []

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # features that are not finite are named later
            rows = {key: X.astype(np.float64, copy=False) for key, X in block.items()}
            found = [row_squares(self._grid, key, rows[key]) for key in self._layers]
            squares = np.hstack([digits for digits, _ in found])  # of each layer one digit, or more on a grid
            self._powers = [power for _, powers in found for power in powers]
            products = squares.T @ squares
            self._products = _summed(self._products, products)
            for key, X in rows.items():
                self._weighted[key] = _summed(self._weighted.get(key), squares.T @ X)

    def total(self) -> Diagonals:
        """Of all rows seen."""
        assert self._products is not None
        powers, each = np.array(self._powers), len(self._powers) // len(self._layers)
        products = _gathered(worth(self._products, powers[:, None] + powers), each, both=True)
        weighted = {
            key: _gathered(worth(rows, powers[:, None] + (0 if self._grid is None else self._grid.powers(key))), each)
            for key, rows in self._weighted.items()
        }
        return Diagonals(self._layers, products, weighted)


def _summed(before: Two | None, own: np.ndarray) -> Two:
    return added(before or (np.zeros_like(own), np.zeros_like(own)), (own, np.zeros_like(own)))


def _gathered(numbers: Two, each: int, both: bool = False) -> Two:
    """Sums over the ``each`` digits of every layer, which follow one another along the first axis, or along both."""
    found = numbers[0][::each], None if numbers[1] is None else numbers[1][::each]
    for digit in range(1, each):
        found = added(found, (numbers[0][digit::each], None if numbers[1] is None else numbers[1][digit::each]))
    if both:
        (high, low) = _gathered((found[0].T, None if found[1] is None else found[1].T), each)
        return high.T, None if low is None else low.T
    return found
