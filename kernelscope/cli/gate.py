"""``kernelscope gate``: fail a CI job when a metric exceeds a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import launching, measuring_options, options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import Outputs, extraction_progress
from kernelscope.cli.pinned_gate import BESIDE_PINNED, gate_pinned
from kernelscope.cli.streams import say
from kernelscope.devices import faults
from kernelscope.errors import GateFailed, UsageError

if TYPE_CHECKING:
    from pathlib import Path

BESIDE_SYNTHETIC = ("synthetic", "seed", "device", "junit", "overwrite", "quiet", "debug", "help")


@click.command("gate", cls=Verb)
@measuring_options.measurement_inputs(required=False)
@click.option("--max", "at_most", metavar="FIELD=X", multiple=True, help="Fail if a number of the report exceeds X.")
@click.option("--min", "at_least", metavar="FIELD=X", multiple=True, help="Fail if it is below X; yes and no are 1, 0.")
@click.option(
    "--no-worse-than",
    type=options.PATH,
    metavar="OTHER",
    help="Fail if the loss of a student exceeds that of OTHER, one more student, which --max and --min leave alone.",
)
@click.option("--by", type=float, metavar="X", help="By how much it may exceed it [default: 0].")
@click.option(
    "--pinned",
    type=options.PATH,
    metavar="FILE.ksref",
    help="Hold a student against rows that `pin` wrote; no teacher.",
)
@click.option("--junit", type=options.PATH, metavar="FILE", help="Write the gates as JUnit XML, one case each.")
@click.option("--sampling", is_flag=True, help="Judge transfer_loss by its sampling interval, not by rounding alone.")
@click.option("--synthetic", is_flag=True, help="Check kernelscope itself on this machine and device; needs no files.")
@launching.nproc
@options.outputs
@click.pass_context
def command(context: click.Context, /, synthetic: bool, pinned: Path | None, **given: Any) -> int:
    """Pass or fail on any number of the report: exit 0, or 6 with the failed gates on stdout.

    A gate fails if, for any pair measured, any value in the number's interval violates the limit:
    `kernelscope gate --teacher t.pt --student s.pt --max transfer_loss=0.3 --min cka=0.9`.
    transfer_loss has an interval, and so have the numbers under `intervals` in the report; any other number is
    judged as it stands, and the output marks it as judged at a point. Where the loss is not resolved, what rests
    on it and has no interval fails.

    --sampling is about transfer_loss alone: a loss up to 1e-5 is too small to sample and is judged by rounding.

    --no-worse-than OTHER measures OTHER against the same teacher on the same examples, and judges the difference of the
    two losses by the upper end of its paired 95 % interval over examples. Architectures that were given once are for
    OTHER too.

    With --pinned the student is held against rows of an earlier release (`kernelscope pin`), by their limits or by
    --max and --min on change, loss and overlap (docs/drift.md).

    With --synthetic no files are needed: closed forms and random pairs go through every route, interval and
    corrected bound and are held against the truth. Run it first on a new machine or GPU.
    """
    if synthetic:
        _require_alone(context, "--synthetic", BESIDE_SYNTHETIC)
        _refuse_existing(given["junit"], overwrite=given["overwrite"])
        _check_kernelscope(given["seed"], given["device"], given["junit"])
        return 0
    if pinned is not None:
        _require_alone(context, "--pinned", BESIDE_PINNED)
        gate_pinned({**given, "pinned": pinned})
        return 0
    return launching.together(given, _gate)


def _gate(given: dict[str, Any]) -> None:
    from kernelscope import processes
    from kernelscope.measurement.measure import measure
    from kernelscope.report.gates import Gate, NoWorseThan, judge, remarks
    from kernelscope.report.junit import write_junit

    gates = [Gate.parse(text, at_most=True) for text in given.pop("at_most")]
    gates += [Gate.parse(text, at_most=False) for text in given.pop("at_least")]
    no_worse_than, sampling = given.pop("no_worse_than"), given.pop("sampling")
    allowed = _allowance(given.pop("by"), no_worse_than)
    if not gates and no_worse_than is None:
        raise UsageError("no gate given; pass --max FIELD=X, --min FIELD=X, --no-worse-than OTHER, or --synthetic")
    if given["teacher"] is None or not given["student"]:
        raise UsageError("gate needs --teacher and --student, --pinned and --student, or --synthetic")
    outputs, report_file = Outputs.take(given), given.pop("junit")
    _refuse_existing(report_file, overwrite=outputs.overwrite)
    if given["announce"] is not None:
        outputs.require_none("--plan")
        if report_file is not None:
            raise UsageError("--plan judges no gate to write to --junit; drop one of the two")
        measure(**given, plan=True)
        return
    if no_worse_than is not None:
        given = _with_other(given, no_worse_than)
    report = measure(**given, progress=extraction_progress(outputs.quiet))
    rival = None if no_worse_than is None else NoWorseThan.last(report, by=allowed, same=_same_files(given))
    judged = judge(report, gates, sampling=sampling, no_worse_than=rival)
    if processes.is_first():
        outputs.write(report, table=False)
        if report_file is not None:
            write_junit(report_file, judged)
    failed = [each.failure for each in judged if each.failure is not None]
    pairs = len({each.where for each in judged})
    passed = f"passed: {len(gates) + (rival is not None)} gates on {pairs} pairs{remarks(judged)}"
    told = failed or ([] if outputs.as_json and outputs.quiet else [passed])
    for line in told if processes.is_first() else ():
        say(line, err=outputs.as_json)
    if failed:
        where = "above" if outputs.as_json else "on stdout"
        raise GateFailed(f"{len(failed)} of {len(judged)} gates failed; they stand {where}")


def _require_alone(context: click.Context, option: str, beside: tuple[str, ...]) -> None:
    """Refuse options that would not be heeded beside this one."""
    other = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in beside
        and context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
    ]
    if other:
        raise UsageError(f"{option} does not heed {', '.join(other)}; leave them out, or gate without {option}")


def _allowance(by: float | None, no_worse_than: Path | None) -> float:
    if by is None:
        return 0.0
    if no_worse_than is None:
        raise UsageError("--by is how much worse a student may be; pass --no-worse-than OTHER as well")
    if not math.isfinite(by) or by < 0:
        raise UsageError(f"--by {by:g} is not a finite number from 0 on; write for example --by 0.01")
    return by


def _with_other(given: dict[str, Any], other: Path) -> dict[str, Any]:
    """OTHER as the last student, with the architecture that was given once for all, if it is a network."""
    from kernelscope.features.kinds import is_feature_file
    from kernelscope.measurement.students import matched

    students = [each for text in given["student"] for each in matched(text)]
    features = is_feature_file(other)
    with_arch = {
        name: _for_one_more(given[name], len(students), shared=not features)
        for name in ("student_arch", "student_arch_kwargs")
    }
    return {**given, **with_arch, "student": (*students, other)}


def _for_one_more(value: object, count: int, shared: bool) -> Any:
    """Of ``count`` students and one more: what was given for all stays so if it is shared, else the last has none."""
    if isinstance(value, list):
        return [*value, None] if len(value) == count else value
    return value if shared else [value] * count + [None]


def _same_files(given: dict[str, Any]) -> list[bool]:
    """Of each student but the last, whether it is the last one's file, read in the same way."""
    from kernelscope.measurement.inputs import one_each

    students = given["student"]
    how = (one_each(given[name], len(students)) for name in ("student_arch", "student_arch_kwargs"))
    *others, last = zip(students, *how)
    return [each[1:] == last[1:] and _same_file(each[0], last[0]) for each in others]


def _same_file(a: Path, b: Path) -> bool:
    """The same file, or a copy byte by byte."""
    import filecmp

    from kernelscope.files import reading

    with reading(b):
        return a == b or (a.exists() and b.exists() and (a.samefile(b) or filecmp.cmp(a, b, shallow=False)))


def _refuse_existing(path: Path | None, *, overwrite: bool) -> None:
    from kernelscope.files import refuse_existing

    if path is not None:
        refuse_existing(path, overwrite=overwrite)


def _check_kernelscope(seed: int, device: str, report_file: Path | None) -> None:
    from kernelscope.kernels.self_check.checks import checks
    from kernelscope.report.gates import Judged
    from kernelscope.report.junit import write_junit

    judged = []
    with faults():
        for check in checks(seed=seed, device=device):
            judged.append(Judged(check.name, "synthetic", None if check.passed else check.detail, ""))
            say(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if report_file is not None:
        write_junit(report_file, judged)
    if failed := sum(each.failure is not None for each in judged):
        raise GateFailed(
            f"{failed} checks failed on device {device}; do not trust numbers from this machine, report it"
        )
