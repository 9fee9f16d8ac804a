"""Numbers by landmarks: Nyström quantities, W's spectra, the decomposition by groups, the paper's bounds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kernelscope.kernels.nystrom.anova import anova
from kernelscope.kernels.nystrom.bounds import NAMES, bounds
from kernelscope.kernels.nystrom.choosing import parse
from kernelscope.kernels.nystrom.intervals import Theorem2, theorem2
from kernelscope.kernels.nystrom.landmarks import Landmarks
from kernelscope.numpy_files import load_npy
from kernelscope.report import fields

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
    from kernelscope.kernels.nystrom.spectrum import LandmarkSpectrum
    from kernelscope.measurement.layer_pairs import Examples


def landmark_fields(
    scaled: ScaledSums, chosen: fields.LandmarkChoice, sums: NystromSums, truth: float
) -> dict[str, Any]:
    """The fields of a :class:`PairReport` that need landmarks; ``truth`` is ‖K_S − K_T‖_F of the scaled features."""
    return {
        "landmarks": chosen,
        "nystrom": _nystrom(sums, scaled.unit),
        "landmark_spectrum": landmark_spectra(sums.teacher.spectrum, sums.student.spectrum, scaled.unit),
        "anova": anova(sums) if sums.exact_centres else None,
        "paper": _paper(sums, truth, scaled),
    }


def choose_landmarks(asked: str | Landmarks | None, examples: Examples, scaled: ScaledSums, seed: int) -> Landmarks:
    """The landmarks asked for; by default class means where labels are known, else k-means cells."""
    if isinstance(asked, Landmarks):
        return asked
    return parse(asked, n=scaled.sums.n, labels=examples.labels, teacher=scaled.teacher, seed=seed, read_rows=load_npy)


def landmarks_known(asked: str | Landmarks | None, n: int, seed: int) -> Landmarks:
    """Landmarks that are single rows and known before any is read.

    Raises:
        UsageError: others.
    """
    found = asked if isinstance(asked, Landmarks) else parse(asked, n=n, seed=seed, read_rows=load_npy)
    _ = found.rows
    return found


def before_rows(asked: object) -> bool:
    """Whether these landmarks can be told before any row is read."""
    if isinstance(asked, Landmarks):
        return asked.indices is not None
    return asked is None or asked == "class-means" or str(asked).startswith("uniform:") or str(asked).endswith(".npy")


def _nystrom(sums: NystromSums, unit: float) -> fields.Nystrom:
    return fields.Nystrom(
        partial_norm=sums.partial_norm * unit,
        partial_ratio=sums.partial_ratio,
        expanded_estimate=sums.expanded_estimate,
        residual_teacher=sums.teacher.residual * unit,
        residual_student=sums.student.residual * unit,
        tail_teacher=sums.teacher.tail * unit,
        tail_student=sums.student.tail * unit,
    )


def landmark_spectra(teacher: LandmarkSpectrum, student: LandmarkSpectrum, unit: float) -> fields.LandmarkSpectra:
    """Eigenvalues of W for the features themselves: the paper's "above 1" is about these, not about rescaled ones."""
    return fields.LandmarkSpectra(*(_in_units(spectrum, unit) for spectrum in (teacher, student)))


def _in_units(spectrum: LandmarkSpectrum, unit: float) -> LandmarkSpectrum:
    eigenvalues = tuple(value * unit for value in spectrum.eigenvalues)
    return dataclasses.replace(
        spectrum,
        eigenvalues=eigenvalues,
        min=spectrum.min * unit,
        max=spectrum.max * unit,
        below_one=sum(value < 1 for value in eigenvalues),
    )


def _paper(sums: NystromSums, truth: float, scaled: ScaledSums) -> fields.Paper:
    """Bounds and terms; values are in the units of norm_difference, that is of the features as given."""
    unit = scaled.unit
    norms = scaled.sums.norm_student, scaled.sums.norm_teacher
    found = {bound.name: bound for bound in bounds(sums, truth, *norms, rescaled=unit != 1)}
    terms = theorem2(sums)
    root = unit**0.5
    return fields.Paper(
        estimate=sums.paper_estimate,
        theorem2=None
        if terms is None
        else Theorem2(
            e=terms.e * root,
            term_a_student=terms.term_a_student * root,
            term_a_teacher=terms.term_a_teacher * root,
            term_b=terms.term_b * unit,
            bound=terms.bound * unit,
        ),
        bounds={
            name: None
            if name not in found
            else fields.BoundValue(
                value=found[name].value * unit,
                over_truth=found[name].over_truth,
                holds=found[name].holds,
                vacuous=found[name].vacuous,
                assumption=found[name].assumption,
            )
            for name in NAMES
        },
    )
