"""GULP: what any ridge probe would notice between two networks (Boix-Adserà and others 2022; THEORY E.7).

With centred X, ``Σ = Xᵀ X / n`` and ``λ = ρ tr(Σ) / d`` for each network, ``H = X (Σ + λI)⁻¹ Xᵀ / n`` is what a ridge
regression on these features makes of any targets, and

    gulp = ‖H_S − H_T‖_F,        gulp² = T1 + T2 − 2 T3 of their paper, from G_SS, G_TT and G_ST in O(d³).

H is the linear kernel of the whitened rows ``X (Σ + λI)^(−½) / √n``, so that everything said of linear kernels holds of
it too: the loss under it is gulp / ‖H_T‖_F. Whitening rounds, by an amount that is estimated and not proved.
"""

from __future__ import annotations

import math

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.accumulate import OwnSum, summation_chain
from kernelscope.kernels.derived import Projected
from kernelscope.kernels.exact import ScaledSums, loss_from_sums, well_scaled_sums
from kernelscope.kernels.gram import without_mean
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.rows import (
    BLOCK_ROWS,
    Affine,
    Rows,
    entry_error,
    is_constant,
    largest_entry,
    numpy_block,
    require_finite,
    row_blocks,
    storage_roundoff,
)

RHO = 1e-2  #: λ as a share of the mean eigenvalue of Σ
CANCELS = 1e-4  #: share of T1 + T2 below which their difference would cancel, and whitened rows are compared


def gulp(centred: ScaledSums, rho: float = RHO) -> float | None:
    """‖H_S − H_T‖_F >= 0, at most ``√(rank_S + rank_T)``; 0 for features equal up to rotation, scale and shift.

    Args:
        centred: from :func:`kernelscope.kernels.companions.centred`. Two passes more over the rows where the networks
            are nearly equal.
        rho: λ over the mean eigenvalue of Σ, of each network.

    None where a network's features are constant, and where rows that cannot be read again are too close to tell.
    """
    sums = centred.sums
    if min(sums.trace_student, sums.trace_teacher) <= 0:
        return None
    if centred.same:
        return 0.0
    A_S, A_T = _root(sums.G_SS, rho), _root(sums.G_TT, rho)
    both = frobenius(A_S.T @ sums.G_SS @ A_S) ** 2 + frobenius(A_T.T @ sums.G_TT @ A_T) ** 2
    squared = both - 2 * frobenius(A_S.T @ sums.G_ST @ A_T) ** 2
    if squared > CANCELS * both:
        return math.sqrt(squared)
    if centred.once:
        return None
    rows = Projected(centred.student, A_S), Projected(centred.teacher, A_T)
    return loss_from_sums(well_scaled_sums(student=rows[0], teacher=rows[1], means=False)).norm_difference


def _root(gram: np.ndarray, rho: float) -> np.ndarray:
    """``(Σ + λI)^(−½) / √n`` from ``G = n Σ``, up to a rotation: ``V (w + n λ)^(−½)``."""
    values, vectors = np.linalg.eigh(gram)
    root: np.ndarray = vectors / np.sqrt(np.maximum(values, 0.0) + rho * float(np.trace(gram)) / len(gram))
    return root


class Whitened:
    """Rows ``X (Σ + λI)^(−½) / √n`` of centred X, up to a rotation, formed block by block: their linear kernel is H.

    Seven passes over the rows to know Σ, and what rounding does to it.

    Raises:
        DegenerateKernel: features that are the same for all examples, which centring leaves nothing of.
    """

    estimated = True  #: :meth:`entry_error` is no proof: see :func:`kernelscope.kernels.rows.is_proved`

    def __init__(self, X: Rows, rho: float = RHO, name: str = "features") -> None:
        require_finite(X, name)
        if is_constant(X):
            raise DegenerateKernel(
                f"{name} are the same for all examples, so centring leaves nothing to whiten; check the layer"
            )
        middle = without_mean(X)
        self.X = Affine(middle, scale=2.0 ** -min(1000, math.frexp(largest_entry(middle))[1]))
        self.shape = X.shape
        own, length = OwnSum(X.shape[1], means=False), 0.0
        for (_, block), (_, stored) in zip(row_blocks(self.X), row_blocks(X)):
            own.add(np.ascontiguousarray(block).T)
            length = math.hypot(length, self.X.scale * float(np.linalg.norm(stored)))
        gram = own.gram()
        trace = float(np.trace(gram))
        least = rho * trace / len(gram)  # n λ, so that 1 / √least bounds ‖A‖_2
        self._A = _root(gram, rho)
        self.form = np.append(self._A.ravel(), self.X.form)
        self.storage_roundoff = storage_roundoff(X) * length / math.sqrt(least) / frobenius(gram @ self._A @ self._A.T)
        self._error = self._formed(gram, math.sqrt(trace), least)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        product: np.ndarray = numpy_block(self.X, *rows.indices(self.shape[0])[:2]) @ self._A
        return product

    def _formed(self, gram: np.ndarray, length: float, least: float) -> float:
        """What the rows are off, ``‖·‖_F``: as they are formed, and because A is off.

        The latter to first order: ``‖X δA‖_F <= max √x / (√(x + l) √l (√(x + l) + √l)) ‖δG‖_F = 0.30 ‖δG‖_F / l`` with
        l = n λ, and the eigenvalue solver's own error taken as 8 d u of the largest.
        """
        rows = entry_error(self.X, length)
        product = gamma(self.shape[1] + 2) * length * frobenius(self._A)
        summed = gamma(summation_chain(self.shape[0], BLOCK_ROWS) + 2) * length**2
        of_gram = summed + 2 * length * rows + rows**2 + 8 * len(gram) * UNIT_ROUNDOFF * frobenius(gram)
        return 1.01 * (rows / math.sqrt(least) + product + 0.35 * of_gram / least)

    def entry_error(self, norm: float) -> float:
        """See :func:`kernelscope.kernels.rows.entry_error`; estimated."""
        return self._error
