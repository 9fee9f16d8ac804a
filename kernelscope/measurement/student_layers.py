"""One student against the teacher: its pairs of layers all in one pass, or one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope.kernels.scales import within_float64
from kernelscope.measurement.grid import measure_grid, search
from kernelscope.measurement.kernel_numbers import measure_with_kernel
from kernelscope.measurement.memory_limit import within_grid, within_pair
from kernelscope.measurement.output_numbers import output_fields
from kernelscope.measurement.pair_numbers import measure_pair
from kernelscope.measurement.streamed import measure_streamed

if TYPE_CHECKING:
    from kernelscope.kernels.rows import Rows
    from kernelscope.kernels.statistics.best_of_many import Searched
    from kernelscope.measurement.baselines import Baselines
    from kernelscope.measurement.layer_pairs import LayerPair, Match
    from kernelscope.measurement.pair_numbers import Measured, PairSettings
    from kernelscope.measurement.preparation import Preparation


def measure_match(
    match: Match, settings: PairSettings, preparation: Preparation, baselines: Baselines, *, together: bool
) -> list[Measured]:
    """Every pair of layers of one student, ``together`` in one pass or one by one."""
    if match.streamed and not match.grid:
        return measure_streamed(match, within_grid(match, settings, in_two=True))
    with within_float64(**_layers(match)):
        if together:
            return measure_grid(match, within_grid(match, settings))
        return _one_by_one(match, settings, preparation, baselines)


def _layers(match: Match) -> dict[str, Rows]:
    """Rows of every layer, by a name for messages; none where they are read once."""
    found = {}
    for pair in () if match.streamed else match.pairs():
        found[f"teacher layer {pair.names['teacher_layer']}"] = pair.teacher
        found[f"student layer {pair.names['student_layer']}"] = pair.student
    return found


def _one_by_one(match: Match, settings: PairSettings, preparation: Preparation, baselines: Baselines) -> list[Measured]:
    found = search(map(preparation.of, match.pairs()), settings.seed, preparation.kernel) if match.grid else {}
    measured = []
    for pair in match.pairs():
        searched = found.get((pair.names["teacher_layer"], pair.names["student_layer"]))
        with within_float64(teacher=pair.teacher, student=pair.student):
            own = _measure_pair(pair, settings, preparation, searched)
            references = baselines.beside(match, pair)
        measured.append(replace(own, report=replace(own.report, references=references)))
    return measured


def _measure_pair(
    pair: LayerPair, settings: PairSettings, preparation: Preparation, searched: Searched | None
) -> Measured:
    prepared, settings = preparation.of(pair), within_pair(pair, settings)
    if preparation.kernel.has_features:
        return measure_pair(prepared, settings, searched)
    measured = measure_with_kernel(prepared, preparation.kernel, settings, searched)
    answers, on_answers = output_fields(pair)
    notes = (*measured.report.notes, *on_answers)
    return replace(measured, report=replace(measured.report, outputs=answers, notes=notes))
