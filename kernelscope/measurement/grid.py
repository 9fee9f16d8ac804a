"""Every teacher layer against every student layer, from one pass over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, well_scaled_sums
from kernelscope.kernels.distance.layer_grid import LayerSums, layer_sums
from kernelscope.kernels.halves import by_rows
from kernelscope.kernels.scales import require_norms, within_float64
from kernelscope.kernels.similarity import ladder
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.head import StudentGrams
from kernelscope.kernels.statistics.best_of_many import Searched, best_of_many
from kernelscope.kernels.statistics.moments import Moments, moments
from kernelscope.measurement.chance_numbers import null_fields
from kernelscope.measurement.kernel_grid import kernels_serve_better, layers_by_kernels, measure_by_kernels
from kernelscope.measurement.pair_numbers import (
    Measured,
    PairSettings,
    companion_fields,
    identity_fields,
    ladder_intervals,
    loss_fields,
    loss_intervals,
    network_spectrum,
)
from kernelscope.measurement.passes import SIDES, grid_widths, planned_grid
from kernelscope.measurement.similarity_numbers import distance_fields, prefix_fields
from kernelscope.measurement.warnings import head_cautions
from kernelscope.report import fields
from kernelscope.report.notes import ONE_PASS, STREAMED, SUMMED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.features.streaming import StreamedFeatures
    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.kernels.rows import Key
    from kernelscope.measurement.layer_pairs import LayerPair, Match


def plan_grid(match: Match, settings: PairSettings) -> None:
    """Announce what the pairs of a grid will cost, and measure none."""
    teacher, student = ({pair.names[key]: getattr(pair, side) for pair in match.pairs()} for key, side in SIDES)
    by_kernels = _readable(match, settings) and kernels_serve_better(teacher, student, settings.block_bytes)
    announce_grid(match, settings, by_kernels=by_kernels)


def _readable(match: Match, settings: PairSettings) -> bool:
    """Whether layers have kernels to keep: rows that are read once, or cut, have none."""
    return not match.streamed and settings.dims is None


def announce_grid(match: Match, settings: PairSettings, *, by_kernels: bool) -> None:
    """What the pairs of a grid will cost, to whom it is announced."""
    if settings.announce is not None:
        line = planned_grid(match.features.n, *grid_widths(match), by_kernels=by_kernels)
        settings.announce(f"{match.student.name}: {line}")


def measure_grid(match: Match, settings: PairSettings) -> list[Measured]:
    """One :class:`PairReport` for every two layers: the loss, the ladder, CKA and chance."""
    pairs = {(p.names["teacher_layer"], p.names["student_layer"]): p for p in match.pairs()}
    teacher = {t: pair.teacher for (t, _), pair in pairs.items()}
    student = {s: pair.student for (_, s), pair in pairs.items()}
    by_kernels = _readable(match, settings) and kernels_serve_better(teacher, student, settings.block_bytes)
    announce_grid(match, settings, by_kernels=by_kernels)
    streams = read_together(match)
    if by_kernels and (layers := layers_by_kernels(teacher, student, settings.block_bytes)) is not None:
        return list(measure_by_kernels(pairs, layers, settings))
    sums = layer_sums(
        teacher=teacher,
        student=student,
        once=match.streamed,
        second=by_rows(match.examples.second_half),
    )
    for stream in streams:
        stream.take_in_others()
    known = Known(None if match.streamed else {}, {}, {})
    found = {} if match.streamed else search(pairs.values(), settings.seed)
    measured = []
    for names, pair in pairs.items():
        with within_float64(**({} if match.streamed else {"teacher": pair.teacher, "student": pair.student})):
            measured.append(_measure(pair, sums, known, settings, found.get(names)))
    return measured


def read_together(match: Match) -> list[StreamedFeatures]:
    """Let networks that run as they are read run batch by batch together."""
    if not match.streamed:
        return []
    from kernelscope.features.streaming import StreamedFeatures, side_by_side

    both = (match.teacher.features, match.student.features)
    streams = [features for features in both if isinstance(features, StreamedFeatures)]
    side_by_side(streams)
    return streams


def search(pairs: Iterable[LayerPair], seed: int, kernel: Kernel | None = None) -> dict[tuple[str, str], Searched]:
    """Chance of each pair of a grid as one of those searched, by the teacher's and the student's layer."""
    teacher, student, groups = {}, {}, None
    for pair in pairs:
        groups = pair.examples.groups
        teacher[pair.names["teacher_layer"]], student[pair.names["student_layer"]] = pair.teacher, pair.student
    return best_of_many(teacher=teacher, student=student, seed=seed, kernel=kernel, groups=groups)


@dataclass(frozen=True)
class Known:
    """What belongs to layers, by role and name, of those that pairs have met so far.

    ``moments``: None where they would cost another pass through the networks; ``grams``: by the student's layer.
    """

    moments: dict[Key, Moments] | None
    spectra: dict[Key, fields.FeatureSpectrum]
    grams: dict[str, StudentGrams]


def measure_summed(pair: LayerPair, sums: LayerSums, settings: PairSettings) -> tuple[Measured, ScaledSums]:
    """What sums alone give of a pair whose rows are gone, and the sums of these two layers."""
    scaled = sums_of_pair(pair, sums)
    return _from_sums(pair, scaled, Known(None, {}, {}), settings, None, None, SUMMED), scaled


def sums_of_pair(pair: LayerPair, sums: LayerSums, *, once: bool = True) -> ScaledSums:
    """The sums of these two layers; ``once``: whether their rows must not be read again."""
    t, s = pair.names["teacher_layer"], pair.names["student_layer"]
    return ScaledSums(
        pair.teacher,
        pair.student,
        sums.pair(t, s),
        1.0,
        (t, s) in sums.same,
        once=once,
        constant=(sums.constant["student", s].so_far, sums.constant["teacher", t].so_far),
        second=pair.examples.second_half,
    )


def _measure(
    pair: LayerPair, sums: LayerSums, known: Known, settings: PairSettings, searched: Searched | None
) -> Measured:
    t, s = pair.names["teacher_layer"], pair.names["student_layer"]
    if sums.comfortable:
        scaled = sums_of_pair(pair, sums, once=known.moments is None)
    else:  # some layer's squares leave float64: each pair then gets a scale of its own
        try:
            scaled = well_scaled_sums(
                teacher=pair.teacher, student=pair.student, halves=True, second=pair.examples.second_half
            )
            require_norms(scaled.unit)
        except DegenerateKernel as error:
            raise DegenerateKernel(f"layers {t}={s}: {error}") from error
    grams = known.grams.setdefault(s, StudentGrams(scaled)) if sums.comfortable else None
    note = ONE_PASS if known.moments is not None else STREAMED
    return _from_sums(pair, scaled, known, settings, searched, grams, note)


def _from_sums(
    pair: LayerPair,
    scaled: ScaledSums,
    known: Known,
    settings: PairSettings,
    searched: Searched | None,
    grams: StudentGrams | None,
    note: str,
) -> Measured:
    loss = loss_from_sums(scaled, rtol=settings.rtol)
    centred = centre(scaled)
    rungs = ladder.rungs(scaled, centred, grams)
    own = None if known.moments is None else _moments(pair, centred, known.moments)
    null, on_chance = null_fields(scaled, centred, own, settings.seed, searched, pair.examples.groups)
    prefixes, on_prefixes = prefix_fields(scaled, settings.dims, settings.rtol)
    report = fields.PairReport(
        **identity_fields(pair, pair.kernel),
        **loss_fields(loss),
        **companion_fields(loss, scaled.sums, centred.sums, own, rungs, null, _spectra(pair, scaled, centred, known)),
        **distance_fields(centred, with_gulp=False),
        prefixes=prefixes,
        intervals=loss_intervals(loss) | ladder_intervals(rungs),
        warnings=(*pair.warnings, *head_cautions(scaled.sums.n, scaled.sums.d_student, rungs.head)),
        notes=(*pair.notes, note, *on_chance, *on_prefixes),
    )
    return Measured(report, None)


def _spectra(pair: LayerPair, scaled: ScaledSums, centred: ScaledSums, known: Known) -> fields.FeatureSpectra:
    keys = ("teacher", pair.names["teacher_layer"]), ("student", pair.names["student_layer"])
    for key in keys:
        if key not in known.spectra:
            known.spectra[key] = network_spectrum(scaled, centred, key[0])
    return fields.FeatureSpectra(*(known.spectra[key] for key in keys))


def _moments(pair: LayerPair, centred: ScaledSums, known: dict[Key, Moments]) -> tuple[Moments, Moments] | None:
    """Of both layers, each read once for all the pairs it is in."""
    if cka(centred.sums) is None:
        return None
    found = []
    both = (
        ("student", pair.names["student_layer"], centred.student, centred.sums.G_SS),
        ("teacher", pair.names["teacher_layer"], centred.teacher, centred.sums.G_TT),
    )
    for role, layer, X, G in both:
        key = (role, layer)
        if key not in known:
            known[key] = moments(X, G)
        found.append(known[key])
    return found[0], found[1]
