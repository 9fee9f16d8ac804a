"""One point of a trajectory: a student's kernel against its teacher's during training, on fixed examples.

The teacher's rows, Gram and landmarks are kept; each point costs one pass over the student's rows, n d_S (d_S + d_T)
multiply-adds, and what the landmarks take.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.accumulate import CrossSum, OwnSum, side_by_side_gram, summation_chain
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, well_scaled_sums
from kernelscope.kernels.distance.gram import GramSums
from kernelscope.kernels.distance.gram_errors import summation_errors
from kernelscope.kernels.nystrom.bounds import bounds
from kernelscope.kernels.nystrom.choosing import class_means, kmeans
from kernelscope.kernels.nystrom.intervals import Theorem2, theorem2
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.kernels.rounding import gamma
from kernelscope.kernels.rows import BLOCK_ROWS, identical, require_finite
from kernelscope.kernels.scales import require_norms, within_float64
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.ladder import best_scaled

if TYPE_CHECKING:
    from kernelscope.kernels.nystrom.landmarks import Landmarks


@dataclass(frozen=True)
class Snapshot:
    """The numbers of Figures 4 and 5 and of the bounds, at one moment of training; fields as in a report's pair.

    ``scaled`` is the loss after the best scalar; ``estimate`` ‖C_S − C_T‖_F / ‖K_T‖_F (Figure 4's) and
    ``expanded_estimate`` the same in the loss's own units; ``min_eigenvalue_*`` those of W (Figure 5), 0 where the
    landmarks are dependent; ``theorem2`` its terms; ``bounds`` each bound's value over ‖K_T‖_F, to hold against
    ``transfer_loss``. None where a number does not exist. Features whose kernel norms lie outside 1e-100 .. 1e100 are
    rescaled first, and the printed corollaries, which do not scale back, are then left out.
    """

    n: int
    landmarks: int
    transfer_loss: float
    scaled: float
    cka: float | None
    norm_teacher: float
    norm_student: float
    partial_norm: float
    partial_ratio: float | None
    estimate: float
    expanded_estimate: float | None
    min_eigenvalue_teacher: float
    min_eigenvalue_student: float
    theorem2: dict[str, float] | None
    bounds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Teacher:
    """A teacher's rows at one layer, with everything that does not depend on the student.

    Args:
        X_T: features, shape ``(n, d_T)``.
        labels: shape ``(n,)``; landmarks are the class means of each network's own features. None for k-means cells
            of the teacher's.

    Raises:
        NumericalError: NaN or infinite features.
    """

    def __init__(self, X_T: np.ndarray, labels: np.ndarray | None, seed: int = 0) -> None:
        require_finite(X_T, "teacher features")
        self.X = np.ascontiguousarray(X_T)
        n = len(self.X)
        self.landmarks: Landmarks = (
            class_means(labels) if labels is not None else kmeans(self.X, max(1, min(100, n // 10)), seed)
        )
        own = OwnSum(self.X.shape[1])
        for start in range(0, n, BLOCK_ROWS):
            own.add(_block(self.X[start : start + BLOCK_ROWS]))
        self._gram, self._sums = own.gram(), np.asarray(own.sums)

    def against(self, X_S: np.ndarray) -> Snapshot:
        """The student's rows of the same examples, shape ``(n, d_S)``, against the teacher's.

        Raises:
            Mismatch: another number of rows. NumericalError: NaN or infinite features.
            DegenerateKernel: an all-zero teacher.
        """
        if X_S.ndim != 2 or len(X_S) != len(self.X):
            raise Mismatch(f"student features have shape {X_S.shape}, expected {len(self.X)} rows; give the same rows")
        with within_float64(teacher=self.X, student=X_S):
            return self._against(np.ascontiguousarray(X_S))

    def _against(self, X_S: np.ndarray) -> Snapshot:
        scaled = self._sums_with(X_S)
        require_norms(scaled.unit)
        loss = loss_from_sums(scaled)
        sums = partial(teacher=scaled.teacher, student=scaled.student, landmarks=self.landmarks, sums=scaled.sums)
        norm_T, unit = scaled.sums.norm_teacher, scaled.unit
        found = bounds(sums, loss.norm_difference / unit, scaled.sums.norm_student, norm_T, rescaled=unit != 1)
        terms = theorem2(sums)
        return Snapshot(
            n=len(self.X),
            landmarks=sums.m,
            transfer_loss=loss.value,
            scaled=float(best_scaled(scaled)),
            cka=cka(centre(scaled).sums),
            norm_teacher=loss.norm_teacher,
            norm_student=loss.norm_student,
            partial_norm=sums.partial_norm * unit,
            partial_ratio=sums.partial_ratio,
            estimate=sums.paper_estimate,
            expanded_estimate=sums.expanded_estimate,
            min_eigenvalue_teacher=sums.teacher.spectrum.min * unit,
            min_eigenvalue_student=sums.student.spectrum.min * unit,
            theorem2=None if terms is None else _in_units(terms, unit),
            bounds={b.name: b.value / norm_T for b in found},
        )

    def _sums_with(self, X_S: np.ndarray) -> ScaledSums:
        """As ``well_scaled_sums`` makes them, the teacher's own part taken from before."""
        X_T, d_S = self.X, X_S.shape[1]
        own, cross = OwnSum(d_S), CrossSum(d_S, X_T.shape[1])
        for start in range(0, len(X_T), BLOCK_ROWS):
            S, T = (_block(X[start : start + BLOCK_ROWS]) for X in (X_S, X_T))
            own.add(S)
            cross.add(S, T)
        gram = side_by_side_gram(own.gram(), self._gram, cross.total())
        if not np.isfinite(gram).all():
            require_finite(X_S, "student features")
        chain = summation_chain(len(X_T), BLOCK_ROWS)
        column_sums = np.concatenate([np.asarray(own.sums), self._sums])
        sums = GramSums(
            len(X_T), d_S, gram, column_sums, summation_errors(gram, d_S, chain), sums_error=1.01 * gamma(chain + 2)
        )
        if not sums.comfortable:
            return well_scaled_sums(teacher=X_T, student=X_S)
        return ScaledSums(X_T, X_S, sums, 1.0, identical(X_T, X_S))


def _in_units(terms: Theorem2, unit: float) -> dict[str, float]:
    """Terms of rescaled features as those of the features given; distances go with the root of a kernel norm."""
    of_rows = ("e", "term_a_student", "term_a_teacher")
    return {name: value * (unit**0.5 if name in of_rows else unit) for name, value in dataclasses.asdict(terms).items()}


def _block(rows: np.ndarray) -> np.ndarray:
    """A contiguous float64 block, as the running sums take it."""
    return np.ascontiguousarray(rows, np.float64)
