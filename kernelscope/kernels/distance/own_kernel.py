"""A layer's n × n kernel, for few examples: formed once, and what follows from it computed once (docs/theory.md 3.10).

Where a layer has more features than there are examples, its kernel is smaller than its Gram and says as much: nothing
that is measured changes when features are rotated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.constancy import Constancy
from kernelscope.kernels.distance.aligned_pair import row_allowance
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES, block_size
from kernelscope.kernels.distance.centring import CANCELLATION, without_mean
from kernelscope.kernels.nystrom.spectrum import gram_tolerance
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.row_views import Affine, RowView
from kernelscope.kernels.rows import Rows, numpy_block, require_finite, storage_roundoff
from kernelscope.kernels.shares import Dealt

FEW = 16  #: rows looked at together for whether all are the same
CHAIN = 4096  #: features whose products are one chain of roundings; sums over so many are added


@dataclass(frozen=True, eq=False)
class OwnKernel:
    """``K = X Xᵀ`` of one layer, and each thing that follows from it, computed where it is asked for first.

    ``error`` bounds ‖·‖_F of what K is off by; ``constant``: whether all examples have the same features.
    """

    X: Rows
    K: np.ndarray
    error: float
    constant: bool

    @cached_property
    def norm(self) -> float:
        """‖K‖_F."""
        return frobenius(self.K)

    @cached_property
    def trace(self) -> float:
        """‖X‖_F²."""
        return float(np.trace(self.K))

    @cached_property
    def total(self) -> float:
        """``1ᵀ K 1 = ‖Σ_i x_i‖²``."""
        return float(self.K.sum())

    @property
    def wide(self) -> bool:
        """Whether there are more features than examples."""
        return self.X.shape[1] > len(self.K)

    @cached_property
    def rows(self) -> np.ndarray:
        """X in double precision, ``(n, d)``; where it is wide ``F (n, r)``, orthogonal columns with ``F Fᵀ = K``."""
        if not self.wide:
            return np.array(numpy_block(self.X, 0, len(self.K)), np.float64)
        if self.constant:
            return np.full((len(self.K), 1), math.sqrt(max(0.0, self.total)) / len(self.K))
        values, vectors = np.linalg.eigh(self.K)
        kept = max(1, int(np.count_nonzero(values > self.cut * values[-1])))  # r, the numerical rank
        return np.ascontiguousarray(vectors[:, : -kept - 1 : -1] * np.sqrt(np.maximum(values[: -kept - 1 : -1], 0.0)))

    @property
    def cut(self) -> float:
        """Eigenvalues of K up to this times the largest count as rounding."""
        return gram_tolerance(1.0, len(self.K), len(self.K), storage_roundoff(self.X))

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Eigenvalues of ``XᵀX``, descending: those of K that are not 0, and perhaps more that are."""
        return np.einsum("ij,ij->j", self.rows, self.rows) if self.wide else np.linalg.eigvalsh(self.gram)[::-1]

    @cached_property
    def gram(self) -> np.ndarray:
        """``XᵀX`` of :attr:`rows`."""
        product: np.ndarray = self.rows.T @ self.rows
        return product

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """The kernels of the even and of the odd examples."""
        return np.ascontiguousarray(self.K[::2, ::2]), np.ascontiguousarray(self.K[1::2, 1::2])

    def centred(self, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> OwnKernel:
        """``H K H``, from K where that loses at most four digits, else from rows less their mean; 0 where constant."""
        n, means = len(self.K), self.K.mean(axis=0)
        if self.constant:
            return OwnKernel(np.zeros((n, 1)), np.zeros_like(self.K), 0.0, constant=True)
        K = self.K - means
        K -= (means - means.mean())[:, None]
        if self.trace > CANCELLATION * float(np.trace(K)):
            return own_kernel(without_mean(self.X), memory_bytes=memory_bytes)
        rows = Affine(Narrowed(self) if self.wide else self.X, shift=self.rows.mean(axis=0))
        # means are chains of n additions
        return OwnKernel(rows, K, 1.01 * (self.error + 4 * gamma(n + 4) * self.norm), constant=False)


def own_kernel(X: Rows, name: str = "features", memory_bytes: int = DEFAULT_MEMORY_BYTES) -> OwnKernel:
    """The kernel of rows ``(n, d)``, read in blocks that fit in ``memory_bytes`` beside it; n² d / 2 multiply-adds.

    Raises:
        NumericalError: NaN or infinite features. DegenerateKernel: features whose products overflow.
        ResourceError: not even a block of one row fits.
    """
    n, d = X.shape
    rows, K, seen = block_size(n, d, 8, memory_bytes), np.zeros((n, n)), Constancy(X)
    dealt = Dealt(-(-n // rows))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is named below
        for i in range(0, n, rows):
            first = numpy_block(X, i, min(i + rows, n))
            for start in range(0, len(first), FEW):  # whose copies are small, and which mostly are enough
                seen.see(first[start : start + FEW])
            if not dealt.own():
                continue
            for j in range(i, n, rows):
                second = first if i == j else numpy_block(X, j, min(j + rows, n))
                K[i : i + rows, j : j + rows] = _products(first, second)
                K[j : j + rows, i : i + rows] = K[i : i + rows, j : j + rows].T
    (K,) = dealt.summed(K)
    if not np.isfinite(K).all():
        require_finite(X, name)
        raise DegenerateKernel(f"{name} are so large that their products overflow; divide both by a common factor")
    trace = float(np.trace(K))
    summed = 1.01 * gamma(min(d, CHAIN) + -(-d // CHAIN) + 2) * trace
    return OwnKernel(X, K, summed + row_allowance(X, trace, frobenius(K)), seen.so_far)


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``first secondᵀ`` in double precision, some features at a time, so that neither is ever held twice."""
    total = np.zeros((len(first), len(second)))
    for start in range(0, first.shape[1], CHAIN):
        a = np.ascontiguousarray(first[:, start : start + CHAIN], np.float64)
        b = a if second is first else np.ascontiguousarray(second[:, start : start + CHAIN], np.float64)
        total += a @ b.T
    return total


class Narrowed(RowView):
    """Rows F in the place of X, ``F Fᵀ = X Xᵀ`` to within :attr:`kernel_error`: other axes, n of them at most."""

    form = np.zeros(0)  # equal factors may be of different rows

    def __init__(self, own: OwnKernel) -> None:
        F = own.rows
        super().__init__(own.X, F.shape[1])
        rounding = gamma(F.shape[1] + 2) * float(np.vdot(F, F)) + 2 * UNIT_ROUNDOFF * own.norm
        self._F, self._error = F, own.error + 1.01 * (frobenius(F @ F.T - own.K) + rounding)

    @property
    def columns(self) -> int:
        return self.X.shape[1]

    @property
    def kernel_error(self) -> float:
        return self._error

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        return self._F[rows]


def narrowed(X: Rows, name: str = "features", memory_bytes: int = DEFAULT_MEMORY_BYTES) -> Rows:
    """Rows that stand for X where it is wider than long, with as many columns as its kernel has eigenvalues; else X.

    Memory: ``memory_bytes`` and four n × n kernels. Raises as :func:`own_kernel`.
    """
    return Narrowed(own_kernel(X, name, memory_bytes)) if X.shape[1] > X.shape[0] else X
