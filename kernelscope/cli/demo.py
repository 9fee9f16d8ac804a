"""``kernelscope demo``: end to end on real digits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say
from kernelscope.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("teacher.pt", "ce.pt", "kd.pt", "kda.pt", "report.json", "report.html")


@click.command("demo", cls=Verb)
@click.option(
    "--out", type=options.PATH, default=Path("out"), show_default=True, metavar="DIR", help="Where the files go."
)
@options.seed
@options.overwrite
@options.quiet
@options.debug
def command(out: Path, seed: int, overwrite: bool, quiet: bool) -> None:
    """Train a teacher and three students on handwritten digits, then measure how much each inherited.

    The students share initial weights and order of examples: one learns from labels alone (ce), one from the teacher's
    outputs too (kd), one from its kernel (kda). Ends with the paper's claims on them, one line each. Leaves teacher.pt
    ce.pt kd.pt kda.pt report.json report.html in DIR; refuses only files it would replace. Under two minutes on two
    cores.
    """
    from kernelscope.checkpoints.loading import load
    from kernelscope.cli.demo_recipes import demo_recipes
    from kernelscope.distill.training import train, train_cohort
    from kernelscope.files import refuse_existing, write_text
    from kernelscope.measurement.audit import audit
    from kernelscope.measurement.measure import measure
    from kernelscope.rendering import audit_table
    from kernelscope.rendering import table as tables

    refuse_existing(*(out / name for name in NAMES), overwrite=overwrite)
    recipes = demo_recipes(seed)
    with _progress(quiet, ["teacher"]) as bars:
        train(recipes.pop("teacher"), progress=bars).save(out / "teacher.pt", overwrite=overwrite)
    with _progress(quiet, list(recipes)) as bars, _naming_what_is_kept(out / "teacher.pt"):
        trained = train_cohort(list(recipes.values()), teacher=load(out / "teacher.pt"), progress=bars)
    for name, student in zip(recipes, trained):
        student.save(out / f"{name}.pt", overwrite=overwrite)
    students = [out / f"{name}.pt" for name in ("ce", "kd", "kda")]
    report = measure(teacher=out / "teacher.pt", student=students)
    report.save(out / "report.json")
    write_text(out / "report.html", report.to_html())
    tables.show(report, explain=True)
    say()
    audit_table.show(audit(teacher=out / "teacher.pt", student=students))
    say(f"\nThe page is {out / 'report.html'}. What to try next:")
    files = f"--teacher {out / 'teacher.pt'} --student {out / 'kda.pt'}"
    say(f"  kernelscope measure {files} --explain")
    say(f"  kernelscope gate {files} --layers embedding --max transfer_loss=0.3   # exit 6 in a CI job that loses more")
    say("  kernelscope inspect YOUR_CHECKPOINT   # what your own file is, and its layers")


@contextlib.contextmanager
def _naming_what_is_kept(path: Path) -> Iterator[None]:
    """Name the file that is finished already, should a signal end the work."""
    try:
        yield
    except Stopped as error:
        raise Stopped(f"{error}; {path} is finished", error.exit_code) from error


def _progress(quiet: bool, names: list[str]) -> Any:
    if quiet:
        return contextlib.nullcontext()
    from kernelscope.cli.progress import TrainingProgress

    return TrainingProgress(names)
