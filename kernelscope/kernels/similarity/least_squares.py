"""Least squares fits of the teacher's features by the student's, from Grams or from R-factors.

Columns are brought to length 1 first, which leaves the fitted values as they are: channels of different scale are not a
bad condition, and ranks are cut relative to the length of a column, not to that of the longest one.
"""

from __future__ import annotations

import math

import numpy as np

from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius


class GramFit:
    """Least squares fit of ``X_T ≈ X_S A`` from Grams: eigenvalues of ``D⁻¹ G_SS D⁻¹``, D the lengths of columns."""

    def __init__(self, G_SS: np.ndarray, G_ST: np.ndarray, tolerance: float) -> None:
        lengths = np.sqrt(np.maximum(np.diag(G_SS), 0.0))
        self.present = lengths > 0
        self.inverse_lengths = 1 / lengths[self.present]
        self.columns, self.tolerance = len(self.inverse_lengths), tolerance
        scaled = G_SS[np.ix_(self.present, self.present)] * np.outer(self.inverse_lengths, self.inverse_lengths)
        self.values: np.ndarray
        self.values, vectors = np.linalg.eigh(scaled) if self.columns else (np.zeros(0), np.zeros((0, 0)))
        self.largest = float(self.values[-1]) if self.columns else 0.0
        noise = 16 * self.columns * UNIT_ROUNDOFF
        kept = self.values > max(tolerance**2, noise) * self.largest
        self.rank, self._V = int(kept.sum()), vectors[:, kept]
        self._kept = self.values[kept]
        self.scaled_coefficients = self.inverse(G_ST[self.present] * self.inverse_lengths[:, None])
        self.A = np.zeros((len(G_SS), G_ST.shape[1]))
        self.A[self.present] = self.scaled_coefficients * self.inverse_lengths[:, None]

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

    @property
    def reach(self) -> float:
        """√d ‖D A‖_F, what an error of X_S relative to its columns is multiplied by."""
        return math.sqrt(self.columns) * frobenius(self.scaled_coefficients)


class FactorFit:
    """Least squares fit of ``R_T ≈ R_S A`` by the singular values of R_S, columns brought to length 1."""

    def __init__(self, R_S: np.ndarray, R_T: np.ndarray, tolerance: float) -> None:
        lengths = np.linalg.norm(R_S, axis=0)
        self.present, self.tolerance = lengths > 0, tolerance
        self.columns = int(self.present.sum())
        U, sigma, Vt = np.linalg.svd(R_S[:, self.present] / lengths[self.present], full_matrices=False)
        self.rank = int(np.count_nonzero(sigma > tolerance * sigma[0])) if self.columns else 0
        U, sigma, Vt = U[:, : self.rank], sigma[: self.rank], Vt[: self.rank]
        along = U.T @ R_T
        self.left = R_T - U @ along
        self.left -= U @ (U.T @ self.left)
        self._scaled = Vt.T @ (along / sigma[:, None])
        self._condition = float(sigma[0] / sigma[-1]) if self.rank else 1.0
        self._length = frobenius(R_T)
        self.A = np.zeros((R_S.shape[1], R_T.shape[1]))
        self.A[self.present] = self._scaled / lengths[self.present][:, None]

    @property
    def off(self) -> float:
        """On P X_T in Frobenius norm: columns are off by some u each, and P turns with them by condition · u."""
        reach = math.sqrt(max(1, self.columns)) * frobenius(self._scaled)
        return 16 * UNIT_ROUNDOFF * (reach + self._condition * frobenius(self.left) + self._length)
