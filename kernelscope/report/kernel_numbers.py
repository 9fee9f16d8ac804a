"""A pair under a kernel that is no Gram matrix of features (RBF, polynomial): by blocks, or from drawn pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from kernelscope.errors import NumericalError
from kernelscope.kernels.chance import above_chance, cka_under_permutation, upper_tail
from kernelscope.kernels.exact import ATOL
from kernelscope.kernels.functions import Kernel
from kernelscope.kernels.nonlinear import (
    MOST_BY_BLOCKS,
    KernelSums,
    PairsEstimate,
    kernel_sums,
    pairs_estimate,
)
from kernelscope.kernels.rows import is_constant
from kernelscope.kernels.sampling import single_examples
from kernelscope.report import fields
from kernelscope.report.attribution import interval, worst
from kernelscope.report.matching import LayerPair
from kernelscope.report.numbers import Measured, PairSettings, identity_fields

LOST = 1e-12  #: share of a kernel's square that centring leaves, below which what is left is rounding
NO_FEATURES = "this kernel has no features of finite width: heads, landmarks and spectra were left out"


def measure_with_kernel(pair: LayerPair, kernel: Kernel, settings: PairSettings) -> Measured:
    """The fields that exist for any kernel; all pairs of examples up to 20,000 of them, drawn pairs above."""
    by_blocks = settings.route == "blocked" or (settings.route == "auto" and pair.teacher.shape[0] <= MOST_BY_BLOCKS)
    if by_blocks:
        sums, label = kernel_sums(teacher=pair.teacher, student=pair.student, kernel=kernel, seed=settings.seed)
        return _from_sums(pair, sums, label, settings)
    estimate, label = pairs_estimate(teacher=pair.teacher, student=pair.student, kernel=kernel, seed=settings.seed)
    return Measured(_from_estimate(pair, estimate, label, settings), None)


def _from_sums(pair: LayerPair, sums: KernelSums, label: str, settings: PairSettings) -> Measured:
    loss = sums.difference / sums.teacher
    if not sums.teacher > sums.teacher_error or not math.isfinite(sums.bar):
        raise NumericalError(
            f"rounding of the features may be all there is of the {label} kernel; give a smaller gamma or fewer digits "
            "of offset"
        )
    low = max(0.0, sums.difference - sums.bar) / (sums.teacher + sums.teacher_error)
    high = (sums.difference + sums.bar) / (sums.teacher - sums.teacher_error)
    parts = single_examples(sums.rows) if loss > 0 else None
    constant = is_constant(pair.teacher) or is_constant(pair.student)
    report = fields.PairReport(
        **identity_fields(pair, label),
        transfer_loss=loss,
        rounding_interval=(low, high),
        rounding_certified=True,
        resolved=(high - low) / 2 <= max(settings.rtol * loss, ATOL),
        storage_floor=0.0,
        route="blocked",
        norm_teacher=sums.teacher,
        norm_student=sums.student,
        norm_difference=sums.difference,
        alignment=sums.alignment,
        scale_ratio=sums.student / sums.teacher,
        optimal_scale=sums.inner / sums.student**2,
        sampling_interval=interval(parts),
        worst=worst(sums.rows, pair.examples),
        **_centred_fields(sums, loss, constant),
        notes=(*pair.notes, NO_FEATURES),
    )
    return Measured(replace(report, intervals=_intervals(sums, report)), parts)


def _intervals(sums: KernelSums, report: fields.PairReport) -> dict[str, fields.Interval]:
    """Of the fields that rest on the difference: cosines are off by the relative errors of what they are made of."""
    off = 2.02 * (sums.student_error / sums.student + sums.teacher_error / sums.teacher) if sums.student else 0.0
    _, S, T = sums.centred()
    found = {
        "ladder.raw": report.rounding_interval,
        "norm_difference": (max(0.0, sums.difference - sums.bar), sums.difference + sums.bar),
        "ladder.scaled": _left_between(sums.alignment, off),
    }
    if report.cka is not None:
        found["ladder.centred"] = _left_between(report.cka, 4 * off * sums.student * sums.teacher / math.sqrt(S * T))
    return found


def _left_between(cosine: float, off: float) -> fields.Interval:
    return _left(min(1.0, cosine + off)), _left(max(0.0, cosine - off))


def _centred_fields(sums: KernelSums, loss: float, constant: bool) -> dict[str, Any]:
    """CKA, chance and the rungs, from sums over all entries; tr K³, which the skewness needs, would cost n³.

    ``constant``: one network's features are the same for all examples, so that its centred kernel is 0.
    """
    inner, S, T = sums.centred()
    scaled = _left(sums.alignment)
    shuffled = _shuffled_loss(sums)
    if constant or LOST * sums.student**2 >= S or LOST * sums.teacher**2 >= T:
        return {
            "ladder": fields.Ladder(loss, scaled, None, None, None, None),
            "null": fields.Null(shuffled, None, None, None, None, None),
        }
    cka = min(1.0, inner / math.sqrt(S * T))
    k, l = sums.centred_diagonals()
    mean, sd = cka_under_permutation(k / math.sqrt(S), l / math.sqrt(T))
    return {
        "cka": cka,
        "ladder": fields.Ladder(loss, scaled, _left(cka), None, None, None),
        "null": fields.Null(
            transfer_loss=shuffled,
            cka_mean=mean,
            cka_sd=sd,
            cka_skewness=None,
            p_value=None if not sd else upper_tail((cka - mean) / sd, 0.0),
            above_chance=above_chance(cka, mean),
        ),
    }


def _left(cosine: float) -> float:
    """What the best scalar leaves, ``(1 − cos²)^½``."""
    return math.sqrt(max(0.0, (1 - cosine) * (1 + cosine)))


def _shuffled_loss(sums: KernelSums) -> float | None:
    """Root mean square of the loss over permutations, from traces and sums of the kernels (THEORY B.10)."""
    n = sums.n
    if n < 2:
        return None
    traces = [float(d.sum()) for d in sums.diagonals]
    totals = [float(r.sum()) for r in sums.row_sums]
    inner = traces[0] * traces[1] / n + (totals[0] - traces[0]) * (totals[1] - traces[1]) / (n * (n - 1))
    return math.sqrt(max(0.0, sums.student**2 + sums.teacher**2 - 2 * inner)) / sums.teacher


def _from_estimate(pair: LayerPair, estimate: PairsEstimate, label: str, settings: PairSettings) -> fields.PairReport:
    alignment = min(1.0, estimate.inner / (estimate.norm_student * estimate.norm_teacher))
    half = (estimate.high - estimate.low) / 2
    said = (
        f"estimated from {estimate.pairs:,} pairs of examples drawn by weight; the interval holds with probability "
        f"{estimate.confidence:.0%}; --route blocked forms all pairs"
    )
    return fields.PairReport(
        **identity_fields(pair, label),
        transfer_loss=estimate.value,
        rounding_interval=(estimate.low, estimate.high),
        rounding_certified=False,
        resolved=half <= max(settings.rtol * estimate.value, ATOL),
        storage_floor=0.0,
        route="pairs-estimate",
        norm_teacher=estimate.norm_teacher,
        norm_student=estimate.norm_student,
        norm_difference=estimate.norm_difference,
        alignment=alignment,
        scale_ratio=estimate.norm_student / estimate.norm_teacher,
        optimal_scale=estimate.inner / estimate.norm_student**2,
        ladder=fields.Ladder(estimate.value, _left(alignment), None, None, None, None),
        null=fields.Null(None, None, None, None, None, None),
        notes=(*pair.notes, NO_FEATURES, said),
    )
