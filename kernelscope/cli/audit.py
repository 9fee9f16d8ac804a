"""``kernelscope audit``: the paper's claims on a pair of networks."""

from __future__ import annotations

from typing import Any

import click

from kernelscope.cli import launching, options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say_json
from kernelscope.errors import KernelscopeError


@click.command("audit", cls=Verb)
@options.feature_inputs()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
@click.option("--save", type=options.PATH, metavar="FILE", help="Write the audit as JSON.")
@launching.nproc
@options.overwrite
@options.quiet
@options.debug
def command(**given: Any) -> int:
    """Every claim of the paper on this pair: as printed, corrected, both sides, slack, which assumption failed.

    A printed claim that fails is a finding (exit 0). A corrected one that fails is a bug of kernelscope (exit 1).
    """
    return launching.together(given, _audit)


def _audit(given: dict[str, Any]) -> None:
    from kernelscope import processes
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.audit import audit
    from kernelscope.rendering import audit_table

    as_json, save, overwrite, quiet = (given.pop(name) for name in ("as_json", "save", "overwrite", "quiet"))
    if save is not None:
        refuse_existing(save, overwrite=overwrite)
    report = audit(**given, progress=extraction_progress(quiet))
    if processes.is_first():
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
