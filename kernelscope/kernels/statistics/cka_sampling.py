"""Debiased CKA without each example, for its interval over examples and for differences of two.

With kernels K and L of m examples and zero diagonals, row sums k = K 1 and l = L 1,

    m (m − 3) HSIC_1 = ⟨K, L⟩ + (1ᵀk)(1ᵀl) / ((m − 1)(m − 2)) − 2 kᵀl / (m − 2)

(Song et al. 2012). Leaving example i out takes 2 (K L)_ii off the first term, 2 k_i and 2 l_i off the sums, and off
kᵀl k_i l_i + (L k)_i + (K l)_i − (K L)_ii: O(m²) for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.statistics.permutations import drawn_kernel

if TYPE_CHECKING:
    from kernelscope.kernels.rows import Rows

LEAST_EXAMPLES = 10  #: below which there is no interval


@dataclass(frozen=True, eq=False)
class WithoutEach:
    """A statistic of all examples, and of all but one: shape ``(m,)``."""

    full: float
    left_out: np.ndarray


class HollowKernel:
    """One layer's kernel of the drawn examples, its diagonal 0."""

    def __init__(self, K: np.ndarray) -> None:
        self.K = K.copy()
        np.fill_diagonal(self.K, 0.0)
        self.row_sums = self.K.sum(axis=1)

    @classmethod
    def of(cls, X: Rows, drawn: np.ndarray) -> HollowKernel | None:
        """None where the layer is the same for all of the examples."""
        K = drawn_kernel(X, drawn)
        return None if K is None else cls(K)

    @cached_property
    def own(self) -> np.ndarray:
        return _hsic(self, self)


def cka_without_each(student: HollowKernel, teacher: HollowKernel) -> WithoutEach | None:
    """Debiased CKA; None for fewer than 10 examples, and where some self-HSIC is not positive."""
    if len(student.K) < LEAST_EXAMPLES:
        return None
    S, T = student.own, teacher.own
    if min(S.min(), T.min()) <= 0:
        return None
    values = _hsic(student, teacher) / np.sqrt(S * T)
    return WithoutEach(float(values[0]), values[1:])


def _hsic(one: HollowKernel, two: HollowKernel) -> np.ndarray:
    """m (m − 3) HSIC_1 of all examples, then without each; shape ``(m + 1,)``."""
    K, L, k, l = one.K, two.K, one.row_sums, two.row_sums
    inner = np.einsum("ij,ij->i", K, L)
    cross = k @ l - (k * l + L @ k + K @ l - inner)
    return np.concatenate([
        _of_sums(len(K), inner.sum(), k.sum(), l.sum(), k @ l)[None],
        _of_sums(len(K) - 1, inner.sum() - 2 * inner, k.sum() - 2 * k, l.sum() - 2 * l, cross),
    ])  # fmt: skip


def _of_sums(m: int, inner: np.ndarray, k: np.ndarray, l: np.ndarray, cross: np.ndarray) -> np.ndarray:
    return np.asarray(inner + k * l / ((m - 1) * (m - 2)) - 2 / (m - 2) * cross)
