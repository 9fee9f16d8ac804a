"""All numbers of one pair of layers, from the mathematics into the report's fields."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, transfer_loss, well_scaled_sums
from kernelscope.kernels.distance.own_kernel import narrowed
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.kernels.rows import Rows, columns, storage_roundoff, take_rows
from kernelscope.kernels.scales import require_norms
from kernelscope.kernels.similarity import ladder
from kernelscope.kernels.similarity.alignment import Norms, alignment, optimal_scale, scale_ratio
from kernelscope.kernels.similarity.cka import cka, cka_debiased
from kernelscope.kernels.similarity.neighbours import Neighbours, neighbours
from kernelscope.kernels.statistics.moments import Moments, both_moments
from kernelscope.kernels.statistics.row_forms import row_forms
from kernelscope.measurement.attribution import attribute, attribution_fields
from kernelscope.measurement.chance_numbers import null_fields
from kernelscope.measurement.difference_numbers import difference_fields
from kernelscope.measurement.landmark_numbers import choose_landmarks, landmark_fields
from kernelscope.measurement.passes import MOST_SEARCHED, Sizes, neighbours_wanted, planned
from kernelscope.measurement.similarity_numbers import similarity_fields, spectrum_fields_of
from kernelscope.measurement.warnings import cautions, head_cautions, outliers_among, sampling_cautions
from kernelscope.report import fields
from kernelscope.report.fields import PairReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.kernels.distance.answers import TransferLoss
    from kernelscope.kernels.nystrom.landmarks import Landmarks
    from kernelscope.kernels.statistics.best_of_many import Searched
    from kernelscope.kernels.statistics.sampling import LeaveOut, RowNorms
    from kernelscope.measurement.layer_pairs import LayerPair
    from kernelscope.measurement.rehearsal import Rates


@dataclass(frozen=True)
class PairSettings:
    """How a pair is measured.

    ``memory_bytes``: what the process may have resident at its peak, None for no limit; ``block_bytes``: what is left
    of it for blocks (:mod:`kernelscope.measurement.memory_limit`); ``passes``: how often networks run whose features
    are not kept.
    """

    landmarks: str | Landmarks | None
    route: str
    rtol: float
    memory_bytes: int | None
    device: str
    seed: int
    announce: Callable[[str], None] | None = None
    neighbours: int | None = None
    dims: tuple[int, ...] | None = None
    passes: int = 1
    block_bytes: int = DEFAULT_MEMORY_BYTES


@dataclass(frozen=True, eq=False)
class Measured:
    """A pair's report, and what comparing it with another student's needs of its examples."""

    report: PairReport
    parts: LeaveOut | None


def announce_pair(pair: LayerPair, settings: PairSettings, rates: Rates | None = None) -> None:
    """What this pair will cost, to whom it is announced; in seconds too, at the ``rates`` of a rehearsal."""
    if settings.announce is not None:
        first, *others = planned(Sizes.of(pair, settings.landmarks, settings.neighbours), settings.route, rates)
        for line in (f"{pair.names['student']} {pair.names['student_layer']}: {first}", *others):
            settings.announce(line)


def measure_pair(pair: LayerPair, settings: PairSettings, searched: Searched | None = None) -> Measured:
    """Every number of a :class:`PairReport` for two layers whose rows correspond; ``searched``: see the grid."""
    X_T, X_S, examples = pair.teacher, pair.student, pair.examples
    announce_pair(pair, settings)
    if settings.dims is None:  # prefixes need the features as they are
        X_T, X_S = (
            narrowed(X, which, settings.block_bytes)
            for X, which in ((X_T, "teacher features"), (X_S, "student features"))
        )
    loss, scaled = _loss(X_T, X_S, settings, examples.second_half)
    centred = centre(scaled)
    forms = row_forms(scaled, centred)
    own = both_moments(centred, forms)
    chosen = choose_landmarks(settings.landmarks, examples, scaled, settings.seed)
    choice = fields.LandmarkChoice(chosen.strategy, chosen.m, chosen.seed)
    sums = partial(teacher=scaled.teacher, student=scaled.student, landmarks=chosen, sums=scaled.sums)
    attribution = attribute(scaled, forms, examples, loss.value)
    rungs = ladder.rungs(scaled, centred)
    difference, spectrum_intervals = difference_fields(scaled, loss, examples)
    outliers = outliers_among(
        attribution.rows, lambda heavy: (take_rows(scaled.student, heavy), take_rows(scaled.teacher, heavy))
    )
    on_head = head_cautions(scaled.sums.n, columns(scaled.student), rungs.head)
    null, on_chance = null_fields(scaled, centred, own, settings.seed, searched, examples.groups)
    companion = companion_fields(
        loss,
        scaled.sums,
        centred.sums,
        own,
        rungs,
        null,
        with_row_lengths(feature_spectra(scaled, centred), attribution.rows, scaled.unit),
    )
    similarity, on_similarity = similarity_fields(pair, scaled, centred, settings.dims, settings.rtol)
    report = PairReport(
        **identity_fields(pair, pair.kernel),
        **loss_fields(loss),
        **companion,
        **attribution_fields(scaled, examples, attribution, settings.block_bytes),
        **landmark_fields(scaled, choice, sums, loss.norm_difference / scaled.unit),
        **difference,
        neighbours=_neighbours(scaled, settings),
        **similarity,
        outliers=outliers,
        intervals=loss_intervals(loss) | ladder_intervals(rungs) | spectrum_intervals,
        warnings=(
            *pair.warnings,
            *cautions(loss, scaled, attribution.rows, sums, examples.labels, on_head, outliers),
            *sampling_cautions(attribution.estimate, examples),
        ),
        notes=(
            *pair.notes,
            *attribution.notes(examples, loss.interval),
            *on_chance,
            *_on_neighbours(scaled, settings),
            *on_similarity,
        ),
    )
    return Measured(report, attribution.parts)


def _neighbours(scaled: ScaledSums, settings: PairSettings) -> Neighbours | None:
    k = neighbours_wanted(scaled.sums.n, settings.neighbours)
    return neighbours(scaled, k=k, device=settings.device, memory_bytes=settings.block_bytes) if k else None


def _on_neighbours(scaled: ScaledSums, settings: PairSettings) -> tuple[str, ...]:
    left_out = settings.neighbours is None and scaled.sums.n > MOST_SEARCHED
    return (
        (f"neighbours are left out above {MOST_SEARCHED:,} examples; ask for them with --neighbours",)
        if left_out
        else ()
    )


def identity_fields(pair: LayerPair, kernel: str) -> dict[str, Any]:
    """What was measured on what."""
    return {
        **pair.names,
        "split": pair.examples.split,
        "n": pair.teacher.shape[0],
        "d_teacher": pair.teacher.shape[1],
        "d_student": pair.student.shape[1],
        "order_sha256": pair.examples.order_sha256,
        "kernel": kernel,
    }


def loss_fields(loss: TransferLoss) -> dict[str, Any]:
    """The number, and how far rounding is under control."""
    return {
        "transfer_loss": loss.value,
        "rounding_interval": loss.interval,
        "rounding_certified": loss.certified,
        "resolved": loss.resolved,
        "storage_floor": loss.storage_floor,
        "route": loss.route,
        "norm_teacher": loss.norm_teacher,
        "norm_student": loss.norm_student,
        "norm_difference": loss.norm_difference,
    }


def companion_fields(
    loss: TransferLoss,
    norms: Norms,
    centred: Norms,
    own: tuple[Moments, Moments] | None,
    rungs: ladder.Rungs,
    null: fields.Null,
    spectra: fields.FeatureSpectra,
) -> dict[str, Any]:
    """What norms and the kernels' diagonals give without landmarks and without another pass."""
    debiased = None if own is None else cka_debiased(centred, own[0].entries, own[1].entries)
    values: dict[str, Any] = {name: None if rung is None else float(rung) for name, rung in _by_name(rungs)}
    return {
        "alignment": alignment(norms),
        "scale_ratio": scale_ratio(norms),
        "optimal_scale": optimal_scale(norms),
        "cka": cka(centred),
        "cka_debiased": debiased,
        "centred_scale_ratio": scale_ratio(centred) if centred.norm_teacher > 0 else None,
        "ladder": fields.Ladder(raw=loss.value, **values),
        "null": null,
        "feature_spectrum": spectra,
    }


def _by_name(rungs: ladder.Rungs) -> list[tuple[str, Any]]:
    return [(each.name, getattr(rungs, each.name)) for each in dataclasses.fields(rungs)]


def loss_intervals(loss: TransferLoss) -> dict[str, fields.Interval]:
    """Of the fields that are the loss in other units."""
    return {"ladder.raw": loss.interval, "norm_difference": loss.norm_difference_interval}


def ladder_intervals(rungs: ladder.Rungs) -> dict[str, fields.Interval]:
    """Rounding intervals of what is left after each repair, by dotted field."""
    return {f"ladder.{name}": rung.interval for name, rung in _by_name(rungs) if rung is not None}


def _loss(X_T: Rows, X_S: Rows, settings: PairSettings, second: np.ndarray | None) -> tuple[TransferLoss, ScaledSums]:
    """The loss by the route asked for, and the Gram sums that everything else comes from.

    ``auto`` takes them first whatever the sizes, since they are there.
    """
    scaled = well_scaled_sums(teacher=X_T, student=X_S, device=settings.device, halves=True, second=second)
    require_norms(scaled.unit)
    if settings.route not in ("blocked", "tsqr"):
        return loss_from_sums(scaled, route=settings.route, rtol=settings.rtol), scaled
    loss = transfer_loss(
        teacher=X_T,
        student=X_S,
        route=settings.route,
        rtol=settings.rtol,
        device=settings.device,
        memory_bytes=settings.block_bytes,
    )
    return loss, scaled


def feature_spectra(scaled: ScaledSums, centred: ScaledSums) -> fields.FeatureSpectra:
    """Of both networks."""
    return fields.FeatureSpectra(*(network_spectrum(scaled, centred, which) for which in ("teacher", "student")))


def network_spectrum(scaled: ScaledSums, centred: ScaledSums, which: str) -> fields.FeatureSpectrum:
    """Of the ``teacher`` or the ``student``."""
    G, H = (each.sums.G_TT if which == "teacher" else each.sums.G_SS for each in (scaled, centred))
    roundoff = storage_roundoff(scaled.teacher if which == "teacher" else scaled.student)
    return spectrum_fields_of(np.linalg.eigvalsh(G)[::-1], np.linalg.eigvalsh(H)[::-1], scaled.sums.n, roundoff)


def with_row_lengths(spectra: fields.FeatureSpectra, rows: RowNorms | None, unit: float) -> fields.FeatureSpectra:
    """The same, and how long all rows of a network are if equally long."""
    if rows is None:
        return spectra
    teacher = rows.teacher_diagonal
    found = []
    for k, spectrum in ((teacher, spectra.teacher), (teacher + rows.difference_diagonal, spectra.student)):
        equal = np.ptp(k) <= 2e-3 * np.max(k, initial=0.0)
        length = float(np.sqrt(np.mean(np.maximum(k, 0.0)) * unit)) if equal else None
        found.append(dataclasses.replace(spectrum, row_length=length))
    return fields.FeatureSpectra(*found)
