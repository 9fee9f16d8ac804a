"""``kernelscope match``: which teacher layer for which student layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("match", cls=Verb)
@click.option("--teacher", type=options.PATH, required=True, help="Checkpoint, or features of several layers.")
@click.option("--student", type=options.PATH, required=True, help="The same, trained or not; of any family.")
@click.option(
    "--by",
    type=click.Choice(["agreement", "head", "width"]),
    default="agreement",
    show_default=True,
    help="What candidates above chance are ranked by: debiased CKA, what a linear head leaves, the width's floor.",
)
@click.option("--layers", metavar="L1,L2", help="Layers of both, by name or glob [default: blocks; all of a file].")
@click.option("--teacher-layers", metavar="L1,L2", help="Layers of the teacher alone.")
@click.option("--student-layers", metavar="L1,L2", help="Layers of the student alone.")
@options.data
@options.split
@options.limit
@options.n
@options.sample
@options.skip_unreadable
@options.preprocess
@click.option("--groups", type=options.PATH, metavar="FILE", help="Group of each row; the interval takes one of each.")
@options.align
@options.pool
@options.architectures
@options.device
@options.dtype
@options.seed
@options.batch_size
@options.no_cache
@options.no_accuracy_check
@click.option("--every", is_flag=True, help="Show all candidates, not the best three.")
@click.option("--figure", type=options.PATH, metavar="FILE", help="Draw agreement as a map: .png, .svg or .pdf.")
@options.answer
def command(
    every: bool, figure: Path | None, as_json: bool, save: Path | None, overwrite: bool, quiet: bool, **given: Any
) -> None:
    """Which teacher layer for which student layer: candidates ranked, and one pairing that is monotone in depth.

    P-values are corrected for the search. What is ranked is what both networks share as they are given; whether it
    gives the better student after training is not known (docs/match.md).
    """
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.match import match
    from kernelscope.rendering import matching_table
    from kernelscope.rendering.plots.files import require_figure, save_figure

    if figure is not None:
        require_figure(figure)
    refuse_existing(*(path for path in (save, figure) if path is not None), overwrite=overwrite)
    found = match(**given, progress=extraction_progress(quiet))
    if save is not None:
        found.save(save)
    if figure is not None:
        save_figure(found.plot(), figure)
    if as_json:
        say_json(found.to_json())
    else:
        matching_table.show(found, every=every)
