"""``kernelscope gate``: numbers a CI job can stand on."""

from __future__ import annotations

from typing import Any

import click

from kernelscope.cli import options
from kernelscope.cli.measure import finish, measurement, measurement_inputs, refuse_outputs
from kernelscope.errors import GateFailed, UsageError


@click.command("gate")
@measurement_inputs(required=False)
@click.option("--max", "at_most", metavar="FIELD=X", multiple=True, help="Fail if a field of the report exceeds X.")
@click.option("--min", "at_least", metavar="FIELD=X", multiple=True, help="Fail if it is below X.")
@click.option("--sampling", is_flag=True, help="Judge the loss by its sampling interval, not by rounding alone.")
@click.option("--synthetic", is_flag=True, help="Check kernelscope itself on this machine and device; needs no files.")
@options.outputs
def command(at_most: tuple[str, ...], at_least: tuple[str, ...], sampling: bool, synthetic: bool, **given: Any) -> None:
    """Pass or fail on any number of the report: exit 0, or 6 with the failed gates on stdout.

    A gate passes only if the whole interval of its field passes, for every pair measured:
    `kernelscope gate --teacher t.pt --student s.pt --max transfer_loss=0.3 --min cka=0.9`.

    With --synthetic no files are needed: closed forms and random pairs go through every route, interval and
    corrected bound and are held against the truth. Run it first on a new machine or GPU.
    """
    from kernelscope.report.gates import Gate, failures

    if synthetic:
        _check_kernelscope(given["seed"], given["device"])
        return
    gates = [Gate.parse(text, at_most=True) for text in at_most]
    gates += [Gate.parse(text, at_most=False) for text in at_least]
    if not gates:
        raise UsageError("no gate given; pass --max FIELD=X or --min FIELD=X, or --synthetic")
    if given["teacher"] is None or not given["students"]:
        raise UsageError("gate needs --teacher and --student, or --synthetic")
    outputs = options.take_outputs(given)
    refuse_outputs(outputs)
    report = measurement(given, outputs)
    failed = failures(report, gates, sampling=sampling)
    if outputs["as_json"] or any(outputs[k] for k in ("save", "csv", "html")):
        finish(report, outputs, table=False)
    if not outputs["as_json"]:
        for line in failed or [f"passed: {len(gates)} gates on {len(report)} pairs"]:
            click.echo(line)
    if failed:
        raise GateFailed(f"{len(failed)} of {len(gates) * len(report)} gates failed; they stand on stdout")


def _check_kernelscope(seed: int, device: str) -> None:
    from kernelscope.kernels.synthetic import checks

    failed = 0
    for check in checks(seed=seed, device=device):
        failed += not check.passed
        click.echo(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if failed:
        raise GateFailed(
            f"{failed} checks failed on device {device}; do not trust numbers from this machine, report it"
        )
