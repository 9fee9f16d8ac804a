"""TSQR route: the triangular factor of ``Z = [X_S, X_T]`` by a tree of QR factorisations, one pass, mergeable.

With ``Z = Q R`` the kernel difference is ``K_S − K_T = Q (R J Rᵀ) Qᵀ``, J = diag(I, −I), so

    ‖K_S − K_T‖_F = ‖R_S R_Sᵀ − R_T R_Tᵀ‖_F        (docs/theory.md 2.3)

and ``R J Rᵀ`` holds all nonzero eigenvalues. Relative error about u / loss; 4 to 6 times the cost of the Gram.
R is a sufficient statistic for everything that does not change when examples are mixed orthogonally.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange
from kernelscope.kernels.halves import halves_of
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius
from kernelscope.kernels.rows import Rows, numpy_block, require_same_examples
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from collections.abc import Sequence


def r_factor(*matrices: Rows, block_rows: int | None = None) -> np.ndarray:
    """Upper-triangular ``R``, shape ``(min(n, p), p)``, of the matrices side by side: ``RᵀR = ZᵀZ``.

    Args:
        matrices: any number of ``(n, d_i)`` rows of the same examples; p is the sum of their widths.
        block_rows: rows per leaf of the tree; 8 p by default.
    """
    return _factors(matrices, 1, block_rows)[0]


def half_factors(*matrices: Rows, second: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The R-factors of both halves of the rows, in one pass; :func:`merge` makes that of all rows of them."""
    one, two = _factors(matrices, 2, None, second)
    return one, two


def _factors(
    matrices: Sequence[Rows], parts: int, block_rows: int | None, second: np.ndarray | None = None
) -> list[np.ndarray]:
    """One factor of all rows, or (two ``parts``) one of each of their halves."""
    widths, share = [X.shape[1] for X in matrices], Share.of(matrices[0].shape[0])
    p = sum(widths)
    step = parts * (block_rows or max(8 * p, 256))
    trees = [_Tree() for _ in range(parts)]
    for start, stop in share.steps(step):
        chosen = None if second is None else second[start:stop]
        blocks = [numpy_block(X, start, stop) for X in matrices]
        for rows, tree in zip(halves_of(chosen) if parts == 2 else (slice(None),), trees):
            stacked = np.empty((len(blocks[0][rows]), p), order="F")
            column = 0
            for block, width in zip(blocks, widths):
                stacked[:, column : column + width] = block[rows]
                column += width
            tree.add(_triangle(stacked))
    return [_of_all(share, tree.root(p)) for tree in trees]


def _of_all(share: Share, R: np.ndarray) -> np.ndarray:
    """The factor of all rows, from those of the shares of all processes."""
    if share.parts == 1:
        return R
    return merge(*(factor for (factor,) in exchange.in_turn([R])))


class _Tree:
    """Factors merged two and two of equal height, so that no row passes through more than log2 of the blocks."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, np.ndarray]] = []

    def add(self, R: np.ndarray) -> None:
        height = 0
        while self._waiting and self._waiting[-1][0] == height:
            R, height = merge(self._waiting.pop()[1], R), height + 1
        self._waiting.append((height, R))

    def root(self, p: int) -> np.ndarray:
        R = np.zeros((0, p))
        # smallest trees first: no row passes through more merges than the largest tree is high
        for _, other in reversed(self._waiting):
            R = merge(other, R)
        return R


def merge(*factors: np.ndarray) -> np.ndarray:
    """The R-factor of all rows together from the R-factors of shards; associative and commutative within rounding."""
    return _triangle(np.asfortranarray(np.vstack(factors)))


def tsqr_difference(*, teacher: Rows, student: Rows, block_rows: int | None = None) -> tuple[float, float, np.ndarray]:
    """``(‖K_S − K_T‖_F, estimated bound on its error, R)`` in one pass.

    The bound is :func:`estimated_bar`: an estimate, not a proof (docs/theory.md 3.6).
    """
    require_same_examples(teacher, student)
    R = r_factor(student, teacher, block_rows=block_rows)
    d_S = student.shape[1]
    return frobenius(signed_product(R, d_S)), estimated_bar(R[:, :d_S], R[:, d_S:]), R


def signed_product(R: np.ndarray, d_student: int) -> np.ndarray:
    """``R J Rᵀ = R_S R_Sᵀ − R_T R_Tᵀ``, symmetric, shape ``(k, k)``: K_S − K_T in the basis of the rows' span."""
    R_S, R_T = R[:, :d_student], R[:, d_student:]
    product: np.ndarray = R_S @ R_S.T - R_T @ R_T.T
    return product


def estimated_bar(R_S: np.ndarray, R_T: np.ndarray) -> float:
    """32u(‖X_S‖_F‖X_S‖_2 + ‖X_T‖_F‖X_T‖_2) from the factors.

    The largest error seen was 8.6u of that size, for one or two features; 0.8u from ten features on.
    """
    return sum(32 * UNIT_ROUNDOFF * frobenius(R) * math.sqrt(frobenius(R @ R.T)) for R in (R_S, R_T))


def _triangle(stacked: np.ndarray) -> np.ndarray:
    """R of a QR factorisation, LAPACK geqrf in place."""
    if stacked.shape[0] == 0:
        return stacked
    from scipy.linalg import lapack  # imported on this route alone

    factored, _, _, _ = lapack.dgeqrf(stacked, lwork=64 * stacked.shape[1], overwrite_a=1)
    return np.triu(factored[: min(stacked.shape)])
