"""``kernelscope inspect``: what a file holds, without running any of its code."""

from __future__ import annotations

from pathlib import Path

import click

from kernelscope.cli import options
from kernelscope.cli.measure import parse_json


@click.command("inspect")
@click.argument("path", type=options.PATH)
@click.option("--verify", is_flag=True, help="Check every checksum.")
@click.option("--arch", metavar="NAME", help="Architecture, to list the layers of a file that does not say it.")
@click.option("--arch-kwargs", metavar="JSON", help="Keyword arguments of that architecture.")
@click.option("--input", "shape", metavar="C,H,W", help="Shape of one example, if the file does not say it.")
@options.debug
def command(path: Path, verify: bool, arch: str | None, arch_kwargs: str | None, shape: str | None) -> None:
    """Tell what a checkpoint or feature file holds: tensors, layers, data, where it comes from.

    Reads checkpoints of any origin, safetensors and Hugging Face folders too; nothing in them is run.
    """
    from kernelscope.measurement.inspection import describe

    kwargs = parse_json("--arch-kwargs", arch_kwargs)
    for line in describe(path, verify=verify, arch=arch, arch_kwargs=kwargs, shape=_sizes(shape)):
        click.echo(line)


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        sizes = [int(word) for word in text.split(",")]
    except ValueError:
        sizes = [0]
    if not all(0 < size <= 2**20 for size in sizes):
        raise click.BadParameter(f"--input {text!r} is not a shape; write for example 3,224,224")
    return sizes
