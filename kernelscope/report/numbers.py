"""All numbers of one pair of layers, from the mathematics into the report's fields."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kernelscope.errors import UnreadableInput
from kernelscope.kernels import companions, ladder
from kernelscope.kernels.anova import anova
from kernelscope.kernels.bounds import NAMES, bounds, theorem2
from kernelscope.kernels.chance import chance
from kernelscope.kernels.class_blocks import MOST_CLASSES, class_blocks
from kernelscope.kernels.exact import (
    ScaledSums,
    TransferLoss,
    loss_from_sums,
    plan,
    transfer_loss,
    well_scaled_sums,
)
from kernelscope.kernels.landmarks import Landmarks, parse
from kernelscope.kernels.nystrom import partial
from kernelscope.kernels.nystrom_sums import NystromSums
from kernelscope.kernels.rows import Rows, storage_roundoff
from kernelscope.kernels.sampling import LeaveOut, RowNorms, row_norms, sampling_interval, single_examples, whole_groups
from kernelscope.kernels.spectrum import (
    difference_spectrum,
    difference_spectrum_of_gram,
    feature_spectrum,
)
from kernelscope.kernels.tsqr import r_factor
from kernelscope.report import fields
from kernelscope.report.cautions import cautions
from kernelscope.report.fields import PairReport
from kernelscope.report.matching import Examples, LayerPair

WORST_EXAMPLES = 20
ROWS_TELL = 1e-5  #: below this loss single rows of K_S − K_T drown in rounding
GRAM_SHOWS_SPECTRUM = 1e-3  #: below this loss eigenvalues of K_S − K_T need the R-factor (THEORY B.2)


@dataclass(frozen=True)
class PairSettings:
    """How a pair is measured."""

    landmarks: str | Landmarks | None
    route: str
    rtol: float
    memory_bytes: int
    device: str
    seed: int
    announce: Callable[[str], None] | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """A pair's report, and what comparing it with another student's needs of its examples."""

    report: PairReport
    parts: LeaveOut | None


def measure_pair(pair: LayerPair, settings: PairSettings) -> Measured:
    """Every number of a :class:`PairReport` for two layers whose rows correspond."""
    X_T, X_S, examples, names = pair.teacher, pair.student, pair.examples, pair.names
    if settings.announce is not None:
        ahead = plan(n=X_T.shape[0], d_student=X_S.shape[1], d_teacher=X_T.shape[1], route=settings.route)
        settings.announce(f"{names['student']} {names['student_layer']}: {ahead}")
    loss, scaled = _loss(X_T, X_S, settings)
    centred = companions.centred(scaled)
    moments = companions.row_moments(centred)
    rungs = ladder.rungs(scaled, centred)
    chosen = choose_landmarks(settings.landmarks, examples, scaled, settings.seed)
    sums = partial(teacher=scaled.teacher, student=scaled.student, landmarks=chosen, sums=scaled.sums)
    truth = loss.norm_difference / scaled.unit
    rows = row_norms(scaled) if loss.value > ROWS_TELL else None
    parts = None if rows is None else _parts(rows, scaled, examples)
    said = [*pair.notes]
    if parts is not None:
        over = "single examples" if examples.groups is None else f"{len(parts.sizes)} whole groups of examples"
        said.append(f"sampling interval by jackknife over {over}")
    else:
        said.append("the loss is too small to attribute to examples or classes, or to resample")
    report = PairReport(
        **names,
        split=examples.split,
        unit="example",
        n=scaled.sums.n,
        d_teacher=scaled.sums.d_teacher,
        d_student=scaled.sums.d_student,
        order_sha256=examples.order_sha256,
        kernel="linear",
        transfer_loss=loss.value,
        rounding_interval=loss.interval,
        rounding_certified=loss.certified,
        resolved=loss.resolved,
        storage_floor=loss.storage_floor,
        sampling_interval=_sampling(parts),
        route=loss.route,
        norm_teacher=loss.norm_teacher,
        norm_student=loss.norm_student,
        norm_difference=loss.norm_difference,
        alignment=companions.alignment(scaled.sums),
        scale_ratio=companions.scale_ratio(scaled.sums),
        optimal_scale=companions.optimal_scale(scaled.sums),
        cka=companions.cka(centred.sums),
        cka_debiased=companions.cka_debiased(centred.sums, moments),
        ladder=fields.Ladder(raw=loss.value, **dataclasses.asdict(rungs)),
        null=fields.Null(**dataclasses.asdict(chance(scaled.sums, centred))),
        landmarks=fields.LandmarkChoice(chosen.strategy, chosen.m, chosen.seed),
        nystrom=_nystrom(sums, scaled.unit),
        landmark_spectrum=_landmark_spectra(scaled, sums),
        feature_spectrum=_feature_spectra(scaled),
        difference_spectrum=_difference_spectrum(scaled, loss),
        anova=_anova(sums),
        classes=_classes(scaled, examples, rows),
        worst=_worst(rows, examples),
        paper=_paper(sums, truth, scaled),
        warnings=tuple(cautions(loss, scaled, rows, sums, examples.labels)),
        notes=tuple(said),
    )
    return Measured(report, parts)


def _loss(X_T: Rows, X_S: Rows, settings: PairSettings) -> tuple[TransferLoss, ScaledSums]:
    """The loss by the route asked for, and the Gram sums that everything else comes from, in one pass if they agree."""
    scaled = well_scaled_sums(teacher=X_T, student=X_S, device=settings.device, halves=True)
    n, p = scaled.sums.n, len(scaled.sums.gram)
    by_blocks = settings.route in ("blocked", "tsqr") or (settings.route == "auto" and n <= 2 * p)
    if not by_blocks:
        return loss_from_sums(scaled, route=settings.route, rtol=settings.rtol), scaled
    loss = transfer_loss(
        teacher=X_T,
        student=X_S,
        route=settings.route,
        rtol=settings.rtol,
        device=settings.device,
        memory_bytes=settings.memory_bytes,
    )
    return loss, scaled


def choose_landmarks(asked: str | Landmarks | None, examples: Examples, scaled: ScaledSums, seed: int) -> Landmarks:
    """The landmarks asked for; by default class means where labels are known, else k-means cells."""
    if isinstance(asked, Landmarks):
        return asked
    return parse(
        asked, n=scaled.sums.n, labels=examples.labels, teacher=scaled.teacher, seed=seed, read_rows=_read_rows
    )


def _read_rows(path: str | os.PathLike[str]) -> np.ndarray:
    try:
        rows: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableInput(
            f"landmark rows {path} cannot be read as .npy ({error}); save them with numpy.save"
        ) from error
    return rows


def _parts(rows: RowNorms, scaled: ScaledSums, examples: Examples) -> LeaveOut:
    return single_examples(rows) if examples.groups is None else whole_groups(rows, scaled, examples.groups)


def _sampling(parts: LeaveOut | None) -> tuple[float, float] | None:
    estimate = None if parts is None else sampling_interval(parts)
    return None if estimate is None else estimate.interval


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


def _landmark_spectra(scaled: ScaledSums, sums: NystromSums) -> fields.LandmarkSpectra:
    """Eigenvalues of W for the features themselves: the paper's "above 1" is about these, not about rescaled ones."""
    both = []
    for network in (sums.teacher, sums.student):
        spectrum = network.spectrum
        eigenvalues = tuple(value * scaled.unit for value in spectrum.eigenvalues)
        both.append(
            fields.LandmarkSpectrum(
                eigenvalues=eigenvalues,
                min=spectrum.min * scaled.unit,
                max=spectrum.max * scaled.unit,
                rank=spectrum.rank,
                condition=spectrum.condition,
                below_one=sum(value < 1 for value in eigenvalues),
            )
        )
    return fields.LandmarkSpectra(*both)


def _feature_spectra(scaled: ScaledSums) -> fields.FeatureSpectra:
    both = [
        fields.FeatureSpectrum(**dataclasses.asdict(feature_spectrum(G, scaled.sums.n, storage_roundoff(X))))
        for G, X in ((scaled.sums.G_TT, scaled.teacher), (scaled.sums.G_SS, scaled.student))
    ]
    return fields.FeatureSpectra(*both)


def _difference_spectrum(scaled: ScaledSums, loss: TransferLoss) -> fields.DifferenceSpectrum:
    sums = scaled.sums
    if loss.value >= GRAM_SHOWS_SPECTRUM:
        found = difference_spectrum_of_gram(sums.gram, sums.d_student)
    else:
        found = difference_spectrum(r_factor(scaled.student, scaled.teacher), sums.d_student)
    return fields.DifferenceSpectrum(
        eigenvalues=tuple(value * scaled.unit for value in found.eigenvalues),
        spectral_norm=found.spectral_norm * scaled.unit,
        nuclear_norm=found.nuclear_norm * scaled.unit,
        positive=found.positive,
        negative=found.negative,
    )


def _anova(sums: NystromSums) -> fields.Anova | None:
    shares = anova(sums) if sums.exact_centres else None
    return None if shares is None else fields.Anova(**dataclasses.asdict(shares))


def _classes(scaled: ScaledSums, examples: Examples, rows: RowNorms | None) -> fields.Classes | None:
    if examples.labels is None or rows is None:
        return None
    present, classes = np.unique(examples.labels, return_inverse=True)
    if len(present) > MOST_CLASSES:
        return None
    shares = class_blocks(teacher=scaled.teacher, student=scaled.student, classes=classes, sums=scaled.sums)
    return fields.Classes(
        names=tuple(examples.class_name(int(c)) for c in present),
        loss=tuple(tuple(row) for row in shares.tolist()),
    )


def _worst(rows: RowNorms | None, examples: Examples) -> tuple[fields.WorstExample, ...] | None:
    if rows is None:
        return None
    shares = rows.shares
    return tuple(
        fields.WorstExample(
            id="" if examples.ids is None else examples.ids[i].tobytes().hex(),
            index=int(i),
            label=None if examples.labels is None else examples.class_name(int(examples.labels[i])),
            share=float(shares[i]),
        )
        for i in np.argsort(-shares, kind="stable")[:WORST_EXAMPLES]
    )


def _paper(sums: NystromSums, truth: float, scaled: ScaledSums) -> fields.Paper:
    """Bounds and terms; values are in the units of norm_difference, that is of the features as given."""
    unit = scaled.unit
    found = {b.name: b for b in bounds(sums, truth, scaled.sums.norm_student, scaled.sums.norm_teacher)}
    if unit != 1:  # the printed corollaries are not of degree two, so their values do not scale back
        found = {name: bound for name, bound in found.items() if not name.endswith("_paper")}
    terms = theorem2(sums)
    root = unit**0.5
    return fields.Paper(
        estimate=sums.paper_estimate,
        theorem2=None
        if terms is None
        else fields.Theorem2(
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
