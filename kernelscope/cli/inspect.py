"""``kernelscope inspect``: what a file holds, without running any of its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options, values
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say

if TYPE_CHECKING:
    from pathlib import Path


@click.command("inspect", cls=Verb)
@click.argument("path", type=options.PATH)
@click.option("--verify", is_flag=True, help="Check every checksum.")
@click.option("--arch", metavar="NAME", help="Architecture, to list the layers of a file that does not state it.")
@options.arch_kwargs()
@click.option(
    "--input",
    "shape",
    metavar="C,H,W",
    callback=values.reads(values.shape),
    help="Shape of one example, if the file does not state it.",
)
@options.debug
def command(path: Path, **given: Any) -> None:
    """List what a checkpoint or feature file holds: tensors, layers, data, where it comes from.

    Reads checkpoints of any origin, safetensors and Hugging Face folders too; nothing in them is run. Of several
    networks in a file it lists what may be named after FILE::, and PATH may be FILE::PART.
    """
    from kernelscope.measurement.inspection import describe

    for line in describe(path, **given):
        say(line)
