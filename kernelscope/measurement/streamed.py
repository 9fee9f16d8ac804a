"""Networks that run straight into the sums, and keep no features."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernelscope import exchange
from kernelscope.errors import NumericalError
from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.rows import BLOCK_ROWS, numpy_block
from kernelscope.kernels.scales import within_float64
from kernelscope.kernels.shares import Share
from kernelscope.kernels.statistics.group_blocks import GroupGrams
from kernelscope.measurement.attribution import Attribution
from kernelscope.measurement.from_sums import (
    Summation,
    added_up,
    immoderate,
    report_of,
    require_moderate,
    rows_by_layer,
    sums_of,
)
from kernelscope.measurement.grid import announce_grid, measure_grid, read_together, sums_of_pair
from kernelscope.measurement.landmark_numbers import landmarks_known
from kernelscope.measurement.pair_numbers import Measured
from kernelscope.measurement.second_run import BlockChecksums, room_of, rows_fit, run_again
from kernelscope.measurement.warnings import sampling_cautions
from kernelscope.report.notes import NOT_SAMPLED, ROWS_TELL, STREAMED, SUMMED, TWO_RUNS

if TYPE_CHECKING:
    from kernelscope.features.shard_sums import ShardSums
    from kernelscope.kernels.nystrom.landmarks import Landmarks
    from kernelscope.kernels.statistics.sampling import LeaveOut
    from kernelscope.measurement.layer_pairs import Examples, LayerPair, Match
    from kernelscope.measurement.pair_numbers import PairSettings

NO_CHANCE = "chance of CKA is that of one row of each group, which takes another run; pass --passes 2"
MANY_GROUPS = "Grams of so many groups take more than memory has; run the networks twice, with --passes 2"
PLAIN_ERROR = 1e-11  #: of a squared loss from plain sums, and more
FIRST_ROWS = 512  #: that show about how large a loss is


@dataclass(frozen=True, eq=False)
class _Run:
    """One run of the networks: sums, those of groups where they were asked for and fit, and what blocks were."""

    sums: ShardSums
    groups: GroupGrams | None
    blocks: BlockChecksums | None

    @classmethod
    def of(cls, match: Match, settings: PairSettings, landmarks: Landmarks | None, *, once: bool) -> _Run:
        groups, blocks = _group_grams(match, settings), BlockChecksums() if settings.passes == 2 else None
        onlookers = [each for each in (groups, blocks) if each is not None]
        sums = sums_of(match, Summation(), landmarks=landmarks, once=once, onlookers=onlookers)
        if groups is not None:
            groups.take_in_others(Share.of(sums.n))
        return cls(sums, groups, blocks)


def measure_streamed(match: Match, settings: PairSettings) -> list[Measured]:
    """Every pair of layers of networks that run straight into the sums.

    Once: into plain sums where the first rows show a loss that these resolve, else into sharper ones at about four
    times the cost. Should a loss that plain sums do not resolve come as a surprise, they run again. With two passes
    asked for, they then run for what needs sums first (:mod:`kernelscope.measurement.second_run`).
    """
    announce_grid(match, settings, by_kernels=False)
    landmarks = None
    if settings.landmarks not in (None, "class-means"):
        landmarks = landmarks_known(settings.landmarks, match.features.n, settings.seed)
    read_together(match)
    once = exchange.decided(lambda: _is_near(match, settings.rtol))
    run = _Run.of(match, settings, landmarks, once=once)
    if settings.passes == 2:
        require_moderate(run.sums.sums)
    elif immoderate(run.sums.sums):  # networks run again, each pair scaled by a factor of its own
        with within_float64():
            return measure_grid(match, settings)
    all_measured, _ = report_of(run.sums, settings)
    if not once and not all(measured.report.resolved for measured in all_measured):
        run = _Run.of(match, settings, landmarks, once=True)
        all_measured, _ = report_of(run.sums, settings)
    again = [] if run.blocks is None else run_again(match, run.sums, run.blocks, settings)
    dropped, found = {*run.sums.notes, added_up(run.sums)}, []
    for number, (pair, measured) in enumerate(zip(match.pairs(), all_measured)):
        if again:
            measured = again[number].report(measured, _parts(run, pair))
        elif pair.examples.groups is not None:
            measured = _with_groups(measured, _parts(run, pair), pair.examples)
        report = measured.report
        note_of = {SUMMED: TWO_RUNS if again else STREAMED}
        notes = (note_of.get(note, note) for note in report.notes if note not in dropped)
        report = replace(report, notes=(*pair.notes, *notes), warnings=(*pair.warnings, *report.warnings))
        found.append(replace(measured, report=report))
    return found


def _group_grams(match: Match, settings: PairSettings) -> GroupGrams | None:
    """What sums groups in this run: None without groups, where all their Grams do not fit, or where rows serve."""
    groups, pairs = match.examples.groups, list(match.pairs())
    if groups is None:
        return None
    if settings.passes == 2 and all(rows_fit(groups, pair, room_of(settings, len(pairs))) for pair in pairs):
        return None
    layers = rows_by_layer(pairs)
    if GroupGrams.memory_bytes(groups, layers, match.layers) > settings.block_bytes // 2:
        return None
    return GroupGrams(groups, layers, match.layers)


def _parts(run: _Run, pair: LayerPair) -> LeaveOut | None:
    """What each group holds of both kernels, where it was summed."""
    if run.groups is None:
        return None
    keys = ("student", pair.names["student_layer"]), ("teacher", pair.names["teacher_layer"])
    return run.groups.leave_out(sums_of_pair(pair, run.sums.sums), keys)


def _with_groups(measured: Measured, parts: LeaveOut | None, examples: Examples) -> Measured:
    """The report with its interval over groups, where these were summed, and without what shuffles single rows."""
    by_chance = replace(measured.report.null, cka_mean=None, cka_sd=None, above_chance=None)
    report = replace(measured.report, null=by_chance, notes=(*measured.report.notes, NO_CHANCE))
    if parts is None:
        return replace(measured, report=replace(report, notes=(*report.notes, f"{NOT_SAMPLED}{MANY_GROUPS}")))
    found = Attribution(None, parts if report.transfer_loss > ROWS_TELL else None)
    filled = replace(
        report,
        **found.sampled(),
        warnings=(*report.warnings, *sampling_cautions(found.estimate, examples)),
        notes=(*report.notes, *found.notes(examples, report.rounding_interval)),
    )
    return Measured(filled, found.parts)


def _is_near(match: Match, rtol: float) -> bool:
    """Whether some loss among the first rows is so small that plain sums, off by some 1e-12, would not resolve it."""
    least = 3 * math.sqrt(PLAIN_ERROR / rtol) if rtol > 0 else math.inf
    with exchange.apart():
        for pair in match.pairs():
            T, S = (numpy_block(X, 0, min(BLOCK_ROWS, X.shape[0]))[:FIRST_ROWS] for X in (pair.teacher, pair.student))
            try:
                if not float(transfer_loss(teacher=T, student=S)) > least:
                    return True
            except NumericalError:  # a teacher that is zero so far, or what the sums name
                return True
    return False
