"""GULP distance: how far predictions of ridge probes can differ (Boix-Adserà and others 2022; docs/theory.md 6.4).

With centred X, ``Σ = Xᵀ X / n`` and ``λ = ρ tr(Σ) / d`` for each network, ``H = X (Σ + λI)⁻¹ Xᵀ / n`` is what a ridge
regression on these features makes of any targets, and

    gulp = ‖H_S − H_T‖_F,        gulp² = T1 + T2 − 2 T3 of their paper, from G_SS, G_TT and G_ST in O(d³).

H is the linear kernel of the whitened rows ``X (Σ + λI)^(−½) / √n``, so that everything about linear kernels holds for
it too: the loss under it is gulp / ‖H_T‖_F. Whitening rounds, by an amount that is estimated and not proved.
"""

from __future__ import annotations

import math

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.constancy import is_constant
from kernelscope.kernels.distance.accumulate import OwnSum, summation_chain
from kernelscope.kernels.distance.centring import without_mean
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, well_scaled_sums
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.row_views import Affine, Mapped
from kernelscope.kernels.rows import (
    BLOCK_ROWS,
    Rows,
    columns,
    entry_error,
    largest_entry,
    require_finite,
    row_blocks,
    storage_roundoff,
)
from kernelscope.kernels.scales import near_one
from kernelscope.kernels.shares import Share

RHO = 1e-2  #: λ as a share of the mean eigenvalue of Σ
CANCELS = 1e-4  #: share of T1 + T2 below which their difference would cancel, and whitened rows are compared


def gulp(centred: ScaledSums, rho: float = RHO) -> float | None:
    """‖H_S − H_T‖_F >= 0, at most ``√(rank_S + rank_T)``; 0 for features equal up to rotation, scale and shift.

    Args:
        centred: from :func:`kernelscope.kernels.distance.centring.centre`. Two passes more over the rows where the
            networks are nearly equal.
        rho: λ over the mean eigenvalue of Σ, of each network.

    None where a network's features are constant, and where rows that cannot be read again are too close to tell.
    """
    sums = centred.sums
    if min(sums.trace_student, sums.trace_teacher) <= 0:
        return None
    if centred.same:
        return 0.0
    A_S, A_T = _root(sums.G_SS, rho, columns(centred.student)), _root(sums.G_TT, rho, columns(centred.teacher))
    both = frobenius(A_S.T @ sums.G_SS @ A_S) ** 2 + frobenius(A_T.T @ sums.G_TT @ A_T) ** 2
    squared = both - 2 * frobenius(A_S.T @ sums.G_ST @ A_T) ** 2
    if squared > CANCELS * both:
        return math.sqrt(squared)
    if centred.once:
        return None
    rows = Mapped(centred.student, A_S), Mapped(centred.teacher, A_T)
    return loss_from_sums(well_scaled_sums(student=rows[0], teacher=rows[1], means=False)).norm_difference


def _root(gram: np.ndarray, rho: float, d: int) -> np.ndarray:
    """``(Σ + λI)^(−½) / √n`` from ``G = n Σ`` of d features, up to a rotation: ``L⁻ᵀ``, ``L Lᵀ = G + n λ I``."""
    ridge = rho * float(np.trace(gram)) / d
    root: np.ndarray = np.linalg.inv(np.linalg.cholesky(gram + ridge * np.eye(len(gram)))).T
    return root


def whitened(X: Rows, rho: float = RHO, name: str = "features") -> Mapped:
    """Rows ``X (Σ + λI)^(−½) / √n`` of centred X, up to a rotation: their linear kernel is H.

    Seven passes over the rows to know Σ, and what rounding does to it, which is estimated, not proved.

    Raises:
        DegenerateKernel: features that are the same for all examples, which centring leaves nothing of.
    """
    require_finite(X, name)
    if is_constant(X):
        raise DegenerateKernel(
            f"{name} are the same for all examples, so centring leaves nothing to whiten; check the layer"
        )
    middle = without_mean(X)
    rows = Affine(middle, scale=near_one(largest_entry(middle)))
    own, length, share = OwnSum(X.shape[1], means=False), 0.0, Share.of(X.shape[0])
    for (_, block), (_, stored) in zip(row_blocks(rows, share=share), row_blocks(X, share=share)):
        own.add(np.ascontiguousarray(block))
        length = math.hypot(length, rows.scale * float(np.linalg.norm(stored)))
    (gram,), (lengths,) = share.summed(own.gram()), share.gathered(np.array([length]))
    length = math.hypot(*lengths)
    A = _root(gram, rho, len(gram))
    least = rho * float(np.trace(gram)) / len(gram)  # n λ, so that 1 / √least bounds ‖A‖_2
    roundoff = storage_roundoff(X) * length / math.sqrt(least) / frobenius(gram @ A @ A.T)
    return Mapped(rows, A, error=_whitening_error(rows, gram, A, least, share), roundoff=roundoff)


def _whitening_error(X: Rows, gram: np.ndarray, A: np.ndarray, least: float, share: Share) -> float:
    """What the rows ``X A`` are off, ``‖·‖_F``: as they are formed, and because A is off.

    The latter to first order: ``‖X δA‖_F <= max √x / (√(x + l) √l (√(x + l) + √l)) ‖δG‖_F = 0.30 ‖δG‖_F / l`` with
    l = n λ, and the factor's own error taken as 8 d u of the largest eigenvalue.
    """
    length = math.sqrt(float(np.trace(gram)))
    rows = entry_error(X, length)
    product = gamma(X.shape[1] + 2) * length * frobenius(A)
    summed = gamma(summation_chain(share.n, BLOCK_ROWS) + (share.parts - 1) + 2) * length**2
    of_gram = summed + 2 * length * rows + rows**2 + 8 * len(gram) * UNIT_ROUNDOFF * frobenius(gram)
    return 1.01 * (rows / math.sqrt(least) + product + 0.35 * of_gram / least)
