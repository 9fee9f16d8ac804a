"""``kernelscope adapt``: may the student's queries use the teacher's index, and the map that takes them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("adapt", cls=Verb)
@click.option("--teacher", type=options.PATH, required=True, help="Features of documents by the teacher, or it.")
@click.option("--student", type=options.PATH, required=True, help="The same by the student.")
@click.option("--teacher-queries", type=options.PATH, help="Features of queries that are no documents.")
@click.option("--student-queries", type=options.PATH, help="The same by the student.")
@click.option("--out", type=options.PATH, metavar="FILE", help="Write the best map: .safetensors or .npy.")
@click.option("--k", type=click.IntRange(min=1), default=10, show_default=True, help="Documents wanted per query.")
@click.option(
    "--similarity",
    type=click.Choice(["cosine", "dot", "euclidean"]),
    default="cosine",
    show_default=True,
    help="What the index ranks documents by.",
)
@click.option("--queries", type=click.IntRange(min=2), metavar="N", help="Rows held out [default: 2000].")
@click.option("--rank", type=click.IntRange(min=1), metavar="R", help="Of the map of low rank [default: as few as do].")
@click.option(
    "--enough",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Share of re-embedding's recall from which the index may stay.",
)
@options.data
@options.split
@options.limit
@options.n
@options.skip_unreadable
@options.preprocess
@options.align
@options.layers
@click.option("--teacher-layers", metavar="L", help="Layer of the teacher alone.")
@click.option("--student-layers", metavar="L", help="Layer of the student alone.")
@click.option("--pairs", metavar="T=S", help="Which teacher layer against which student layer.")
@options.pool
@options.architectures
@options.device
@options.dtype
@options.seed
@options.batch_size
@options.no_cache
@options.no_accuracy_check
@options.answer
def command(as_json: bool, save: Path | None, overwrite: bool, quiet: bool, **given: Any) -> None:
    """May the student's queries use the teacher's index, or must all documents be embedded again?

    Recall of queries that were held out: as they are, after a rotation, a linear map and one of low rank, against
    embedding all documents again. The answer is yes, no or open; --out writes the map (docs/adapt.md).
    """
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.adapt import adapt
    from kernelscope.rendering import adaptation_table

    refuse_existing(*(path for path in (save, given["out"]) if path is not None), overwrite=overwrite)
    found = adapt(**given, progress=extraction_progress(quiet))
    if save is not None:
        found.save(save)
    if as_json:
        say_json(found.to_json())
    else:
        adaptation_table.show(found)
