"""The sums behind the Nyström quantities, and the one pass over the rows that fills them.

Nothing n × n and no pseudo-inverse is formed: D is factored once, rows are projected first and multiplied
afterwards (docs/theory.md 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.difference import RESOLVED, kernel_difference
from kernelscope.kernels.distance.gram import ZERO_TEACHER
from kernelscope.kernels.nystrom.spectrum import Basis, LandmarkSpectrum, landmark_spectrum
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.row_views import LessGroupMeans, Mapped, less_group_means
from kernelscope.kernels.rows import Rows, require_finite, row_steps, storage_roundoff

SMALLEST = 1e-150  #: a kernel norm whose square float64 still holds in full


@dataclass(frozen=True, eq=False)
class NetworkSums:
    """One network's side. Norms are Frobenius norms unless their name ends in ``_2``.

    ``W_min`` is the smallest nonzero eigenvalue of W (0: no landmark), ``spectrum`` all of them;
    ``A = C W^{+½}`` with ``A_norm`` and ``A_norm_2``; ``Y_norm_2`` = ‖C W⁺‖_2 = ‖X D⁺‖_2; ``residual`` ‖K − K~‖,
    ``residual_trace`` its trace; ``tail_beyond(k)`` the best that any matrix of rank k does (Eckart–Young), which
    takes two d × d eigenproblems; ``cut_C`` and ``cut_W`` bound what cutting D at its rank took from C and W;
    ``longest`` = max ‖x_i‖. With an assignment, else None: ``distances`` = Σ_i ‖x_i − d_l(i)‖, and of
    ``F = X − Y D`` the ``sse`` = ‖F‖², ``FF_norm`` = ‖F Fᵀ‖, ``FX_norm`` = ‖F Xᵀ‖.
    """

    K_norm: float
    C_norm: float
    W_norm: float
    W_min: float
    rank: int
    spectrum: LandmarkSpectrum
    A_norm: float
    A_norm_2: float
    Y_norm_2: float
    residual: float
    residual_trace: float
    tail_beyond: Callable[[int], float]
    cut_C: float
    cut_W: float
    longest: float
    distances: float | None
    sse: float | None
    FF_norm: float | None
    FX_norm: float | None

    @cached_property
    def tail(self) -> float:
        """What the best matrix of the landmarks' rank leaves."""
        return self.tail_beyond(self.rank)

    @cached_property
    def tail_at_m(self) -> float:
        """What the best matrix of rank m leaves."""
        return self.tail_beyond(len(self.spectrum.eigenvalues))


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


class RunningSide:
    """Running sums of one network."""

    def __init__(
        self, X: Rows, D: np.ndarray, means: np.ndarray, gram: np.ndarray | None, basis: Basis, noise: float
    ) -> None:
        d = X.shape[1]
        self.X, self.D, self.means, self.basis, self.noise = X, D, means, basis, noise
        self.known_gram = gram
        self.gram = np.zeros((d, d)) if gram is None else gram
        self.residual = np.zeros((d, d))
        self.C_square = self.longest_square = self.distances = 0.0

    def add(self, X: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """The block's C, its coordinates X V, its F = X − Y D, and C less its group means."""
        if self.known_gram is None:
            self.gram += X.T @ X
        coordinates = X @ self.basis.V
        rest = X - coordinates @ self.basis.V.T
        self.residual += rest.T @ rest
        C = X @ self.D.T
        self.C_square += float(np.vdot(C, C))
        self.longest_square = float(np.fmax(self.longest_square, np.einsum("ij,ij->i", X, X).max()))
        if groups is None:
            return C, coordinates
        F = less_group_means(X, self.D, groups)
        self.distances += float(np.sqrt(np.einsum("ij,ij->i", F, F)).sum())
        centred = F if self.means is self.D else less_group_means(X, self.means, groups)
        return C, coordinates, F, centred @ self.D.T

    def result(self, coordinates_gram: np.ndarray, F_gram: np.ndarray | None) -> NetworkSums:
        sigma, cut = self.basis.sigma, self.basis.cut
        trace = float(np.trace(self.residual))
        return NetworkSums(
            K_norm=frobenius(self.gram),
            C_norm=math.sqrt(self.C_square),
            W_norm=frobenius(self.D.T @ self.D),
            W_min=float(sigma[-1] ** 2) if len(sigma) else 0.0,
            rank=len(sigma),
            spectrum=landmark_spectrum(self.D, storage_roundoff(self.X), self.noise),
            A_norm=math.sqrt(float(np.trace(coordinates_gram))),
            A_norm_2=_spectral_root(coordinates_gram),
            Y_norm_2=_spectral_root(coordinates_gram / np.outer(sigma, sigma)),
            residual=frobenius(self.residual),
            residual_trace=trace,
            tail_beyond=self.tail_beyond,
            cut_C=float(cut[0]) * math.sqrt(trace) if len(cut) else 0.0,
            cut_W=float(np.sqrt(np.sum(cut**4))),
            longest=math.sqrt(self.longest_square),
            distances=None if F_gram is None else self.distances,
            sse=None if F_gram is None else float(np.trace(F_gram)),
            FF_norm=None if F_gram is None else frobenius(F_gram),
            FX_norm=None if F_gram is None else math.sqrt(max(0.0, float(np.vdot(F_gram, self.gram)))),
        )

    def tail_beyond(self, k: int) -> float:
        """(Σ_{i > k} λ_i(XᵀX)²)^½, k >= r. Interlacing, λ_{r+i} <= λ_i(residual), takes off the Gram's rounding."""
        left = np.linalg.eigvalsh(self.gram)[::-1][k:]
        ceiling = np.linalg.eigvalsh(self.residual)[::-1][k - self.basis.rank :][: len(left)]
        return float(np.linalg.norm(np.clip(np.minimum(left, ceiling), 0, None)))


class RunningSums:
    """Running sums of the differences between two networks."""

    def __init__(self, student: RunningSide, teacher: RunningSide, m: int, assigned: bool) -> None:
        self.student, self.teacher = student, teacher
        self.r_S = student.basis.rank
        r = self.r_S + teacher.basis.rank
        self.coordinates = np.zeros((r, r))
        self.dC_squares, self.dC_sums = np.zeros(m), np.zeros(m)
        self.dA_square = 0.0
        # A_S − A_T = [X_S V_S, X_T V_T] [U_S, −U_T]ᵀ; with more landmarks than columns only the R-factor matters
        self.mix = np.hstack([student.basis.U, -teacher.basis.U]).T
        if r < m:
            self.mix = np.linalg.qr(self.mix.T)[1].T
        self.within_squares = np.zeros(m)
        p = student.X.shape[1] + teacher.X.shape[1]
        self.F_gram = np.zeros((p, p)) if assigned else None

    def add(self, X_S: np.ndarray, X_T: np.ndarray, groups: np.ndarray | None) -> None:
        C_S, B_S, *assigned_S = self.student.add(X_S, groups)
        C_T, B_T, *assigned_T = self.teacher.add(X_T, groups)
        dC = C_S - C_T
        self.dC_squares += np.einsum("ij,ij->j", dC, dC)
        self.dC_sums += np.abs(dC).sum(axis=0)
        B = np.hstack([B_S, B_T])
        self.coordinates += B.T @ B
        dA = B @ self.mix
        self.dA_square += float(np.vdot(dA, dA))
        if self.F_gram is not None:
            (F_S, part_S), (F_T, part_T) = assigned_S, assigned_T
            part = part_S - part_T
            self.within_squares += np.einsum("ij,ij->j", part, part)
            F = np.hstack([F_S, F_T])
            self.F_gram += F.T @ F

    def require_usable(self) -> None:
        """NaN, Inf and squares that leave float64 show in the sums, so looking for them costs no pass."""
        if not all(np.isfinite(a).all() for a in (self.student.gram, self.teacher.gram, self.dC_squares)):
            require_finite(self.teacher.X, "teacher features")
            require_finite(self.student.X, "student features")
        norm = max(frobenius(self.student.gram), frobenius(self.teacher.gram))
        if not (norm == 0 or SMALLEST < norm < 1 / SMALLEST) or not np.isfinite(self.dC_squares).all():
            raise DegenerateKernel(
                f"kernel norms reach {norm:.3g}, whose squares leave float64; multiply all features by a common factor"
            )

    def result(
        self,
        strategy: str,
        exact_centres: bool,
        assignment: np.ndarray | None,
        repeats: int,
        same: bool,
    ) -> NystromSums:
        S, T, F, r_S, d_S = self.student, self.teacher, self.F_gram, self.r_S, self.student.X.shape[1]
        student = S.result(self.coordinates[:r_S, :r_S], None if F is None else F[:d_S, :d_S])
        teacher = T.result(self.coordinates[r_S:, r_S:], None if F is None else F[d_S:, d_S:])
        m = len(self.dC_squares)
        between = across = within = counts = None
        if assignment is not None:
            counts = np.bincount(assignment[assignment >= 0], minlength=m)
            between, across = self.between(counts), 2 * math.fsum(counts * self.within_squares)
        if exact_centres and F is not None and assignment is not None:
            rest = LessGroupMeans(S.X, S.D, assignment), LessGroupMeans(T.X, T.D, assignment)
            seen = (between or 0.0) + (across or 0.0)
            within = 0.0 if same else kernel_difference(F, d_S, *rest, negligible=RESOLVED * seen) ** 2
        projected = Mapped(S.X, S.basis.V), Mapped(T.X, T.basis.V)
        scale = student.K_norm + teacher.K_norm
        return NystromSums(
            n=S.X.shape[0],
            m=m,
            strategy=strategy,
            repeats=repeats,
            exact_centres=exact_centres,
            counts=counts,
            teacher=teacher,
            student=student,
            dC_squares=self.dC_squares,
            dC_sums=self.dC_sums,
            dA=math.sqrt(self.dA_square),
            dW=math.sqrt(math.fsum(float(np.vdot(b, b)) for b in _dW_blocks(S.D, T.D))),
            dK=0.0
            if same
            else kernel_difference(self.coordinates, r_S, *projected, negligible=(RESOLVED * scale) ** 2),
            between=between,
            across=across,
            within=within,
        )

    def between(self, counts: np.ndarray) -> float:
        """Σ_ll' n_l n_l' (dB_ll' + dB_l'l − dW_ll')², dB the group means of dC; for exact centres dB = dW."""
        S, T, total, first = self.student, self.teacher, [], 0
        for dW in _dW_blocks(S.D, T.D):
            stop = first + len(dW)
            block = dW
            if S.means is not S.D:
                rows = slice(first, stop)
                block = (S.means[rows] @ S.D.T - T.means[rows] @ T.D.T) - dW
                block += S.D[rows] @ S.means.T - T.D[rows] @ T.means.T
            total.append(float(counts[first:stop] @ (block**2 @ counts)))
            first = stop
        return math.fsum(total)


def _dW_blocks(D_S: np.ndarray, D_T: np.ndarray) -> Iterator[np.ndarray]:
    """``W_S − W_T`` by blocks of rows."""
    for start, stop in row_steps(len(D_S), len(D_S)):
        yield D_S[start:stop] @ D_S.T - D_T[start:stop] @ D_T.T


def _spectral_root(gram: np.ndarray) -> float:
    """‖X‖_2 from XᵀX."""
    return math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1]))) if len(gram) else 0.0
