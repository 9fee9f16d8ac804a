"""Spectra of the landmarks' W, of the features and of ``K_S − K_T``; numerical and effective ranks.

W = D Dᵀ is never formed: its eigenvalues are the squared singular values of D, which keep twice the digits
(docs/theory.md 4.7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.kernels.distance.tsqr import estimated_bar, signed_product
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius

LARGEST_KEPT = 512  #: eigenvalues of the difference that a report lists
POWER_STEPS = 8  #: of power iteration, which is to find the order of an eigenvalue


@dataclass(frozen=True, eq=False)
class Basis:
    """``D = U diag(sigma) Vᵀ`` cut at its numerical rank r: ``U (m, r)``, ``sigma (r,)`` descending, ``V (d, r)``.

    ``cut`` holds the singular values left out, descending.
    """

    U: np.ndarray
    sigma: np.ndarray
    V: np.ndarray
    cut: np.ndarray

    @property
    def rank(self) -> int:
        return len(self.sigma)

    def at_most(self, rank: int | None) -> Basis:
        """Cut at a lower rank, the paper's k; None for none."""
        if rank is None or rank >= self.rank:
            return self
        cut = np.concatenate([self.sigma[rank:], self.cut])
        return Basis(self.U[:, :rank], self.sigma[:rank], self.V[:, :rank], cut)


def landmark_basis(D: np.ndarray, roundoff: float = 0.0, noise: float = 0.0) -> Basis:
    """Singular value decomposition of landmarks ``D (m, d)``, truncated at the numerical rank.

    Args:
        D: landmarks, float64.
        roundoff: unit roundoff of the type the features are *stored* in, 0 for float64.
        noise: ‖·‖_2 of what forming D may have added (:meth:`Landmarks.noise`): means of large rows that cancel.
    """
    if D.size == 0:
        return Basis(np.zeros((D.shape[0], 0)), np.zeros(0), np.zeros((D.shape[1], 0)), np.zeros(0))
    U, sigma, Vt = np.linalg.svd(D, full_matrices=False)
    kept = int(np.count_nonzero(sigma > max(noise, _singular_tolerance(D, sigma[0], roundoff))))
    return Basis(U[:, :kept], sigma[:kept], Vt[:kept].T, sigma[kept:])


def _singular_tolerance(D: np.ndarray, largest: float, roundoff: float) -> float:
    """max(m, d) u σ_1 (docs/theory.md 4.7), u the stored type's; never below LAPACK's own noise.

    For half precision that factor can pass 1 and cut everything, so there the perturbation bound it stands for is
    used itself: rounding the entries moves no singular value by more than u ‖D‖_F.
    """
    noise = max(D.shape) * 2 * UNIT_ROUNDOFF * largest
    stored = max(D.shape) * roundoff * largest if roundoff <= 2.0**-24 else roundoff * frobenius(D)
    return float(max(noise, stored))


@dataclass(frozen=True)
class LandmarkSpectrum:
    """Eigenvalues of ``W = D Dᵀ``, all m, descending; ``min`` is 0 and ``condition`` None where m > rank.

    ``below_one`` counts eigenvalues below 1, which the paper assumes there are none of (Figure 5).
    """

    eigenvalues: tuple[float, ...]
    min: float
    max: float
    rank: int
    condition: float | None
    below_one: int


def landmark_spectrum(basis: Basis) -> LandmarkSpectrum:
    """Spectrum of W from the singular values of the landmarks; those beyond the rank count as 0."""
    m = len(basis.U)
    eigenvalues = np.zeros(m)
    eigenvalues[: basis.rank] = basis.sigma**2
    full = basis.rank == m > 0
    return LandmarkSpectrum(
        eigenvalues=tuple(eigenvalues.tolist()),
        min=float(eigenvalues[-1]) if full else 0.0,
        max=float(eigenvalues[0]) if m else 0.0,
        rank=basis.rank,
        condition=float((basis.sigma[0] / basis.sigma[-1]) ** 2) if full else None,
        below_one=int(np.count_nonzero(eigenvalues < 1)),
    )


def effective_rank(eigenvalues: np.ndarray) -> float:
    """``exp(−Σ p_i log p_i)``, ``p_i = λ_i / Σ λ``: how many equal eigenvalues would have this entropy; 0 for none."""
    total = float(np.sum(eigenvalues))
    if not total > 0:
        return 0.0
    p = eigenvalues[eigenvalues > 0] / total
    p = p[p > 0]  # a ratio may underflow, and 0 log 0 would be NaN
    return float(np.exp(-np.sum(p * np.log(p))))


@dataclass(frozen=True)
class FeatureSpectrum:
    """Of ``XᵀX``: numerical ``rank``, ``effective_rank`` (exp entropy), and ``top_share`` of the largest eigenvalue."""

    rank: int
    effective_rank: float
    top_share: float


def feature_spectrum(gram: np.ndarray, n: int, roundoff: float = 0.0) -> FeatureSpectrum:
    """Spectrum of features from their Gram ``XᵀX (d, d)`` over n examples, stored with unit roundoff ``roundoff``."""
    return feature_spectrum_of(np.linalg.eigvalsh(gram)[::-1], n, roundoff)


def feature_spectrum_of(eigenvalues: np.ndarray, n: int, roundoff: float = 0.0) -> FeatureSpectrum:
    """The same from the eigenvalues of the Gram, descending."""
    d = len(eigenvalues)
    kept = eigenvalues[eigenvalues > gram_tolerance(eigenvalues[0], d, n, roundoff)][: min(n, d)]
    if len(kept) == 0:
        return FeatureSpectrum(0, 0.0, 0.0)
    return FeatureSpectrum(len(kept), effective_rank(kept), float(kept[0] / kept.sum()))


def gram_tolerance(largest: float, d: int, n: int, roundoff: float = 0.0) -> float:
    """Eigenvalues of ``XᵀX`` below this are rounding: of the Gram itself, or of storing X (≤ u ‖X‖_F on a σ)."""
    return max(16 * d * UNIT_ROUNDOFF, min(n, d) * roundoff**2) * max(largest, 0.0)


@dataclass(frozen=True)
class DifferenceSpectrum:
    """Nonzero eigenvalues of ``K_S − K_T``: the largest by size first, at most 512 of them; norms and signs of all.

    ``positive`` directions are the student's surplus, ``negative`` ones what it lacks. ``spectral_error`` and
    ``nuclear_error`` are estimates of what rounding may have cost the two norms.
    """

    eigenvalues: tuple[float, ...]
    spectral_norm: float
    nuclear_norm: float
    positive: int
    negative: int
    spectral_error: float
    nuclear_error: float


@dataclass(frozen=True, eq=False)
class Decomposition:
    """``R J Rᵀ = U diag(values) Uᵀ`` with ``RᵀR = ZᵀZ``, ``Z = [X_S, X_T]``: values ascending, those of ``K_S − K_T``.

    ``kept``: which are not 0 within rounding; ``errors`` estimates what rounding may have cost each, and
    ``error_of_sum`` what it may have cost the sum of the sizes of those kept. ``R`` (k, d_S + d_T), ``U`` (k, k).
    """

    R: np.ndarray
    values: np.ndarray
    U: np.ndarray
    kept: np.ndarray
    errors: np.ndarray
    error_of_sum: float

    def spectrum(self) -> DifferenceSpectrum:
        """What a report lists of it."""
        return _spectrum(self.values, self.kept, self.errors, self.error_of_sum)


def decomposed(R: np.ndarray, d_student: int, *, floor: float = 0.0) -> Decomposition:
    """Of any R, ``RᵀR = ZᵀZ`` (docs/theory.md 2.3); see :func:`difference_spectrum`."""
    values, U = np.linalg.eigh(signed_product(R, d_student))
    tolerance = max(estimated_bar(R[:, :d_student], R[:, d_student:]), floor)
    kept = np.abs(values) > tolerance
    return Decomposition(R, values, U, kept, np.full(len(values), tolerance), math.sqrt(len(values)) * tolerance)


def decomposed_gram(gram: np.ndarray, d_student: int, *, floor: float = 0.0) -> Decomposition:
    """The same from the Gram ``ZᵀZ``; see :func:`difference_spectrum_of_gram`."""
    R, largest = _root(gram)
    noise = _noise(gram, largest)
    values, U = np.linalg.eigh(signed_product(R, d_student))
    lengths = np.linalg.norm(R.T @ U, axis=0)
    limits = math.sqrt(noise) * lengths
    kept = (np.abs(values) > limits) & (np.abs(values) > floor)
    errors = np.where(kept, noise * lengths**2 / np.where(kept, np.abs(values), 1.0), limits)
    return Decomposition(R, values, U, kept, errors, float(errors[kept].sum()))


def difference_spectrum(R: np.ndarray, d_student: int, *, floor: float = 0.0) -> DifferenceSpectrum:
    """Spectrum of ``K_S − K_T`` from any R, ``RᵀR = ZᵀZ``, ``Z = [X_S, X_T]``: that of ``R J Rᵀ`` (docs/theory.md 2.3).

    Args:
        R: shape ``(k, d_S + d_T)``, from :func:`kernelscope.kernels.distance.tsqr.r_factor`.
        d_student: how many of the columns are the student's.
        floor: eigenvalues no larger count as 0 even if arithmetic resolves them (such as what storage has cost).

    Accurate to about u (‖K_S‖ + ‖K_T‖) whatever the loss; eigenvalues within that of 0 count as 0.
    """
    return decomposed(R, d_student, floor=floor).spectrum()


def difference_spectrum_of_gram(gram: np.ndarray, d_student: int, *, floor: float = 0.0) -> DifferenceSpectrum:
    """The same from the Gram ``ZᵀZ``, which costs no pass; for losses above 1e-3 only.

    An eigenvalue λ with eigenvector q of ``R J Rᵀ`` moves by ``‖δ‖ ‖Rᵀq‖² / |λ|`` when the Gram moves by δ, so
    it counts as 0 unless it exceeds that for δ the Gram's own rounding. Small losses make ‖Rᵀq‖ large beside λ:
    that is where the square root of u is lost.
    """
    return decomposed_gram(gram, d_student, floor=floor).spectrum()


def _root(gram: np.ndarray) -> tuple[np.ndarray, float]:
    """R with ``RᵀR = gram`` to rounding, and about how large the gram's largest eigenvalue is."""
    try:
        R = np.linalg.cholesky(gram).T
    except np.linalg.LinAlgError:  # singular to rounding
        mu, V = np.linalg.eigh(gram)
        kept = mu > _noise(gram, mu[-1])
        return np.sqrt(mu[kept])[:, None] * V[:, kept].T, float(mu[-1])
    v = gram[np.argmax(np.diag(gram))]
    for _ in range(POWER_STEPS):
        v = gram @ (v / np.linalg.norm(v))
    return R, float(np.linalg.norm(v))


def _noise(gram: np.ndarray, largest: float) -> float:
    return 16 * len(gram) * UNIT_ROUNDOFF * max(largest, 0.0)


def _spectrum(values: np.ndarray, kept: np.ndarray, errors: np.ndarray, error_of_sum: float) -> DifferenceSpectrum:
    """``errors``: of each eigenvalue; what one that counts as 0 may be is at most its size and its error."""
    left_out = float(np.sum((np.abs(values) + errors)[~kept]))
    values, errors = values[kept], errors[kept]
    order = np.argsort(-np.abs(values), kind="stable")
    ordered = values[order]
    return DifferenceSpectrum(
        eigenvalues=tuple(ordered[:LARGEST_KEPT].tolist()),
        spectral_norm=float(np.abs(ordered[0])) if len(ordered) else 0.0,
        nuclear_norm=float(np.abs(ordered).sum()),
        positive=int(np.count_nonzero(ordered > 0)),
        negative=int(np.count_nonzero(ordered < 0)),
        spectral_error=float(errors.max()) if len(ordered) else left_out,
        nuclear_error=error_of_sum + left_out,
    )
