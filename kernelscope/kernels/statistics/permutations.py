"""Permutation tests: ``⟨P K_S Pᵀ, K_T⟩`` for a thousand permutations P and more (docs/theory.md 7.3).

The m cyclic shifts of m examples are a group, and along the wrapped diagonals ``k(i, i + δ)`` a shift of both indices
is a shift of i. So the scores of all m shifts are one correlation, summed over δ: O(m² log m) by FFT, where m products
cost O(m³). The examples are put in a drawn order first. A test over a group is exact whatever the data, and so it is
over the group and drawn cosets of it, of which there are as many as make up a thousand permutations.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kernelscope.kernels.constancy import Constancy
from kernelscope.kernels.nonlinear.functions import Kernel, KernelBlocks
from kernelscope.kernels.rows import Rows, shared_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_EXAMPLES = 2000  #: that are shuffled; of more, so many are drawn
LEAST_ORDERS = 1000  #: of the examples, the given one among them
NO_SPREAD = 1e-14  #: of the squared mean: a variance below it is rounding
TIED = 1e-11  #: CKAs nearer than this are the same but for rounding
LOST = 1e-12  #: share of a kernel's square that centring leaves, below which what is left is rounding


@dataclass(frozen=True)
class Shuffled:
    """How chance does: ``p_value`` = (1 + permutations that score as much) / (1 + ``permutations``).

    ``cka``, ``cka_mean``, ``cka_sd``: of the ``examples`` that were drawn, and over all of their permutations.
    """

    p_value: float
    permutations: int
    examples: int
    cka: float = field(compare=False)
    cka_mean: float = field(compare=False)
    cka_sd: float | None = field(compare=False)

    @classmethod
    def of(cls, scores: np.ndarray, student: np.ndarray, teacher: np.ndarray) -> Shuffled:
        """From the scores of all permutations, and the diagonals of both kernels, centred and of norm 1."""
        mean, sd = cka_under_permutation(student, teacher)
        p = share_as_high(scores, scores[0], TIED)
        return cls(p, len(scores) - 1, len(student), min(1.0, float(scores[0])), mean, sd)


def shuffled(
    *, teacher: Rows, student: Rows, seed: int, kernel: Kernel | None = None, groups: np.ndarray | None = None
) -> Shuffled | None:
    """CKA's p-value under permutations of the examples; of 2,000 drawn ones, if there are more.

    Of rows that came in ``groups`` one of each is drawn: shuffled one by one, rows that are nearly alike would make any
    two networks agree.

    A test of the examples that were drawn: exact for them, with ties counted against the student. None where one of
    the kernels is constant over them. 2,000 examples take 1,999 permutations and half a second at width 512 (one core),
    of which n²d multiply-adds for the kernels are the most; up to 6 examples, all permutations.
    """
    drawn = drawn_examples(student.shape[0], seed, groups=groups)
    K_S, K_T = (drawn_kernel(X, drawn, kernel, seed) for X in (student, teacher))
    return shuffled_kernels(K_S, K_T, seed)


def shuffled_kernels(K_S: np.ndarray | None, K_T: np.ndarray | None, seed: int) -> Shuffled | None:
    """The same of kernels of the drawn examples, as :func:`drawn_kernel` gives them."""
    if K_S is None or K_T is None:
        return None
    permutations = Permutations(len(K_S), seed)
    (scores,) = permutations.scores(K_S, [permutations.fixed(K_T)])
    return Shuffled.of(scores, np.diag(K_S), np.diag(K_T))


def cka_under_permutation(k: np.ndarray, l: np.ndarray) -> tuple[float, float | None]:
    """Mean and standard deviation (n >= 4) of CKA, from the diagonals of two centred kernels of norm 1."""
    return cka_under_permutation_of(len(k), (float(k.sum()), float(k @ k)), (float(l.sum()), float(l @ l)))


def cka_under_permutation_of(
    n: int, student: tuple[float, float], teacher: tuple[float, float]
) -> tuple[float, float | None]:
    """The same from the sums and the sums of squares of these diagonals."""
    (t, kk), (u, ll) = student, teacher
    mean = t * u / (n - 1)
    if n < 4:
        return mean, None
    first = 2 * ((n - 1) - t * t) * ((n - 1) - u * u) / ((n - 1) ** 2 * (n + 1) * (n - 2))
    own = n * (n + 1) * kk - (n - 1) * (t * t + 2), n * (n + 1) * ll - (n - 1) * (u * u + 2)
    variance = first + own[0] * own[1] / ((n + 1.0) * n * (n - 1) * (n - 2) * (n - 3))
    return mean, math.sqrt(variance) if variance > NO_SPREAD * mean * mean else 0.0


def share_as_high(scores: np.ndarray, observed: float, slack: float) -> float:
    """Share of all orders of the examples, the given one (``scores[0]``) among them, that score ``observed``."""
    return (1 + int(np.count_nonzero(scores[1:] >= observed - slack))) / len(scores)


def drawn_examples(n: int, seed: int, most: int = MOST_EXAMPLES, *, groups: np.ndarray | None = None) -> np.ndarray:
    """Up to ``most`` of n examples, in a drawn order; one of each group where there are ``groups``, shape ``(n,)``."""
    order = np.random.default_rng(seed).permutation(n)
    if groups is not None:
        order = order[np.sort(np.unique(groups[order], return_index=True)[1])]
    return order[:most]


def drawn_kernel(X: Rows, drawn: np.ndarray, kernel: Kernel | None = None, seed: int = 0) -> np.ndarray | None:
    """The kernel of the drawn examples, centred over them and of norm 1; None if it is the same for all of them.

    ``kernel``: None where it is that of the rows as they are.
    """
    if kernel is None or kernel.has_features:
        return kernel_of_rows(shared_rows(X, drawn), X)
    side = KernelBlocks(X, kernel, seed)
    rows, squares = shared_rows(side.X, drawn) - side.shift, side.squares[drawn]
    K = side.between(rows, squares, rows, squares)
    np.fill_diagonal(K, side.diagonal()[drawn])
    return centred_kernel(K)


def kernel_of_rows(rows: np.ndarray, X: Rows) -> np.ndarray | None:
    """The same of float64 rows of X, which are written over."""
    seen = Constancy(X)
    seen.see(rows)
    if seen.so_far:
        return None
    # a large offset goes first, which rounds little; a copy, since rows[0] becomes 0 on the way
    rows -= rows[0].copy()
    rows -= rows.mean(axis=0)
    rows /= np.abs(rows).max()  # so that no square over- or underflows
    K: np.ndarray = rows @ rows.T
    K /= np.linalg.norm(K)
    return K


def centred_kernel(K: np.ndarray) -> np.ndarray | None:
    """K less its means and of norm 1, in its place; None if nothing but rounding is left."""
    before = np.linalg.norm(K)
    means = K.mean(axis=0)
    K += means.mean() - means - means[:, None]
    after = np.linalg.norm(K)
    return K / after if after**2 > LOST * before**2 else None


class Permutations:
    """A thousand or more permutations of m examples, that of none moved first.

    All m! where those are fewer, else the cyclic shifts after each of ``orders``, of shape ``(cosets, m)``.
    """

    def __init__(self, m: int, seed: int) -> None:
        self.m, self.all = m, m <= LEAST_ORDERS and math.factorial(m) <= LEAST_ORDERS
        if self.all:
            self.orders = np.array(list(itertools.permutations(range(m))))
        else:
            rng = np.random.default_rng(seed)
            drawn = [rng.permutation(m) for _ in range(math.ceil(LEAST_ORDERS / m) - 1)]
            self.orders = np.stack([np.arange(m), *drawn])

    def fixed(self, K: np.ndarray) -> np.ndarray:
        """The kernel that stays as it is, in the form that :meth:`scores` takes."""
        if self.all:
            return K
        spectra = _diagonal_spectra(K)
        np.conjugate(spectra, out=spectra)
        spectra[:, 1 : (self.m + 1) // 2] *= 2  # diagonals δ and m − δ have the same correlation
        return spectra

    def scores(self, K_S: np.ndarray, fixed: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """``⟨P K_S Pᵀ, K_T⟩`` for every P, for each ``fixed`` kernel in turn."""
        K = K_S[self.orders[:, :, None], self.orders[:, None, :]] if len(self.orders) > 1 else K_S[None]
        if self.all:
            for K_T in fixed:
                yield np.einsum("pij,ij->p", K, K_T)
            return
        spectra = _diagonal_spectra(K)
        for other in fixed:
            yield np.fft.irfft(np.einsum("pfd,fd->pf", spectra, other), self.m, axis=1).reshape(-1)


def _diagonal_spectra(K: np.ndarray) -> np.ndarray:
    """Fourier transforms over i of ``K[i, i + δ]``, indices modulo m, for δ up to m/2: shape ``(…, frequency, δ)``."""
    m = K.shape[-1]
    wrapped = np.concatenate([K, K[..., : m // 2]], axis=-1)
    *outer, down, right = wrapped.strides
    diagonals = as_strided(wrapped, (*K.shape[:-1], m // 2 + 1), (*outer, down + right, right))
    spectra: np.ndarray = np.fft.rfft(diagonals, axis=-2)
    return spectra
