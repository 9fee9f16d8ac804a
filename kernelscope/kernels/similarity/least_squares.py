"""Least squares fits of the teacher's features by the student's, from Grams or from R-factors.

Columns are brought to length 1 first, which leaves the fitted values as they are: channels of different scale are not a
bad condition, and ranks are cut relative to the length of a column, not to that of the longest one.
"""

from __future__ import annotations

import math

import numpy as np

from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius


class ScaledGram:
    """Eigenvalues of ``D⁻¹ G D⁻¹``, D the lengths of the columns of X, and those kept above ``tolerance²``."""

    def __init__(self, G: np.ndarray, tolerance: float) -> None:
        lengths = np.sqrt(np.maximum(np.diag(G), 0.0))
        self.present = lengths > 0
        self.inverse_lengths = 1 / lengths[self.present]
        self.columns, self.tolerance = len(self.inverse_lengths), tolerance
        # in turn: the product of two inverse lengths may overflow
        scaled = G[np.ix_(self.present, self.present)] * self.inverse_lengths[:, None] * self.inverse_lengths
        self.values: np.ndarray
        self.values, vectors = np.linalg.eigh(scaled) if self.columns else (np.zeros(0), np.zeros((0, 0)))
        self.largest = float(self.values[-1]) if self.columns else 0.0
        noise = 16 * self.columns * UNIT_ROUNDOFF
        kept = self.values > max(tolerance**2, noise) * self.largest
        self.rank, self._V = int(kept.sum()), vectors[:, kept]
        self._kept = self.values[kept]

    def inverse(self, columns: np.ndarray) -> np.ndarray:
        """Pseudo-inverse of the scaled Gram times ``columns``."""
        result: np.ndarray = (self._V / self._kept) @ (self._V.T @ columns)
        return result

    @property
    def condition(self) -> float:
        return self.largest / float(self._kept[0]) if self.rank else 1.0

    def reliable(self, least: float) -> bool:
        """Whether rounding of the Gram leaves no doubt which eigenvalues are 0; those cut above ``least`` are meant."""
        cut_for_good = self.tolerance**2 > least
        return self.rank > 0 and (cut_for_good or float(self.values[0]) > least * self.largest)


class GramFit:
    """Least squares fit of ``X_T ≈ X_S A`` from Grams; ``own`` is the student's."""

    def __init__(self, own: ScaledGram, G_ST: np.ndarray) -> None:
        self.own, self.rank, self.columns, self.tolerance = own, own.rank, own.columns, own.tolerance
        self.scaled_coefficients = own.inverse(G_ST[own.present] * own.inverse_lengths[:, None])
        self.A = np.zeros(G_ST.shape)
        self.A[own.present] = self.scaled_coefficients * own.inverse_lengths[:, None]

    @property
    def reach(self) -> float:
        """√d ‖D A‖_F, what an error of X_S relative to its columns is multiplied by."""
        return math.sqrt(self.columns) * frobenius(self.scaled_coefficients)


class ColumnSpace:
    """What the columns of X span, from the singular values of X with columns brought to length 1.

    ``U (n, rank)`` is an orthonormal basis, ``sigma (rank,)`` descending, and ``coefficients (d, rank)`` take X to U:
    ``U = X coefficients``. ``orthogonal``: the columns are so already.
    """

    def __init__(self, X: np.ndarray, tolerance: float, *, orthogonal: bool = False) -> None:
        lengths = np.linalg.norm(X, axis=0)
        present, self.tolerance = lengths > 0, tolerance
        self.columns = int(present.sum())
        U = X[:, present] / lengths[present]
        if orthogonal:
            sigma, Vt = np.ones(self.columns), np.eye(self.columns)
        else:
            U, sigma, Vt = np.linalg.svd(U, full_matrices=False)
        self.rank = int(np.count_nonzero(sigma > tolerance * sigma[0])) if self.columns else 0
        self.U, self.sigma = U[:, : self.rank], sigma[: self.rank]
        self.coefficients = np.zeros((X.shape[1], self.rank))
        self.coefficients[present] = Vt[: self.rank].T / self.sigma / lengths[present][:, None]

    @property
    def condition(self) -> float:
        return float(self.sigma[0] / self.sigma[-1]) if self.rank else 1.0


class FactorFit:
    """Least squares fit of ``R_T ≈ R_S A`` by the singular values of R_S."""

    def __init__(self, R_S: np.ndarray, R_T: np.ndarray, tolerance: float) -> None:
        self._space = space = ColumnSpace(R_S, tolerance)
        self.rank, self.columns, self.tolerance = space.rank, space.columns, tolerance
        along = space.U.T @ R_T
        self.left = R_T - space.U @ along
        self.left -= space.U @ (space.U.T @ self.left)
        self.A = space.coefficients @ along
        self._reach, self._length = frobenius(along / space.sigma[:, None]), frobenius(R_T)

    @property
    def off(self) -> float:
        """On P X_T in Frobenius norm."""
        return projection_error(self._space, self._reach, frobenius(self.left), self._length)


def projection_error(space: ColumnSpace, reach: float, left: float, length: float) -> float:
    """‖·‖_F of what ``P X_T`` may be off by: columns by some u each, and P turns with them by condition · u.

    Args:
        reach: ``‖Σ⁻¹ Uᵀ X_T‖_F``. left: ``‖X_T − P X_T‖_F``. length: ``‖X_T‖_F``.
    """
    return 16 * UNIT_ROUNDOFF * (math.sqrt(max(1, space.columns)) * reach + space.condition * left + length)
