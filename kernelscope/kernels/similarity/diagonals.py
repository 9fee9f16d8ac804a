"""Inner products of the diagonals of centred kernels from sums of one pass: debiased CKA and chance without rows.

With a_i = ‖x_i‖², b_i = ‖y_i‖² and means μ, ν the centred diagonals are k_i = a_i − 2 μᵀx_i + ‖μ‖² and alike l_i, so

    Σ k_i l_i = Σ a_i b_i − 2 νᵀ Σ a_i y_i − 2 μᵀ Σ b_i x_i + 4 μᵀ XᵀY ν + ‖ν‖² Σ a_i + ‖μ‖² Σ b_i − 3 n ‖μ‖² ‖ν‖²

which loses the digits that the means carry, squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.distance.gram import GramSums
    from kernelscope.kernels.distance.layer_grid import Key
    from kernelscope.kernels.rows import Rows

MOST_MEAN = 1e3  #: largest ratio of ‖X‖² to ‖X − mean‖² for which ten digits are left


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Of K layers in the order of ``layers``, a_i being the vector of their ‖x_i‖².

    ``products`` Σ_i a_i a_iᵀ, shape ``(K, K)``, and by layer ``weighted`` Σ_i a_i x_iᵀ, shape ``(K, d)``.
    """

    layers: tuple[Key, ...]
    products: np.ndarray
    weighted: dict[Key, np.ndarray]

    def merged(self, other: Diagonals) -> Diagonals:
        """Of the rows of both, in a new value."""
        weighted = {key: rows + other.weighted[key] for key, rows in self.weighted.items()}
        return Diagonals(self.layers, self.products + other.products, weighted)

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
            found = self.products[a, b] - 2 * nu @ self.weighted[y][a] - 2 * mu @ self.weighted[x][b]
            return float(found + 4 * mu @ cross @ nu + w * traces[x] + m * traces[y] - 3 * n * m * w)

        return (
            inner(student, student, sums.G_SS),
            inner(teacher, teacher, sums.G_TT),
            inner(student, teacher, sums.G_ST),
        )


class DiagonalSummation:
    """What :func:`kernelscope.kernels.distance.layer_grid.layer_sums` calls with every block of rows."""

    def __init__(self, layers: Mapping[Key, Rows]) -> None:
        self._layers = tuple(layers)
        self._products = np.zeros((len(layers), len(layers)))
        self._weighted = {key: np.zeros((len(layers), X.shape[1])) for key, X in layers.items()}

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # features that are not finite are named later
            rows = {key: X.astype(np.float64, copy=False) for key, X in block.items()}
            squares = np.stack([np.einsum("ij,ij->i", rows[key], rows[key]) for key in self._layers])
            self._products += squares @ squares.T
            for key, X in rows.items():
                self._weighted[key] += squares @ X

    def total(self) -> Diagonals:
        """Of all rows seen."""
        return Diagonals(self._layers, self._products, self._weighted)
