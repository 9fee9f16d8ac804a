"""``kernelscope report``: the page and the tables again, from saved numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.outputs import Outputs

if TYPE_CHECKING:
    from pathlib import Path


@click.command("report")
@click.argument("path", metavar="REPORT.json", type=options.PATH)
@options.outputs
def command(path: Path, **given: Any) -> None:
    """Show a saved report again: table, page, CSV. Needs no network, no features and no data."""
    from kernelscope.report.report import TransferReport

    outputs = Outputs.take(given)
    outputs.write(TransferReport.load(path))
