"""What sums give beyond what a grid of layers needs: GULP, spectra, chance, and numbers by class means."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.nystrom.from_sums import LandmarkRows, nystrom_sums, sides
from kernelscope.kernels.nystrom.spectrum import difference_spectrum_of_gram
from kernelscope.kernels.similarity.cka import cka_debiased_of
from kernelscope.kernels.similarity.within_class import within_class_of_sums
from kernelscope.kernels.statistics.chance import above_chance
from kernelscope.kernels.statistics.permutations import cka_under_permutation_of
from kernelscope.measurement.difference_numbers import GRAM_SHOWS_SPECTRUM, spectrum_fields, spectrum_intervals
from kernelscope.measurement.landmark_numbers import landmark_fields, landmark_spectra
from kernelscope.measurement.similarity_numbers import distance_fields
from kernelscope.report import fields

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nystrom.class_sums import ClassSums
    from kernelscope.kernels.rows import Key
    from kernelscope.kernels.similarity.diagonals import Diagonals

NO_LABELS = "class means, and what rests on them, need labels beside the rows as they are summed"
NO_ROWS = "theorem2 as printed needs the rows once more: keep them, and measure them without sums"
TOO_CLOSE = "the two networks, or rows and their class means, are too near for sums of classes; measure the rows"


def beside_grams(
    report: fields.PairReport, diagonals: Diagonals, scaled: ScaledSums, keys: tuple[Key, Key]
) -> fields.PairReport:
    """A pair's report with what else its Grams give, and the sums over diagonals; ``keys``: the student's layer first.

    p-values need the third moments of both kernels, and so the rows.
    """
    centred, intervals = centre(scaled), report.intervals
    similarity = distance_fields(centred)
    spectrum = None
    if report.transfer_loss >= GRAM_SHOWS_SPECTRUM:
        found = difference_spectrum_of_gram(scaled.sums.gram, scaled.sums.d_student)
        spectrum, intervals = spectrum_fields(found, scaled.unit), intervals | spectrum_intervals(found, scaled.unit)
    inner = None if report.cka is None or scaled.sums.n < 2 else diagonals.centred(scaled.sums, *keys)
    if inner is None or report.cka is None:
        return replace(report, difference_spectrum=spectrum, intervals=intervals, **similarity)
    a, b = centred.sums.norm_student, centred.sums.norm_teacher
    kk, ll, kl = inner[0] / a / a, inner[1] / b / b, inner[2] / a / b
    mean, sd = cka_under_permutation_of(
        scaled.sums.n, (centred.sums.trace_student / a, kk), (centred.sums.trace_teacher / b, ll)
    )
    null = replace(report.null, cka_mean=mean, cka_sd=sd, above_chance=above_chance(report.cka, mean))
    debiased = cka_debiased_of(centred.sums, kk, ll, kl)
    return replace(
        report, difference_spectrum=spectrum, intervals=intervals, null=null, cka_debiased=debiased, **similarity
    )


def class_mean_fields(
    classes: ClassSums | None, scaled: ScaledSums, keys: tuple[Key, Key], truth: float
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of a report by class means, for the student's and the teacher's layer; ``truth``: ‖K_S − K_T‖_F."""
    if classes is None:
        return {}, (NO_LABELS,)
    student, teacher = sides(scaled, classes, keys)
    within = within_class_of_sums(
        scaled.sums,
        np.hstack([student.D, teacher.D]),
        np.array([classes.squares[key][0] for key in keys]),
        classes.counts,
    )
    found: dict[str, Any] = {"within_class_cka": within}
    choice = fields.LandmarkChoice("class-means", len(classes.counts), None)
    sums = nystrom_sums(scaled, student, teacher, classes)
    if sums is None:
        spectra = landmark_spectra(teacher.spectrum, student.spectrum, scaled.unit)
        return {**found, "landmarks": choice, "landmark_spectrum": spectra}, (TOO_CLOSE,)
    return {**found, **landmark_fields(scaled, choice, sums, truth)}, (NO_ROWS,)


def landmark_row_fields(
    caught: LandmarkRows, scaled: ScaledSums, keys: tuple[Key, Key], truth: float
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same by rows that serve as landmarks, which were caught as they passed."""
    chosen, (student, teacher) = caught.landmarks, caught.sides(scaled, keys)
    choice = fields.LandmarkChoice(chosen.strategy, chosen.m, chosen.seed)
    sums = nystrom_sums(scaled, student, teacher, chosen)
    if sums is None:
        spectra = landmark_spectra(teacher.spectrum, student.spectrum, scaled.unit)
        return {"landmarks": choice, "landmark_spectrum": spectra}, (TOO_CLOSE,)
    return landmark_fields(scaled, choice, sums, truth), ()
