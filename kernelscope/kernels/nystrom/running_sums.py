"""Nyström sums, the pass over the rows that fills them.

Nothing n × n and no pseudo-inverse is formed: D is factored once, rows are projected first and multiplied
afterwards (docs/theory.md 4.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.difference import RESOLVED, kernel_difference
from kernelscope.kernels.nystrom.nystrom_sums import NetworkSums, NystromSums
from kernelscope.kernels.nystrom.spectrum import Basis, landmark_spectrum
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.row_views import LessGroupMeans, Mapped, less_group_means
from kernelscope.kernels.rows import Rows, require_finite, row_steps, storage_roundoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.nystrom.landmarks import LandmarkVectors

SMALLEST = 1e-150  #: a kernel norm whose square float64 still holds in full


class RunningSide:
    """Running sums of one network.

    Args:
        D: landmarks ``(m, d)``; basis: their singular value decomposition; noise: what D may be off, in ‖·‖_2.
        means: the group means of X, D itself where it is exact.
        gram: XᵀX where it is known.
    """

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
        # projected before it is multiplied: (I − P) XᵀX (I − P) would cancel to half the digits
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
        return NetworkSums(
            gram=self.gram,
            residual_gram=self.residual,
            C_norm=math.sqrt(self.C_square),
            W_norm=frobenius(self.D.T @ self.D),
            W_min=float(sigma[-1] ** 2) if len(sigma) else 0.0,
            rank=len(sigma),
            spectrum=landmark_spectrum(self.D, storage_roundoff(self.X), self.noise),
            A_norm_2=_spectral_root(coordinates_gram),
            Y_norm_2=_spectral_root(coordinates_gram / np.outer(sigma, sigma)),
            cut_C=float(cut[0]) * math.sqrt(float(np.trace(self.residual))) if len(cut) else 0.0,
            cut_W=float(np.sqrt(np.sum(cut**4))),
            longest=math.sqrt(self.longest_square),
            distances=None if F_gram is None else self.distances,
            FF_norm=None if F_gram is None else frobenius(F_gram),
            FX_norm=None if F_gram is None else math.sqrt(max(0.0, float(np.vdot(F_gram, self.gram)))),
        )


class RunningSums:
    """Running sums of the differences between two networks."""

    def __init__(self, student: RunningSide, teacher: RunningSide, landmarks: LandmarkVectors) -> None:
        self.student, self.teacher, self.landmarks = student, teacher, landmarks
        m, self.r_S, self.d_S = landmarks.m, student.basis.rank, student.X.shape[1]
        r = self.r_S + teacher.basis.rank
        self.coordinates = np.zeros((r, r))
        self.dC_squares, self.dC_sums = np.zeros(m), np.zeros(m)
        self.dA_square = 0.0
        # A_S − A_T = [X_S V_S, X_T V_T] [U_S, −U_T]ᵀ; with more landmarks than columns only the R-factor matters
        self.mix = np.hstack([student.basis.U, -teacher.basis.U]).T
        if r < m:
            self.mix = np.linalg.qr(self.mix.T)[1].T
        self.within_squares = np.zeros(m)
        p = self.d_S + teacher.X.shape[1]
        self.F_gram = None if landmarks.assignment is None else np.zeros((p, p))

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

    def result(self, same: bool) -> NystromSums:
        """``same``: the two networks' features and landmarks are equal number by number."""
        S, T, F, r_S, d_S = self.student, self.teacher, self.F_gram, self.r_S, self.d_S
        student = S.result(self.coordinates[:r_S, :r_S], None if F is None else F[:d_S, :d_S])
        teacher = T.result(self.coordinates[r_S:, r_S:], None if F is None else F[d_S:, d_S:])
        counts, between, across = self._seen_by_groups()
        return NystromSums(
            n=S.X.shape[0],
            m=self.landmarks.m,
            strategy=self.landmarks.strategy,
            repeats=self.landmarks.repeats,
            exact_centres=self.landmarks.exact_centres,
            counts=counts,
            teacher=teacher,
            student=student,
            dC_squares=self.dC_squares,
            dC_sums=self.dC_sums,
            dA=math.sqrt(self.dA_square),
            dW=math.sqrt(math.fsum(float(np.vdot(b, b)) for b in _dW_blocks(S.D, T.D))),
            dK=0.0 if same else self._between_approximations(student.K_norm + teacher.K_norm),
            between=between,
            across=across,
            within=self._within_groups(same, (between or 0.0) + (across or 0.0)),
        )

    def _between_approximations(self, scale: float) -> float:
        """‖K~_S − K~_T‖, a kernel difference of the coordinates X V."""
        projected = (Mapped(side.X, side.basis.V) for side in (self.student, self.teacher))
        return kernel_difference(self.coordinates, self.r_S, *projected, negligible=(RESOLVED * scale) ** 2)

    def _seen_by_groups(self) -> tuple[np.ndarray | None, float | None, float | None]:
        """n_l, ‖ΠMΠ‖² and 2‖ΠM(I − Π)‖²; None without an assignment."""
        assignment = self.landmarks.assignment
        if assignment is None:
            return None, None, None
        counts = np.bincount(assignment[assignment >= 0], minlength=self.landmarks.m)
        return counts, self._between(counts), 2 * math.fsum(counts * self.within_squares)

    def _within_groups(self, same: bool, seen: float) -> float | None:
        """‖F_S F_Sᵀ − F_T F_Tᵀ‖² of exact centres; an error far below ``seen`` does not matter."""
        assignment, S, T = self.landmarks.assignment, self.student, self.teacher
        if not self.landmarks.exact_centres or assignment is None or self.F_gram is None:
            return None
        if same:
            return 0.0
        rest = LessGroupMeans(S.X, S.D, assignment), LessGroupMeans(T.X, T.D, assignment)
        return kernel_difference(self.F_gram, self.d_S, *rest, negligible=RESOLVED * seen) ** 2

    def _between(self, counts: np.ndarray) -> float:
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
