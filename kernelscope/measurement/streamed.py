"""Networks that run straight into the sums, and keep no features."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope import exchange
from kernelscope.errors import NumericalError
from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.rows import BLOCK_ROWS, numpy_block
from kernelscope.kernels.scales import within_float64
from kernelscope.measurement.from_sums import Summation, added_up, immoderate, report_of, sums_of
from kernelscope.measurement.grid import announce_grid, measure_grid, read_together
from kernelscope.measurement.landmark_numbers import landmarks_known
from kernelscope.report.notes import STREAMED, SUMMED

if TYPE_CHECKING:
    from kernelscope.measurement.layer_pairs import Match
    from kernelscope.measurement.pair_numbers import Measured, PairSettings

PLAIN_ERROR = 1e-11  #: of a squared loss from plain sums, and more
FIRST_ROWS = 512  #: that show about how large a loss is


def measure_streamed(match: Match, settings: PairSettings) -> list[Measured]:
    """Every pair of layers of networks that run straight into the sums.

    Once: into plain sums where the first rows show a loss that these resolve, else into sharper ones at about four
    times the cost. Should a loss that plain sums do not resolve come as a surprise, they run again.
    """
    announce_grid(match, settings, by_kernels=False)
    landmarks = None
    if settings.landmarks not in (None, "class-means"):
        landmarks = landmarks_known(settings.landmarks, match.features.n, settings.seed)
    read_together(match)
    once = exchange.decided(lambda: _is_near(match, settings.rtol))
    sums = sums_of(match, Summation(), landmarks=landmarks, once=once)
    if immoderate(sums.sums):  # networks run again, each pair scaled by a factor of its own
        with within_float64():
            return measure_grid(match, settings)
    all_measured, _ = report_of(sums, settings)
    if not once and not all(measured.report.resolved for measured in all_measured):
        sums = sums_of(match, Summation(), landmarks=landmarks, once=True)
        all_measured, _ = report_of(sums, settings)
    dropped, found = {*sums.notes, added_up(sums)}, []
    for pair, measured in zip(match.pairs(), all_measured):
        report = measured.report
        notes = (STREAMED if note == SUMMED else note for note in report.notes if note not in dropped)
        report = replace(report, notes=(*pair.notes, *notes), warnings=(*pair.warnings, *report.warnings))
        found.append(replace(measured, report=report))
    return found


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
