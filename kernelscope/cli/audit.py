"""``kernelscope audit``: the paper's claims on a pair of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say_json
from kernelscope.errors import KernelscopeError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("audit")
@options.feature_inputs()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
@click.option("--save", type=options.PATH, metavar="FILE", help="Write the audit as JSON.")
@options.overwrite
@options.quiet
@options.debug
def command(as_json: bool, save: Path | None, overwrite: bool, quiet: bool, **given: Any) -> None:
    """Every claim of the paper on this pair: as printed, corrected, both sides, slack, which assumption failed.

    A printed claim that fails is a finding (exit 0). A corrected one that fails is a bug of kernelscope (exit 1).
    """
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.audit import audit
    from kernelscope.rendering import audit_table

    if save is not None:
        refuse_existing(save, overwrite=overwrite)
    report = audit(**given, progress=extraction_progress(quiet))
    if save is not None:
        report.save(save)
    if as_json:
        say_json(report.to_json())
    else:
        audit_table.show(report, details=True)
    failed = report.failures()
    if failed:
        pair, claim = failed[0]
        raise KernelscopeError(
            f"{len(failed)} corrected claims do not hold, first {claim.name} of {pair.student} {pair.student_layer}; "
            "this is a bug of kernelscope, please report it"
        )
