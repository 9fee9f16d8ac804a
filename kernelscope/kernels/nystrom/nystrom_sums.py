"""Nyström sums, the values: norms of each network's C, W, residual and of their differences (docs/theory.md 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.gram import ZERO_TEACHER
from kernelscope.kernels.rounding import frobenius

if TYPE_CHECKING:
    from kernelscope.kernels.nystrom.spectrum import LandmarkSpectrum


@dataclass(frozen=True, eq=False)
class NetworkSums:
    """One network's side. Norms are Frobenius norms unless their name ends in ``_2``.

    ``gram`` = XᵀX and ``residual_gram`` = EᵀE of ``E = X (I − P)``, what projecting on the landmarks leaves. ``W_min``
    is the smallest nonzero eigenvalue of W (0: no landmark), ``spectrum`` all of them; ``A_norm_2`` = ‖C W^{+½}‖_2;
    ``Y_norm_2`` = ‖C W⁺‖_2 = ‖X D⁺‖_2; ``cut_C`` and ``cut_W`` bound what cutting D at its rank took from C and W;
    ``longest`` = max ‖x_i‖. With an assignment, else None: ``distances`` = Σ_i ‖x_i − d_l(i)‖, and of ``F = X − Y D``
    the norms ``FF_norm`` = ‖F Fᵀ‖ and ``FX_norm`` = ‖F Xᵀ‖.
    """

    gram: np.ndarray
    residual_gram: np.ndarray
    C_norm: float
    W_norm: float
    W_min: float
    rank: int
    spectrum: LandmarkSpectrum
    A_norm_2: float
    Y_norm_2: float
    cut_C: float
    cut_W: float
    longest: float
    distances: float | None
    FF_norm: float | None
    FX_norm: float | None

    @cached_property
    def K_norm(self) -> float:
        """‖K‖ = ‖XᵀX‖."""
        return frobenius(self.gram)

    @cached_property
    def residual(self) -> float:
        """‖K − K~‖ = ‖E Eᵀ‖."""
        return frobenius(self.residual_gram)

    @cached_property
    def tail(self) -> float:
        """What the best matrix of the landmarks' rank leaves."""
        return self.tail_beyond(self.rank)

    @cached_property
    def tail_at_m(self) -> float:
        """What the best matrix of rank m leaves."""
        return self.tail_beyond(len(self.spectrum.eigenvalues))

    def tail_beyond(self, k: int) -> float:
        """``(Σ_{i > k} λ_i(XᵀX)²)^½``, k >= rank: no matrix of rank k comes nearer to K (Eckart–Young).

        Interlacing, λ_{rank+i}(XᵀX) <= λ_i(EᵀE), takes off the Gram's rounding. Two d × d eigenproblems.
        """
        left = np.linalg.eigvalsh(self.gram)[::-1][k:]
        ceiling = np.linalg.eigvalsh(self.residual_gram)[::-1][k - self.rank :][: len(left)]
        return float(np.linalg.norm(np.clip(np.minimum(left, ceiling), 0, None)))


@dataclass(frozen=True, eq=False)
class NystromSums:
    """Both networks, and their differences.

    ``strategy`` is the landmarks', ``external`` if they are not made from these examples; ``repeats`` how often
    the most frequent row serves as one; ``counts`` = n_l with an assignment.

    ``dC_squares`` = ‖dC_l‖² and ``dC_sums`` = Σ_j |dC_jl| per landmark, ``dC = C_S − C_T``; ``dA`` =
    ‖A_S − A_T‖; ``dW`` = ‖W_S − W_T‖; ``dK`` = ‖K~_S − K~_T‖. With an assignment, in ``M = dC Yᵀ + Y dCᵀ − Y dW Yᵀ``
    (docs/theory.md 4.3): ``between`` = ‖Π M Π‖² and ``across`` = 2‖Π M (I − Π)‖², so ‖M‖² is their sum; for exact
    centres these are the same parts of K_S − K_T, and ``within`` = ‖F_S F_Sᵀ − F_T F_Tᵀ‖² is the third and last.
    """

    n: int
    m: int
    strategy: str
    repeats: int
    exact_centres: bool
    counts: np.ndarray | None
    teacher: NetworkSums
    student: NetworkSums
    dC_squares: np.ndarray
    dC_sums: np.ndarray
    dA: float
    dW: float
    dK: float
    between: float | None
    across: float | None
    within: float | None

    def over_teacher(self, norm: float) -> float:
        """``norm / ‖K_T‖_F``.

        Raises:
            DegenerateKernel: an all-zero teacher.
        """
        if self.teacher.K_norm == 0:
            raise DegenerateKernel(ZERO_TEACHER)
        return norm / self.teacher.K_norm

    @property
    def partial_norm(self) -> float:
        """‖C_S − C_T‖_F, what the paper's loss drives to 0 (equation 4)."""
        return math.sqrt(math.fsum(self.dC_squares))

    @property
    def partial_ratio(self) -> float | None:
        """``‖C_S − C_T‖_F / ‖C_T‖_F``: like for like, unlike the paper's Figure 4; None where C_T = 0."""
        return self.partial_norm / self.teacher.C_norm if self.teacher.C_norm > 0 else None

    @property
    def paper_estimate(self) -> float:
        """``‖C_S − C_T‖_F / ‖K_T‖_F`` as in Figure 4; too small by about sqrt(n / m)."""
        return self.over_teacher(self.partial_norm)

    @property
    def expanded_norm(self) -> float | None:
        """``(Σ_l n_l ‖dC_l‖²)^½`` with an assignment, ``(n/m)^½ ‖dC‖`` for uniform landmarks, else None.

        For exact centres it is ‖Π (K_S − K_T)‖ and at most the loss; for uniform ones its square is unbiased.
        """
        if self.counts is not None:
            return math.sqrt(math.fsum(self.counts * self.dC_squares))
        return math.sqrt(self.n / self.m) * self.partial_norm if self.strategy == "uniform" else None

    @property
    def expanded_estimate(self) -> float | None:
        """:attr:`expanded_norm` over ‖K_T‖_F: Figure 4's estimate in the loss's own units."""
        return None if self.expanded_norm is None else self.over_teacher(self.expanded_norm)
