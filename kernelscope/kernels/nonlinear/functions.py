"""Kernel functions: linear, cosine and ridge, which are Gram matrices of features, RBF and polynomial, which are not.

A kernel that is not linear is fixed per network by a scale of its own (median distance, mean square length), so that a
network and its multiple have the same kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kernelscope.errors import DegenerateKernel, UsageError
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, gamma
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import Rows, numpy_block, row_blocks, take_rows
from kernelscope.kernels.scales import near_one, require_squares

SPECS = "linear, cosine, rbf, rbf:GAMMA, poly, poly:P, poly:P,C, ridge or ridge:RHO"
SQUARABLE = 100  #: powers of two from 1 whose fourth powers float64 holds, summed over any examples
MEDIAN_OF = 1000  #: examples whose distances set the width of an RBF kernel


@dataclass(frozen=True)
class Kernel:
    """A kernel function by name: ``linear``, ``cosine``, ``rbf`` (``gamma`` None: by median), ``poly``, ``ridge``."""

    name: str
    gamma: float | None = None
    degree: int = 3
    offset: float = 1.0
    rho: float = 1e-2

    @property
    def has_features(self) -> bool:
        """Whether K = X Xᵀ of (normalised, or whitened) features, so that everything about Gram matrices applies."""
        return self.name in ("linear", "cosine", "ridge")

    @property
    def label(self) -> str:
        """What a report calls it, where it is the same for all networks."""
        return f"ridge:{self.rho:g}" if self.name == "ridge" else self.name


def parse_kernel(spec: str) -> Kernel:
    """``linear``, ``cosine``, ``ridge[:rho]``, ``rbf[:gamma]``, ``poly[:degree[,offset]]``.

    Raises:
        UsageError: anything else.
    """
    name, _, options = spec.strip().partition(":")
    try:
        if name in ("linear", "cosine") and not options:
            return Kernel(name)
        if name == "ridge":
            rho = float(options) if options else Kernel.rho
            if 0 < rho < float("inf"):
                return Kernel("ridge", rho=rho)
        if name == "rbf":
            width = float(options) if options else None
            if width is None or 0 < width < float("inf"):
                return Kernel("rbf", gamma=width)
        if name == "poly" and re.fullmatch(r"(\d+(,[0-9.]+)?)?", options):
            degree, _, offset = options.partition(",")
            if 1 <= int(degree or 3) <= 20:
                return Kernel("poly", degree=int(degree or 3), offset=float(offset or 1))
    except ValueError:
        pass
    raise UsageError(f"unknown kernel {spec[:40]!r}; choose {SPECS}")


class KernelBlocks:
    """Blocks ``k(x_i, x_j)`` of one network's kernel, with a bound on the rounding error of every entry."""

    def __init__(self, X: Rows, kernel: Kernel, seed: int = 0) -> None:
        self.kernel, self.shape = kernel, X.shape
        total, n, largest = np.zeros(X.shape[1]), X.shape[0], 0.0
        for _, block in row_blocks(X):
            total += block.sum(axis=0)
            largest = max(largest, float(np.abs(block).max()))
        require_squares(largest)
        self.unit = near_one(largest, SQUARABLE)
        self.X = X = X if self.unit == 1 else Affine(X, scale=self.unit)
        # distances do not see a shift
        self.shift = total / n * self.unit if kernel.name == "rbf" else np.zeros(X.shape[1])
        self.squares = np.concatenate(
            [np.einsum("ij,ij->i", part, part) for _, block in row_blocks(X) for part in [block - self.shift]]
        )
        self.scale = self._scale(seed)

    @property
    def label(self) -> str:
        """``rbf(gamma=0.0123)``: what this network's kernel is."""
        scale = self.scale * self.unit * self.unit
        if self.kernel.name == "rbf":
            return f"rbf(gamma={scale:.4g})"
        return f"poly(degree={self.kernel.degree}, offset={self.kernel.offset:g}, scale={scale:.4g})"

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start:stop`` as the kernel takes them."""
        block: np.ndarray = numpy_block(self.X, start, stop).astype(np.float64) - self.shift
        return block

    def between(self, A: np.ndarray, a: np.ndarray, B: np.ndarray, b: np.ndarray) -> np.ndarray:
        """k of every row of A with every row of B; a and b are their squared lengths."""
        return self._of_products(A @ B.T, a[:, None], b[None, :])

    def of_pairs(self, A: np.ndarray, a: np.ndarray, B: np.ndarray, b: np.ndarray) -> np.ndarray:
        """k of row i of A with row i of B."""
        return self._of_products(np.einsum("ij,ij->i", A, B), a, b)

    def diagonal(self) -> np.ndarray:
        """k(x_i, x_i), shape ``(n,)``."""
        return np.ones(len(self.squares)) if self.kernel.name == "rbf" else self._power(self.squares * self.scale)

    def entry_error(self) -> np.ndarray:
        """For each i, e_i with |error of k(x_i, x_j)| <= e_i + e_j."""
        products = gamma(self.shape[1] + 6) * self.squares * self.scale  # |x·y| <= (|x|² + |y|²) / 2
        if self.kernel.name == "rbf":
            # exp(−t) of t off by at most δ is off by at most e^δ − 1; t from three terms of at most |x|² + |y|²
            # and neither of two numbers from 0 to 1 is off by more than 1
            of_exponential: np.ndarray = np.expm1(np.minimum(4 * products, 1.0)) + 4 * UNIT_ROUNDOFF
            return of_exponential
        largest = self._power(np.full(1, float(self.squares.max(initial=0.0)) * self.scale))[0]
        base = max(float(self.squares.max(initial=0.0)) * self.scale + self.kernel.offset, 1e-300)
        slope = self.kernel.degree * largest / base
        of_power: np.ndarray = slope * products + (self.kernel.degree + 2) * UNIT_ROUNDOFF * largest
        return of_power

    def _of_products(self, products: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if self.kernel.name == "rbf":
            # ‖x − y‖² as ‖x‖² + ‖y‖² − 2 x·y can round below 0, and no exponential of it may exceed 1
            near: np.ndarray = np.exp(-self.scale * np.maximum(a + b - 2 * products, 0))
            return near
        return self._power(products * self.scale)

    def _power(self, products: np.ndarray) -> np.ndarray:
        result: np.ndarray = (products + self.kernel.offset) ** self.kernel.degree
        return result

    def _scale(self, seed: int) -> float:
        """gamma = 1 / (2 median²) of distances among drawn examples, or 1 / mean ‖x‖²."""
        if self.kernel.name == "poly":
            mean = float(self.squares.mean())
            if mean == 0:
                raise DegenerateKernel("features are all zero, so their polynomial kernel is constant; check the layer")
            return 1 / mean
        if self.kernel.gamma is not None:
            return self.kernel.gamma / self.unit / self.unit
        n = self.shape[0]
        drawn = np.sort(np.random.default_rng(seed).choice(n, min(n, MEDIAN_OF), replace=False))
        rows, squares = take_rows(self.X, drawn) - self.shift, self.squares[drawn]
        distances = (squares[:, None] + squares - 2 * rows @ rows.T)[np.triu_indices(len(drawn), 1)]
        median = float(np.median(distances)) if len(distances) else 0.0
        if median <= 0:
            raise DegenerateKernel("half of the examples have the same features, so rbf has no width; pass rbf:GAMMA")
        return 1 / (2 * median)
