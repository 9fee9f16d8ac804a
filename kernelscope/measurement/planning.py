"""``--plan``: what a measurement will cost on this machine, and whether it fits, before it is made.

Seconds come from rates that a short rehearsal on the first rows shows, memory from sizes. Networks run over a batch or
two, which shows their layers' widths and their speed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelscope import exchange, files, memory
from kernelscope.errors import DegenerateKernel, NumericalError, in_bytes, in_seconds
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums, well_scaled_sums
from kernelscope.kernels.row_views import First
from kernelscope.kernels.scales import require_norms
from kernelscope.kernels.statistics.row_forms import row_forms
from kernelscope.measurement.attribution import attribute
from kernelscope.measurement.grid import plan_grid
from kernelscope.measurement.kernel_numbers import announce_kernel
from kernelscope.measurement.memory_limit import (
    bytes_of_blocks,
    bytes_of_grid,
    bytes_of_pair,
    bytes_of_second_run,
    second_run_sizes,
    within_grid,
    within_pair,
)
from kernelscope.measurement.pair_numbers import announce_pair
from kernelscope.measurement.passes import Sizes, grid_widths, planned_second_run, seconds_of_grid, seconds_of_pair
from kernelscope.measurement.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.measurement.inputs import Inputs
    from kernelscope.measurement.layer_pairs import LayerPair, Match
    from kernelscope.measurement.pair_numbers import PairSettings
    from kernelscope.measurement.preparation import Preparation
    from kernelscope.measurement.rehearsal import Rates

WITHIN = 0.01  #: relative half-width of the sampling interval that rows are counted for
FIRST_ROWS = 20_000
LEAST_ROWS = 500
MOST_SECONDS = 2.0  #: for the answer to how many rows
PER_ROW = ("labels", "ids", "groups")


def plan(
    inputs: Inputs,
    matched: Sequence[Match],
    settings: PairSettings,
    preparation: Preparation,
    *,
    together: bool,
    kept: bool,
) -> None:
    """Announce what everything will cost.

    Args:
        together: whether all pairs of a grid come from one pass.
        kept: whether features of networks go to disk, from where they are read; if not, there is one pass.

    Raises:
        ResourceError: what was asked for does not fit in memory or on the disk.
    """
    _networks(inputs, settings, kept=kept)
    for match in matched:
        if (match.streamed and not kept) or (match.grid and together):
            _grid(match, settings)
            continue
        for pair in match.pairs():
            _pair(pair if match.streamed else preparation.of(pair), settings, preparation, streamed=match.streamed)


def _networks(inputs: Inputs, settings: PairSettings, *, kept: bool) -> None:
    """What running them takes."""
    size = 0
    for network in (inputs.teacher, *inputs.students):
        features: Any = network.features
        if features.kept:
            continue
        width = sum(features.features(name).shape[1] for name in features.layers)
        takes = features.n * width * features.dtype.itemsize
        size += takes if kept else 0
        where = f"{in_bytes(takes)} of features unless the cache has them" if kept else "no features are kept"
        when, seconds = ("first", 1) if settings.passes == 1 else ("twice", 2)
        time = in_seconds(seconds * features.seconds())
        _say(settings, f"{network.name} runs over the data {when}: about {time}, {where}")
    if size:
        from kernelscope.features.cache import cache_folder  # loads torch, as networks have done already

        files.require_space(cache_folder(), size)


def _grid(match: Match, settings: PairSettings) -> None:
    plan_grid(match, within_grid(match, settings))
    n, widths, first = match.features.n, grid_widths(match), next(iter(match.pairs()))
    rates = rehearse(first, reads=not match.streamed)
    seconds, needed = seconds_of_grid(n, *widths, rates), bytes_of_grid(n, *widths)
    if settings.passes == 2:
        sizes = second_run_sizes(match, settings)
        line, more = planned_second_run(sizes, rates)
        _say(settings, line)
        seconds, needed = seconds + more, needed + bytes_of_second_run(sizes)
    _totals(settings, seconds, needed)


def _pair(pair: LayerPair, settings: PairSettings, preparation: Preparation, *, streamed: bool) -> None:
    if not preparation.kernel.has_features:
        return announce_kernel(pair, preparation.kernel, settings)
    within = within_pair(pair, settings)
    sizes, rates = Sizes.of(pair, settings.landmarks, settings.neighbours), rehearse(pair, reads=not streamed)
    announce_pair(pair, within, rates)
    _totals(
        settings, seconds_of_pair(sizes, rates), bytes_of_pair(sizes) + min(within.block_bytes, bytes_of_blocks(sizes))
    )
    if not streamed:
        _say(settings, f"  {_rows_needed(pair, settings, rates)}")
    return None


def _totals(settings: PairSettings, seconds: float, needed: float) -> None:
    total, count = in_bytes(memory.resident_bytes() + needed), exchange.count()
    each = f" in each of {count} processes" if count > 1 else ""
    _say(settings, f"  in all: about {in_seconds(seconds)} on this machine, {total} of memory at the peak{each}")


def _rows_needed(pair: LayerPair, settings: PairSettings, rates: Rates) -> str:
    """How many examples would narrow the sampling interval to ± 1 %, from the first of them."""
    n, p = pair.teacher.shape[0], pair.teacher.shape[1] + pair.student.shape[1]
    first = int(min(n, FIRST_ROWS, max(LEAST_ROWS, MOST_SECONDS * rates.double / p**2)))
    try:
        found = expected_rows(pair, first, WITHIN)
    except (DegenerateKernel, NumericalError):
        found = None
    if found is None:
        return f"the first {first:,} examples do not tell how many are needed for ±{WITHIN:.0%}"
    needed, value, half = found
    return (
        f"for ±{WITHIN:.0%} over other examples it takes about {needed:,} of them (the first {first:,} give "
        f"{value:.3g} ± {half:.1%}; they must be drawn like all others)"
    )


def expected_rows(pair: LayerPair, first: int, within: float) -> tuple[int, float, float] | None:
    """Examples that a sampling interval of ± ``within`` of its centre takes, from the first rows of a pair.

    The half-width falls with the square root of their number.

    Returns:
        The number to two digits, the centre, and its relative half-width from these rows; None where they have none.
    """
    few = replace(pair.examples, **{name: _first(getattr(pair.examples, name), first) for name in PER_ROW})
    scaled = well_scaled_sums(teacher=First(pair.teacher, first), student=First(pair.student, first))
    require_norms(scaled.unit)
    loss = loss_from_sums(scaled)
    estimate = attribute(scaled, row_forms(scaled, centre(scaled)), few, loss.value).estimate
    if estimate is None or not estimate.value > 0:
        return None
    half = (estimate.interval[1] - estimate.interval[0]) / (2 * estimate.value)
    needed = first * (half / within) ** 2
    digits = 10 ** max(0, len(str(int(needed))) - 2)
    return max(1, math.ceil(needed / digits) * digits), estimate.value, half


def _first(values: Any, count: int) -> Any:
    return None if values is None else values[:count]


def _say(settings: PairSettings, line: str) -> None:
    if settings.announce is not None:
        settings.announce(line)
