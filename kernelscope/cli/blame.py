"""``kernelscope blame``: which layer of a compressed network broke it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("blame", cls=Verb)
@click.option("--teacher", type=options.PATH, required=True, help="Checkpoint of the network as it was.")
@click.option("--student", type=options.PATH, required=True, help="The same network, quantised, pruned, tuned.")
@options.architectures
@options.data
@options.split
@options.limit
@options.n
@options.sample
@options.skip_unreadable
@options.preprocess
@options.device
@options.seed
@options.batch_size
@click.option("--every", is_flag=True, help="Show all layers, not the worst ten.")
@click.option("--figure", type=options.PATH, metavar="FILE", help="Draw losses over depth: .png, .svg or .pdf.")
@options.answer
def command(
    every: bool, figure: Path | None, as_json: bool, save: Path | None, overwrite: bool, quiet: bool, **given: Any
) -> None:
    """Which layer of a compressed network broke it: each layer's own loss, and what it inherits from those before.

    Each layer of either network is run on the other's input, so that errors do not add up (docs/blame.md).
    """
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.blame import blame
    from kernelscope.rendering import blame_table
    from kernelscope.rendering.plots.files import require_figure, save_figure

    if figure is not None:
        require_figure(figure)
    refuse_existing(*(path for path in (save, figure) if path is not None), overwrite=overwrite)
    found = blame(**given, progress=extraction_progress(quiet))
    if save is not None:
        found.save(save)
    if figure is not None:
        save_figure(found.plot(), figure)
    if as_json:
        say_json(found.to_json())
    else:
        blame_table.show(found, every=every)
