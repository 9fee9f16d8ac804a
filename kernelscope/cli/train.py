"""``kernelscope train``: a teacher, a student by any method, or several students side by side."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import launching, options, values
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernelscope.distill.outcome import Trained
    from kernelscope.distill.recipe import Recipe

#: options that are fields of the recipe
AS_GIVEN = (
    "arch", "arch_kwargs", "epochs", "lr", "weight_decay", "momentum", "lr_warm_up", "pad", "flip", "batch_size",
    "seed",
)  # fmt: skip


@click.command("train", cls=Verb)
@click.option("--data", required=True, metavar="NAME", help="Data set to train on, e.g. digits; see docs/data.md.")
@options.skip_unreadable
@options.preprocess
@click.option("--arch", required=True, metavar="NAME", help="Architecture, e.g. resnet20 or resnet8x0.5.")
@options.arch_kwargs()
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="ce, or a sum such as kda@embedding(weight=0.2)+kd(T=4); repeated for students side by side [default: ce].",
)
@click.option("--teacher", type=options.PATH, metavar="FILE", help="Checkpoint to learn from, or to be held against.")
@click.option("--teacher-arch", metavar="NAME", help="Its architecture, if its file does not state it.")
@options.arch_kwargs("--teacher-arch-kwargs")
@click.option(
    "--out",
    type=options.PATH,
    required=True,
    metavar="FILE",
    help="Checkpoint of the last epoch; of several students the folder of their checkpoints.",
)
@click.option("--best", type=options.PATH, metavar="FILE", help="The same of the best epoch on validation.")
@click.option(
    "--preset",
    default="quick",
    show_default=True,
    help="quick, paper-cifar100, paper-tiny-imagenet; options below win.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training examples.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--weight-decay", type=float, help="L2 penalty on all weights.")
@click.option("--momentum", type=float, help="Of SGD.")
@click.option("--lr-warm-up", type=click.IntRange(min=0), metavar="EPOCHS", help="Linear rise of the rate from 0.")
@click.option("--pad", type=click.IntRange(min=0), metavar="PIXELS", help="Shift images by up to so many pixels.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the images.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Examples per step, over all processes together.")
@click.option(
    "--seeds",
    metavar="S1,S2",
    callback=values.reads(values.whole_numbers("0,1,2")),
    help="Seeds of initial weights, a student of every method for each.",
)
@options.seed
@click.option("--resume", is_flag=True, help="Go on with the run that a signal, a crash or a power cut ended.")
@click.option("--deterministic", is_flag=True, help="Only operations that give the same bits on a GPU every time.")
@click.option("--amp", is_flag=True, help="Forward passes in half precision; losses stay in float32.")
@launching.nproc
@options.device
@options.no_accuracy_check
@options.overwrite
@options.quiet
@options.debug
def command(**given: Any) -> int:
    """Train a teacher (method ce), a student, or several students that share data and the teacher's forward pass.

    The test split is looked at once, at the end. Runs that differ only in their method share initial weights, order
    of examples and augmentation. The state of a run lies beside --out until it is finished, for --resume.
    """
    return launching.together(given, _train)


def _train(given: dict[str, Any]) -> None:
    from kernelscope import processes
    from kernelscope.checkpoints.loading import load
    from kernelscope.datasets.reading import Reading
    from kernelscope.datasets.sources import parts
    from kernelscope.distill import resuming
    from kernelscope.distill.outcome import SomeFailed
    from kernelscope.distill.training import train_cohort
    from kernelscope.files import refuse_existing

    recipes = _recipes(given)
    outputs = _outputs(recipes, given["out"], given["best"])
    refuse_existing(*(path for pair in outputs for path in pair if path), overwrite=given["overwrite"])
    state = resuming.state_path(given["out"])
    if not given["resume"] and not given["overwrite"]:
        resuming.require_fresh(state)
    teacher = None
    if given["teacher"] is not None:
        arch, kwargs = given["teacher_arch"], given["teacher_arch_kwargs"]
        teacher = load(given["teacher"], arch=arch, arch_kwargs=kwargs, role="teacher")
    operations = given["preprocess"]
    data = parts(given["data"], reading=Reading(skip_unreadable=given["skip_unreadable"]))
    if operations is not None:
        data = (replace(data[0], preprocess=operations), data[1], data[2])
    if not given["quiet"]:
        say(_in_words(recipes[0], given["preset"]), err=True)
    with _progress(given["quiet"], [path.stem for path, _ in outputs]) as bars:
        try:
            trained: list[Trained | None] = [
                *train_cohort(
                    recipes,
                    data=data,
                    teacher=teacher,
                    device=given["device"],
                    progress=bars,
                    state=state,
                    resume=given["resume"],
                    accuracy_check=given["accuracy_check"],
                    announce=None if given["quiet"] else lambda note: say(f"note: {note}", err=True),
                )
            ]
            failure = None
        except SomeFailed as error:
            trained, failure = error.students, error
    if processes.is_first():
        _save(trained, outputs, given["overwrite"])
        state.unlink(missing_ok=True)
        if len(recipes) > 1:
            _compare(recipes, trained)
    if failure is not None:
        raise failure


def _recipes(given: dict[str, Any]) -> list[Recipe]:
    """One per method and seed of initial weights; the first method's students first."""
    from kernelscope.distill.recipe import recipe

    return [
        recipe(
            given["preset"],
            method=method,
            init_seed=init_seed,
            amp=given["amp"] or None,
            deterministic=given["deterministic"] or None,
            **{name: given[name] for name in AS_GIVEN},
        )
        for method in given["methods"] or ("ce",)
        for init_seed in _seeds(given["seeds"])
    ]


def _seeds(seeds: list[int] | None) -> list[int | None]:
    if seeds is None:
        return [None]
    if len(set(seeds)) < len(seeds):
        raise click.UsageError(f"--seeds {','.join(map(str, seeds))} names a seed twice; name each once")
    return list(seeds)


def _outputs(recipes: list[Recipe], out: Path, best: Path | None) -> list[tuple[Path, Path | None]]:
    """Where each student's last and best checkpoints go."""
    if len(recipes) == 1:
        return [(out, best)]
    names: list[str] = []
    for recipe in recipes:
        seed = "" if recipe.init_seed is None else f"-seed{recipe.init_seed}"
        name = re.sub(r"[^\w.=+@-]+", "_", recipe.method).strip("_")[:60] + seed
        names.append(f"{name}-{names.count(name) + 1}" if name in names else name)
    return [(out / f"{name}.pt", best / f"{name}.pt" if best is not None else None) for name in names]


def _save(trained: list[Trained | None], outputs: list[tuple[Path, Path | None]], overwrite: bool) -> None:
    for student, paths in zip(trained, outputs):
        for path, best in zip(paths, (False, True)):
            if path is not None and student is not None:
                student.save(path, best=best, overwrite=overwrite)
                checkpoint = student.best if best else student.last
                metrics, epoch = checkpoint.metrics, checkpoint.training["epoch"]
                say(f"{path}: top-1 {metrics['top1']:.4f} on {metrics['split']}, epoch {epoch}")


def _compare(recipes: list[Recipe], trained: list[Trained | None]) -> None:
    from kernelscope.cli import cohort_table
    from kernelscope.distill.comparison import Group

    of = {recipe.method: [s for r, s in zip(recipes, trained) if r.method == recipe.method] for recipe in recipes}
    groups = []
    for method, students in of.items():
        chosen = next((s.last.training["recipe"]["method"] for s in students if s is not None), method)
        groups.append(Group(chosen, tuple(students)))
    say(f"\n{cohort_table.text(groups)}")


def _in_words(recipe: Recipe, preset: str) -> str:
    """Every value that decides the run, and where it comes from."""
    from kernelscope.distill.methods import described
    from kernelscope.distill.searching import alternatives

    values = {name: value for name, value in recipe.decisive().items() if name not in ("method", "arch_kwargs")}
    rows = [(name, str(value), recipe.sources.get(name, "default")) for name, value in values.items()]
    searched = alternatives(recipe.method)
    rows += [(name, str(value), source) for name, value, source in described(searched[0])]
    if len(searched) > 1:
        rows.append(("searched", f"{len(searched)} methods", "given"))
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines = [f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {source}" for name, value, source in rows]
    return "\n".join([f"preset {preset}, method {recipe.method}", *lines])


@contextlib.contextmanager
def _progress(quiet: bool, names: list[str]) -> Iterator[Any]:
    if quiet:
        yield None
        return
    from kernelscope.cli.progress import TrainingProgress

    with TrainingProgress(names) as bars:
        yield bars
