"""``kernelscope demo``: the whole road on real digits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from kernelscope.cli import options

NAMES = ("teacher.pt", "ce.pt", "kd.pt", "kda.pt", "report.json", "report.html")


@click.command("demo")
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
    from kernelscope.distill.presets import demo_recipes
    from kernelscope.distill.training import train
    from kernelscope.files import refuse_existing, write_text
    from kernelscope.networks.checkpoint import save_checkpoint
    from kernelscope.networks.sources import load
    from kernelscope.report import audit_table, tables
    from kernelscope.report.audit import audit
    from kernelscope.report.measurement import measure

    refuse_existing(*(out / name for name in NAMES), overwrite=overwrite)
    teacher = None
    with _progress(quiet) as bars:
        for name, recipe in demo_recipes(seed).items():
            if bars is not None:
                bars.start(name, recipe.epochs)
            trained = train(recipe, teacher=teacher, progress=bars)
            save_checkpoint(out / f"{name}.pt", trained.last, overwrite=overwrite)
            teacher = teacher or load(out / "teacher.pt")
    students = [out / f"{name}.pt" for name in ("ce", "kd", "kda")]
    report = measure(teacher=out / "teacher.pt", student=students)
    report.save(out / "report.json")
    write_text(out / "report.html", report.to_html())
    tables.show(report)
    click.echo()
    audit_table.show(audit(teacher=out / "teacher.pt", student=students))
    click.echo(f"\nThe page: {out / 'report.html'}. Again, with nothing but two files:")
    click.echo(f"  kernelscope measure --teacher {out / 'teacher.pt'} --student {out / 'kda.pt'}")


def _progress(quiet: bool) -> Any:
    if quiet:
        return contextlib.nullcontext()
    from kernelscope.cli.progress import TrainingProgress

    return TrainingProgress()
