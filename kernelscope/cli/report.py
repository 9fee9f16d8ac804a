"""``kernelscope report``: the page and the tables again, from saved numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import Outputs
from kernelscope.errors import KernelscopeError, UnreadableInput, one_line

if TYPE_CHECKING:
    from pathlib import Path


@click.command("report", cls=Verb)
@click.argument("path", metavar="REPORT.json", type=options.PATH)
@options.paper
@options.explain
@options.outputs
def command(path: Path, paper: bool, explain: bool, **given: Any) -> None:
    """Show a saved report again: table, page, CSV. Needs no network, no features and no data."""
    from kernelscope.report.report import TransferReport

    outputs = Outputs.take(given)
    if explain:
        outputs.require_table("--explain")
    report = TransferReport.load(path)
    try:
        outputs.write(report, paper=paper, explain=explain)
    except (KernelscopeError, OSError, MemoryError):
        raise
    except Exception as error:  # the door to a stranger's file: each of its numbers may be sound, and all no report
        reason = one_line(f"{type(error).__name__}: {error}", 60)
        raise UnreadableInput(f"{path} holds numbers that do not fit together ({reason}); measure again") from error
