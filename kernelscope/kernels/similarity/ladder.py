"""The ladder: residual loss after a scalar, after centring, after a linear head, and the lower bound of this width.

A rung is what one repair leaves of the loss. Each is relative to its own ‖K_T‖_F and carries the interval in which its
exact value for the features as stored lies. raw >= scaled >= head >= width_floor always; ``centred`` is on other
kernels (docs/theory.md 5.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from kernelscope.kernels.distance.answers import OUTWARD
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import columns, kernel_error
from kernelscope.kernels.similarity.alignment import optimal_scale
from kernelscope.kernels.similarity.head import Factors, Head, Rung, StudentGrams, best_head, head_held_out


@dataclass(frozen=True)
class Rungs:
    """See :class:`kernelscope.report.fields.Ladder`."""

    scaled: Rung
    centred: Rung | None
    head: Head
    head_held_out: Rung | None
    width_floor: Rung


def rungs(scaled: ScaledSums, centred: ScaledSums, grams: StudentGrams | None = None) -> Rungs:
    """Every rung below the raw loss; costs no pass over the rows unless a rung is too near 0 for the sums.

    ``grams``: of this student, where it has met another teacher before.
    """
    factors, by_scalar = Factors(scaled), best_scaled(scaled)
    return Rungs(
        scaled=by_scalar,
        centred=best_scaled(centred) if centred.sums.norm_teacher > 0 else None,
        head=best_head(scaled, factors, grams).at_most(by_scalar),
        head_held_out=head_held_out(scaled, factors, grams),
        width_floor=width_floor(scaled),
    )


def best_scaled(scaled: ScaledSums) -> Rung:
    """``min_a ‖a K_S − K_T‖_F / ‖K_T‖_F = sqrt(1 − cos²)``, as a kernel difference: 1 − cos² would cancel.

    The scalar used is not quite the best one, a: ``‖a' K_S − K_T‖² = min² + (a' − a)² ‖K_S‖²`` is what that costs.
    """
    if scaled.same:
        return Rung(0.0, (0.0, 0.0))
    sums, e = scaled.sums, scaled.sums.errors
    factor = math.sqrt(optimal_scale(sums) or 0.0)
    a, b, c = sums.norm_student, sums.norm_teacher, sums.norm_cross
    off_S, off_T = kernel_error(scaled.student), kernel_error(scaled.teacher)
    if factor == 0:
        inner = e.cross * e.cross + off_S * b + off_T * a + off_S * off_T
        cosine = 0.0 if a == 0 else min(1.0, inner / b / a)
        return Rung(1.0, (math.sqrt((1 - cosine) * (1 + cosine)), 1.0))
    unit = 2.0 ** -(math.frexp(b)[1] // 2)  # a student of quite another size leaves the teacher one that has no square
    loss = loss_from_sums(
        replace(
            scaled,
            student=Affine(scaled.student, scale=factor * unit),
            teacher=Affine(scaled.teacher, scale=unit),
            sums=sums.times(student=factor * unit, teacher=unit),
        )
    )
    relative = sum(2 * off + off * off for off in (e.cross / c, (e.student + off_S) / a)) + 16 * UNIT_ROUNDOFF
    relative += (off_S / c) * (b / c) + (off_T / c) * (a / c) + (off_S / c) * (off_T / c)
    wrong = 1.01 * relative * (c / a) * (c / b)
    low, high = loss.interval
    low = math.sqrt(max(0.0, (low - wrong) * (low + wrong))) * (1 - OUTWARD)
    return Rung(min(1.0, loss.value), (min(1.0, low), min(1.0, high)))


def width_floor(scaled: ScaledSums) -> Rung:
    """``(Σ_{i > d_S} σ_i(X_T)⁴)^½ / ‖K_T‖_F``: no student of this width goes below it (Eckart–Young)."""
    sums, width = scaled.sums, columns(scaled.student)
    if width >= min(sums.n, sums.d_teacher):
        return Rung(0.0, (0.0, 0.0))
    error = sums.errors.teacher + kernel_error(scaled.teacher)
    return tail(np.linalg.eigvalsh(sums.G_TT)[::-1], width, error, sums.norm_teacher)


def tail(eigenvalues: np.ndarray, width: int, error: float, norm: float) -> Rung:
    """What eigenvalues of K_T, descending, have beyond the first ``width``, over ``norm``.

    They move by no more than the matrix, by ``error``, in the Euclidean norm of all of them (Hoffman and Wielandt).
    """
    noise = len(eigenvalues) * UNIT_ROUNDOFF * eigenvalues[0]  # below this an eigenvalue is rounding
    rest = eigenvalues[width:]
    rest = rest[rest > noise]
    value, off = float(np.sqrt(np.sum(rest**2))) / norm, (error + 8 * noise) / norm
    return Rung(value, (max(0.0, value - off), min(1.0, value + off)))
