"""``kernelscope measure``: two files in, the report out."""

from __future__ import annotations

from typing import Any

import click

from kernelscope.cli import launching, measuring_options, options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import Outputs, extraction_progress


@click.command("measure", cls=Verb)
@measuring_options.measurement_inputs(required=False)
@measuring_options.sums
@options.paper
@options.explain
@launching.nproc
@options.outputs
def command(**given: Any) -> int:
    """How much of the teacher's kernel a student inherited: the transfer loss and what it means.

    Nothing but the two files is needed when they are kernelscope checkpoints. Feature files (.h5, .npy, .npz, .pt,
    .safetensors, .csv, .parquet, .fbin and more, see docs/data.md) are told apart by content; FILE::NAME is a part.

    Sums of shards add up: --sums-out writes them, --sums measures any number of them (docs/scale.md).
    """
    return launching.together(given, _measure)


def _measure(given: dict[str, Any]) -> None:
    from kernelscope import processes
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.measure import measure

    paper, explain, outputs = given.pop("paper"), given.pop("explain"), Outputs.take(given)
    if explain:
        outputs.require_table("--explain")
    given["student"] = given["student"] or None
    if given["sums_out"] is not None:
        refuse_existing(given["sums_out"], overwrite=outputs.overwrite)
    if given["announce"] is not None:
        outputs.require_none("--plan")
        measure(**given, plan=True)
        return
    report = measure(**given, progress=extraction_progress(outputs.quiet))
    if processes.is_first():
        outputs.write(report, paper=paper, explain=explain)
