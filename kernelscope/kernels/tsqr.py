"""TSQR route: the triangular factor of ``Z = [X_S, X_T]`` by a tree of QR factorisations, one pass, mergeable.

With ``Z = Q R`` the kernel difference is ``K_S − K_T = Q (R J Rᵀ) Qᵀ``, J = diag(I, −I), so

    ‖K_S − K_T‖_F = ‖R_S R_Sᵀ − R_T R_Tᵀ‖_F        (THEORY B.1, J-form)

and ``R J Rᵀ`` holds all nonzero eigenvalues. Relative error about u / loss; 4 to 6 times the cost of the Gram.
R is a sufficient statistic for everything that does not change when examples are mixed orthogonally.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lapack

from kernelscope.kernels.gram import frobenius
from kernelscope.kernels.rows import UNIT_ROUNDOFF, Rows, numpy_block, require_same_examples


def r_factor(*matrices: Rows, block_rows: int | None = None) -> np.ndarray:
    """Upper-triangular ``R``, shape ``(min(n, p), p)``, of the matrices side by side: ``RᵀR = ZᵀZ``.

    Args:
        matrices: any number of ``(n, d_i)`` rows of the same examples; p is the sum of their widths.
        block_rows: rows per step; 4 p by default.
    """
    n = matrices[0].shape[0]
    widths = [X.shape[1] for X in matrices]
    p = sum(widths)
    block_rows = block_rows or max(4 * p, 256)
    R = np.zeros((0, p))
    for start in range(0, n, block_rows):
        stop = min(start + block_rows, n)
        stacked = np.empty((len(R) + stop - start, p), order="F")
        stacked[: len(R)] = R
        column = 0
        for X, width in zip(matrices, widths):
            stacked[len(R) :, column : column + width] = numpy_block(X, start, stop)
            column += width
        R = _triangle(stacked)
    return R


def merge(*factors: np.ndarray) -> np.ndarray:
    """The R-factor of all rows together from the R-factors of shards; associative and commutative within rounding."""
    return _triangle(np.asfortranarray(np.vstack(factors)))


def tsqr_difference(*, teacher: Rows, student: Rows, block_rows: int | None = None) -> tuple[float, float, np.ndarray]:
    """``(‖K_S − K_T‖_F, estimated bound on its error, R)`` in one pass.

    The bound is :func:`estimated_bar`: an estimate, not a proof (THEORY B.3).
    """
    require_same_examples(teacher, student)
    R = r_factor(student, teacher, block_rows=block_rows)
    d_S = student.shape[1]
    return frobenius(signed_product(R, d_S)), estimated_bar(R[:, :d_S], R[:, d_S:]), R


def signed_product(R: np.ndarray, d_student: int) -> np.ndarray:
    """``R J Rᵀ = R_S R_Sᵀ − R_T R_Tᵀ``, symmetric, shape ``(k, k)``: K_S − K_T in the basis of the rows' span."""
    R_S, R_T = R[:, :d_student], R[:, d_student:]
    return R_S @ R_S.T - R_T @ R_T.T


def estimated_bar(R_S: np.ndarray, R_T: np.ndarray) -> float:
    """16u(‖X_S‖_F‖X_S‖_2 + ‖X_T‖_F‖X_T‖_2) from the factors.

    The largest error seen was 5.1u of that size, for a single feature over 4 examples; 0.8u from ten features on.
    """
    return sum(16 * UNIT_ROUNDOFF * frobenius(R) * math.sqrt(frobenius(R @ R.T)) for R in (R_S, R_T))


def _triangle(stacked: np.ndarray) -> np.ndarray:
    """R of a QR factorisation, LAPACK geqrf in place."""
    if stacked.shape[0] == 0:
        return stacked
    factored, _, _, _ = lapack.dgeqrf(stacked, lwork=64 * stacked.shape[1], overwrite_a=1)
    return np.triu(factored[: min(stacked.shape)])
