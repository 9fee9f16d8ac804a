"""``kernelscope train``: a teacher, or a student by any method."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kernelscope.cli import options
from kernelscope.cli.measure import parse_json, parse_operations


@click.command("train")
@click.option("--data", required=True, metavar="NAME", help="Data set to train on, e.g. digits; see docs/data.md.")
@options.skip_unreadable
@options.preprocess
@click.option("--arch", required=True, metavar="NAME", help="Architecture, e.g. resnet20 or resnet8x0.5.")
@click.option("--arch-kwargs", metavar="JSON", help="Keyword arguments of the architecture.")
@click.option(
    "--method", default="ce", show_default=True, help="ce, or a sum such as kda@embedding(weight=0.2)+kd(T=4)."
)
@click.option("--teacher", type=options.PATH, metavar="FILE", help="Checkpoint to learn from.")
@click.option("--teacher-arch", metavar="NAME", help="Its architecture, if its file does not say.")
@click.option("--teacher-arch-kwargs", metavar="JSON", help="Keyword arguments of that architecture.")
@click.option("--out", type=options.PATH, required=True, metavar="FILE", help="Checkpoint of the last epoch.")
@click.option("--best", type=options.PATH, metavar="FILE", help="Checkpoint of the best epoch on validation.")
@click.option("--preset", default="quick", show_default=True, help="quick or paper-cifar100; options below win.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training examples.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--weight-decay", type=float, help="L2 penalty on all weights.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Examples per step.")
@options.seed
@options.device
@options.overwrite
@options.quiet
@options.debug
def command(**given: Any) -> None:
    """Train a teacher (method ce) or a student, and save a checkpoint that describes itself.

    The test split is looked at once, at the end. Runs that differ only in their method share initial weights, order
    of examples and augmentation.
    """
    from kernelscope.datasets.sources import Reading, parts
    from kernelscope.distill.recipe import recipe
    from kernelscope.distill.training import train
    from kernelscope.files import refuse_existing
    from kernelscope.networks.checkpoint import save_checkpoint
    from kernelscope.networks.sources import load

    out, best = given["out"], given["best"]
    refuse_existing(*(path for path in (out, best) if path), overwrite=given["overwrite"])
    chosen = recipe(
        given["preset"],
        arch=given["arch"],
        arch_kwargs=parse_json("--arch-kwargs", given["arch_kwargs"]),
        method=given["method"],
        epochs=given["epochs"],
        lr=given["lr"],
        weight_decay=given["weight_decay"],
        batch_size=given["batch_size"],
        seed=given["seed"],
    )
    teacher = None
    if given["teacher"] is not None:
        kwargs = parse_json("--teacher-arch-kwargs", given["teacher_arch_kwargs"])
        teacher = load(given["teacher"], arch=given["teacher_arch"], arch_kwargs=kwargs, role="teacher")
    operations = parse_operations(given["preprocess"])
    data = parts(given["data"], reading=Reading(skip_unreadable=given["skip_unreadable"]))
    if operations is not None:
        data = (replace(data[0], preprocess=operations), data[1], data[2])
    with _progress(given["quiet"], Path(out).stem, chosen.epochs) as bars:
        trained = train(chosen, data=data, teacher=teacher, device=given["device"], progress=bars)
    for path, checkpoint in ((out, trained.last), (best, trained.best)):
        if path is not None:
            save_checkpoint(path, checkpoint, overwrite=given["overwrite"])
            metrics = checkpoint.metrics
            click.echo(
                f"{path}: top-1 {metrics['top1']:.4f} on {metrics['split']}, epoch {checkpoint.training['epoch']}"
            )


@contextlib.contextmanager
def _progress(quiet: bool, name: str, epochs: int) -> Any:
    if quiet:
        yield None
        return
    from kernelscope.cli.progress import TrainingProgress

    with TrainingProgress() as bars:
        bars.start(name, epochs)
        yield bars
