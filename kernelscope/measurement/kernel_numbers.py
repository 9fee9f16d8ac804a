"""A pair under a kernel that is no Gram matrix of features (RBF, polynomial): by blocks, or from drawn pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelscope.errors import NumericalError
from kernelscope.kernels.constancy import is_constant
from kernelscope.kernels.distance.exact import ATOL
from kernelscope.kernels.nonlinear.nonlinear import (
    MOST_BY_BLOCKS,
    KernelSums,
    PairsEstimate,
    kernel_sums,
    pairs_estimate,
)
from kernelscope.kernels.statistics.chance import above_chance, of_groups, p_value
from kernelscope.kernels.statistics.permutations import LOST, Shuffled, cka_under_permutation, shuffled
from kernelscope.measurement.attribution import Attribution, worst
from kernelscope.measurement.chance_numbers import chance_notes
from kernelscope.measurement.pair_numbers import Measured, PairSettings, identity_fields
from kernelscope.measurement.passes import planned_kernel
from kernelscope.measurement.warnings import sampling_cautions
from kernelscope.report import fields

if TYPE_CHECKING:
    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.kernels.statistics.best_of_many import Searched
    from kernelscope.measurement.layer_pairs import LayerPair

NO_FEATURES = "this kernel has no features of finite width: heads, landmarks and spectra were left out"


def announce_kernel(pair: LayerPair, kernel: Kernel, settings: PairSettings) -> None:
    """What this pair will cost, to whom it is announced."""
    if settings.announce is not None:
        n, p = pair.teacher.shape[0], pair.teacher.shape[1] + pair.student.shape[1]
        names = f"{pair.names['student']} {pair.names['student_layer']}"
        line = planned_kernel(n, p, kernel.name, by_blocks=_by_blocks(pair, settings))
        settings.announce(f"{names}: {line}")


def _by_blocks(pair: LayerPair, settings: PairSettings) -> bool:
    return settings.route == "blocked" or (settings.route == "auto" and pair.teacher.shape[0] <= MOST_BY_BLOCKS)


def measure_with_kernel(
    pair: LayerPair, kernel: Kernel, settings: PairSettings, searched: Searched | None = None
) -> Measured:
    """The fields that exist for any kernel; all pairs of examples up to 20,000 of them, drawn pairs above.

    ``searched``: where the pair is one of a grid, its chance among them.
    """
    announce_kernel(pair, kernel, settings)
    if _by_blocks(pair, settings):
        sums, label = kernel_sums(
            teacher=pair.teacher,
            student=pair.student,
            kernel=kernel,
            seed=settings.seed,
            groups=pair.examples.groups,
        )
        return _from_sums(pair, sums, label, settings, _chance(pair, sums, kernel, settings.seed, searched))
    estimate, label = pairs_estimate(teacher=pair.teacher, student=pair.student, kernel=kernel, seed=settings.seed)
    return Measured(_from_estimate(pair, estimate, label, settings), None)


def _from_sums(
    pair: LayerPair,
    sums: KernelSums,
    label: str,
    settings: PairSettings,
    chance: tuple[fields.Null, tuple[str, ...]],
) -> Measured:
    loss = sums.difference / sums.teacher
    if not sums.teacher > sums.teacher_error or not math.isfinite(sums.bar):
        raise NumericalError(
            f"rounding of the features may be all there is of the {label} kernel; give a smaller gamma or fewer digits "
            "of offset"
        )
    low = max(0.0, sums.difference - sums.bar) / (sums.teacher + sums.teacher_error)
    high = (sums.difference + sums.bar) / (sums.teacher - sums.teacher_error)
    found = Attribution(sums.rows, sums.parts if loss > 0 else None)
    null, on_chance = chance
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
        **found.sampled(),
        worst=worst(sums.rows, pair.examples),
        **_centred_fields(sums, loss, null),
        warnings=(*pair.warnings, *sampling_cautions(found.estimate, pair.examples)),
        notes=(*pair.notes, NO_FEATURES, *found.notes(pair.examples, (low, high)), *on_chance),
    )
    return Measured(replace(report, intervals=_intervals(sums, report)), found.parts)


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


def _centred_fields(sums: KernelSums, loss: float, null: fields.Null) -> dict[str, Any]:
    """CKA, chance and the rungs, from sums over all entries."""
    scaled = _left(sums.alignment)
    if null.cka_mean is None:
        return {"ladder": fields.Ladder(loss, scaled, None, None, None, None), "null": null}
    cka = _cka(sums)
    return {"cka": cka, "ladder": fields.Ladder(loss, scaled, _left(cka), None, None, None), "null": null}


def _cka(sums: KernelSums) -> float:
    inner, S, T = sums.centred()
    return min(1.0, inner / math.sqrt(S * T))


def _chance(
    pair: LayerPair, sums: KernelSums, kernel: Kernel, seed: int, searched: Searched | None
) -> tuple[fields.Null, tuple[str, ...]]:
    """By permutations: tr K³, which the skewness needs, would cost n³. All null where a centred kernel vanishes."""
    _, S, T = sums.centred()
    loss = _shuffled_loss(sums)
    constant = is_constant(pair.teacher) or is_constant(pair.student)
    if sums.n < 2 or constant or LOST * sums.student**2 >= S or LOST * sums.teacher**2 >= T:
        return fields.Null(loss, None, None, None, None, None), ()

    def shuffling() -> Shuffled | None:
        if searched is not None:
            return searched.alone
        return shuffled(
            teacher=pair.teacher, student=pair.student, seed=seed, kernel=kernel, groups=pair.examples.groups
        )

    if pair.examples.groups is not None:
        mean, sd, skewness, p, above, by = of_groups(shuffling())
        corrected = None if p is None or searched is None else searched.p_corrected
        null = fields.Null(loss, mean, sd, skewness, p, above, corrected)
        return null, tuple(chance_notes(null, sums.n, by, searched, in_groups=True))
    cka = _cka(sums)
    k, l = sums.centred_diagonals()
    mean, sd = cka_under_permutation(k / math.sqrt(S), l / math.sqrt(T))
    p, by = (None, None) if not sd else p_value((cka - mean) / sd, None, shuffling)
    null = fields.Null(
        transfer_loss=loss,
        cka_mean=mean,
        cka_sd=sd,
        cka_skewness=None,
        p_value=p,
        above_chance=above_chance(cka, mean),
        p_corrected=None if p is None or searched is None else searched.p_corrected,
    )
    return null, tuple(chance_notes(null, sums.n, by, searched, in_groups=False))


def _left(cosine: float) -> float:
    """What the best scalar leaves, ``(1 − cos²)^½``."""
    return math.sqrt(max(0.0, (1 - cosine) * (1 + cosine)))


def _shuffled_loss(sums: KernelSums) -> float | None:
    """Root mean square of the loss over permutations, from traces and sums of the kernels (docs/theory.md 7.1)."""
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
    note = (
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
        warnings=pair.warnings,
        notes=(*pair.notes, NO_FEATURES, note),
    )
