"""Nyström sums, and the pass over the rows that fills them.

Nothing n × n and no pseudo-inverse is formed: D is factored once (docs/theory.md 4.2). What the Gram gives without
cancelling is taken from it: the residual ``(I − P) XᵀX (I − P)``, ``FᵀF`` of F = X − Y D, the coordinates' Gram
``Vᵀ XᵀX V``. Then the pass is one product of rows and landmarks, C = X Dᵀ. Where little is left of a Gram (features
that lie in the landmarks' span, or are nearly their groups' means) rows are projected first and multiplied afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.accumulate import side_by_side_gram
from kernelscope.kernels.distance.difference import RESOLVED, kernel_difference
from kernelscope.kernels.nystrom.nystrom_sums import NetworkSums, NystromSums
from kernelscope.kernels.nystrom.spectrum import Basis, landmark_spectrum
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.row_views import LessGroupMeans, Mapped, less_group_means
from kernelscope.kernels.rows import Rows, require_finite, row_steps, step_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
    from kernelscope.kernels.shares import Share

LEAST_LEFT = 1e-2  #: share of a trace, or of two squares, that a difference of Grams must leave to be trusted
MOST_LANDMARKS = 2048  #: up to which C is corrected by m × m group means instead of formed once more from rows of F
SMALLEST = 1e-150  #: a kernel norm whose square float64 still holds in full


class RunningSide:
    """One network: what its Gram gives, and running sums of what only rows give.

    Args:
        D: landmarks ``(m, d)``; basis: their singular value decomposition; rank: at which it is to be cut, if at all.
        means: the group means of X, D itself where it is exact.
        gram: XᵀX.
        least_left: share of its trace that the residual must have to be taken from the Gram.
    """

    def __init__(
        self,
        X: Rows,
        D: np.ndarray,
        means: np.ndarray,
        gram: np.ndarray,
        basis: Basis,
        rank: int | None,
        least_left: float = LEAST_LEFT,
    ) -> None:
        self.X, self.D, self.means, self.gram, self.basis = X, D, means, gram, basis.at_most(rank)
        self.spectrum = landmark_spectrum(basis)
        self.residual = _projected(gram, self.basis.V)
        self.residual_by_rows = cancels(float(np.trace(self.residual)), float(np.trace(gram)), least_left)
        if self.residual_by_rows:
            self.residual = np.zeros_like(gram)
        self.C_square = self.longest_square = self.distances = 0.0

    def add(self, X: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The block's C; ``lengths`` are ‖x_i‖²."""
        if self.residual_by_rows:
            rest = X - (X @ self.basis.V) @ self.basis.V.T
            self.residual += rest.T @ rest
        C: np.ndarray = X @ self.D.T
        self.C_square += float(np.vdot(C, C))
        self.longest_square = float(np.fmax(self.longest_square, lengths.max()))
        return C

    def take_in_others(self, share: Share) -> None:
        """What the other processes found in their shares of the rows."""
        own = np.array(self.C_square), np.array(self.distances)
        by_rows = (self.residual,) if self.residual_by_rows else ()
        C_square, distances, *residual = share.summed(*own, *by_rows)
        self.C_square, self.distances = float(C_square), float(distances)
        self.residual = residual[0] if residual else self.residual
        (longest,) = share.gathered(np.array([self.longest_square]))
        self.longest_square = float(np.fmax.reduce(longest))

    def result(self, coordinates_gram: np.ndarray, F_gram: np.ndarray | None) -> NetworkSums:
        sigma, cut = self.basis.sigma, self.basis.cut
        return NetworkSums(
            gram=self.gram,
            residual_gram=self.residual,
            C_norm=math.sqrt(self.C_square),
            W_norm=frobenius(self.D.T @ self.D),
            W_min=float(sigma[-1] ** 2) if len(sigma) else 0.0,
            rank=len(sigma),
            spectrum=self.spectrum,
            A_norm_2=_spectral_root(coordinates_gram),
            Y_norm_2=_spectral_root(coordinates_gram / sigma[:, None] / sigma),
            cut_C=float(cut[0]) * math.sqrt(float(np.trace(self.residual))) if len(cut) else 0.0,
            cut_W=float(np.sqrt(np.sum(cut**4))),
            longest=math.sqrt(self.longest_square),
            distances=None if F_gram is None else self.distances,
            FF_norm=None if F_gram is None else frobenius(F_gram),
            FX_norm=None if F_gram is None else math.sqrt(max(0.0, float(np.vdot(F_gram, self.gram)))),
        )


class RunningSums:
    """Both networks, and running sums of the differences between them.

    Args:
        gram: of ``Z = [X_S, X_T]``. What it gives is taken from it unless that would cancel: then rows give it.

    ``step``: rows that are to be added at a time, at most.
    """

    def __init__(
        self, student: RunningSide, teacher: RunningSide, landmarks: LandmarkVectors, gram: np.ndarray
    ) -> None:
        self.student, self.teacher, self.landmarks = student, teacher, landmarks
        self.d_S, self.r_S = student.X.shape[1], student.basis.rank
        self.step = step_rows(landmarks.m + len(gram))
        self.dC_squares, self.dC_sums = np.zeros(landmarks.m), np.zeros(landmarks.m)
        self._take_coordinates(gram)
        self.within_squares = np.zeros(landmarks.m)
        self.F_gram: np.ndarray | None = None
        self.F_by_rows = False
        if landmarks.assignment is not None:
            self._take_groups(gram, landmarks.assignment)

    def _take_coordinates(self, gram: np.ndarray) -> None:
        """The Gram of ``B = [X_S V_S, X_T V_T]``, and ‖A_S − A_T‖², ``A_S − A_T = B [U_S, −U_T]ᵀ``."""
        S, T, d_S = self.student.basis, self.teacher.basis, self.d_S
        cross = S.V.T @ gram[:d_S, d_S:] @ T.V
        own_S, own_T = (side.basis.V.T @ side.gram @ side.basis.V for side in (self.student, self.teacher))
        self.coordinates = side_by_side_gram(own_S, own_T, cross)
        mix = np.hstack([S.U, -T.U]).T
        # with more landmarks than columns only the R-factor matters
        self.mix = np.linalg.qr(mix.T)[1].T if len(mix) < self.landmarks.m else mix
        self.dA_square = float(np.vdot(self.mix, self.coordinates @ self.mix))
        self.dA_by_rows = cancels(self.dA_square, float(np.trace(self.coordinates)))
        if self.dA_by_rows:
            self.dA_square = 0.0

    def _take_groups(self, gram: np.ndarray, assignment: np.ndarray) -> None:
        """The Gram of ``F = X − Y D``, and the group means of C_S − C_T."""
        S, T, m = self.student, self.teacher, self.landmarks.m
        self.counts = np.bincount(assignment[assignment >= 0], minlength=m)
        D, means = (np.hstack(pair) for pair in ((S.D, T.D), (S.means, T.means)))
        sums = means * self.counts[:, None]
        F_gram = gram - sums.T @ D - D.T @ sums + (D * self.counts[:, None]).T @ D
        left, whole = np.diag(F_gram), np.diag(gram)
        parts = slice(0, self.d_S), slice(self.d_S, None)
        self.F_by_rows = m > MOST_LANDMARKS or any(
            cancels(float(left[part].sum()), float(whole[part].sum())) for part in parts
        )
        self.F_gram = np.zeros_like(gram) if self.F_by_rows else F_gram
        if not self.F_by_rows:
            self.dC_means = S.means @ S.D.T - T.means @ T.D.T

    def add(self, start: int, X_S: np.ndarray, X_T: np.ndarray) -> None:
        """Take in float64 rows from row ``start``."""
        assignment = self.landmarks.assignment
        groups = None if assignment is None else assignment[start : start + len(X_S)]
        lengths_S, lengths_T = (np.einsum("ij,ij->i", X, X) for X in (X_S, X_T))
        C_S, C_T = self.student.add(X_S, lengths_S), self.teacher.add(X_T, lengths_T)
        dC = C_S - C_T
        self.dC_squares += np.einsum("ij,ij->j", dC, dC)
        self.dC_sums += np.abs(dC).sum(axis=0)
        if self.dA_by_rows:
            dA = np.hstack([X_S @ self.student.basis.V, X_T @ self.teacher.basis.V]) @ self.mix
            self.dA_square += float(np.vdot(dA, dA))
        if groups is None:
            return
        if self.F_by_rows:
            self._add_differences(X_S, X_T, groups)
            return
        for side, C, lengths in ((self.student, C_S, lengths_S), (self.teacher, C_T, lengths_T)):
            side.distances += self._distances(side, C, lengths, groups)
        part = less_group_means(dC, self.dC_means, groups)
        self.within_squares += np.einsum("ij,ij->j", part, part)

    def _distances(self, side: RunningSide, C: np.ndarray, lengths: np.ndarray, groups: np.ndarray) -> float:
        """Σ ‖x_i − d_l(i)‖, the square as ‖x‖² − 2 xᵀd + ‖d‖²; a row that is its own landmark is at none."""
        own = np.flatnonzero(groups >= 0)
        l = groups[own]
        squares = lengths.copy()
        squares[own] += np.einsum("ij,ij->i", side.D, side.D)[l] - 2 * C[own, l]
        if side.means is side.D:
            squares[own[self.counts[l] == 1]] = 0.0
        return float(np.sqrt(np.maximum(squares, 0.0)).sum())

    def _add_differences(self, X_S: np.ndarray, X_T: np.ndarray, groups: np.ndarray) -> None:
        """The same from the rows of F, where these are small beside X, or landmarks are many."""
        F, parts = [], []
        for side, X in ((self.student, X_S), (self.teacher, X_T)):
            F.append(less_group_means(X, side.D, groups))
            side.distances += float(np.sqrt(np.einsum("ij,ij->i", F[-1], F[-1])).sum())
            centred = F[-1] if side.means is side.D else less_group_means(X, side.means, groups)
            parts.append(centred @ side.D.T)
        part = parts[0] - parts[1]
        self.within_squares += np.einsum("ij,ij->j", part, part)
        both = np.hstack(F)
        self.F_gram += both.T @ both

    def take_in_others(self, share: Share) -> None:
        """What the other processes found in their shares of the rows; what the Gram gave is of all rows already."""
        self.student.take_in_others(share)
        self.teacher.take_in_others(share)
        self.dC_squares, self.dC_sums, self.within_squares = share.summed(
            self.dC_squares, self.dC_sums, self.within_squares
        )
        if self.dA_by_rows:
            self.dA_square = share.numbers(self.dA_square)[0]
        if self.F_by_rows and self.F_gram is not None:
            (self.F_gram,) = share.summed(self.F_gram)

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
        if self.landmarks.assignment is None:
            return None, None, None
        return self.counts, self._between(self.counts), 2 * math.fsum(self.counts * self.within_squares)

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


def cancels(left: float, whole: float, least_left: float = LEAST_LEFT) -> bool:
    """Whether a difference is so small beside what it is the difference of that too few digits are left."""
    return not left >= least_left * whole


def _projected(G: np.ndarray, V: np.ndarray) -> np.ndarray:
    """``(I − P) G (I − P)``, P = V Vᵀ."""
    GV = G @ V
    once = GV @ V.T
    both: np.ndarray = V @ (V.T @ GV) @ V.T
    both += G - once - once.T
    return both


def _spectral_root(gram: np.ndarray) -> float:
    """‖X‖_2 from XᵀX."""
    return math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1]))) if len(gram) else 0.0
