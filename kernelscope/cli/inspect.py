"""``kernelscope inspect``: what a file holds, without running any of its code."""

from __future__ import annotations

from pathlib import Path

import click

from kernelscope.cli import options


@click.command("inspect")
@click.argument("path", type=options.PATH)
@click.option("--verify", is_flag=True, help="Check every checksum.")
@options.debug
def command(path: Path, verify: bool) -> None:
    """Tell what a checkpoint or feature file holds: tensors, layers, data, where it comes from.

    Reads checkpoints of any origin, safetensors and Hugging Face folders too; nothing in them is run.
    """
    from kernelscope.report.inspection import describe

    for line in describe(path, verify=verify):
        click.echo(line)
