"""Options that several verbs share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several option decorators as one, in the order they are listed in the help."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


PATH = click.Path(path_type=Path)

debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of any error.")
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
device = click.option("--device", default="cpu", show_default=True, help="Torch device, e.g. cuda or cuda:1.")
data = click.option("--data", metavar="NAME", help="Data set, see docs/data.md [default: what the checkpoints say].")
split = click.option("--split", metavar="NAME", help="Split to measure on [default: the evaluation split].")
limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N examples.")
n = click.option(
    "--n", type=click.IntRange(min=1), metavar="N", help="Exactly N examples; for iterables without a length."
)
skip_unreadable = click.option(
    "--skip-unreadable", is_flag=True, help="Leave out examples that cannot be read, with a note."
)
preprocess = click.option(
    "--preprocess", metavar="JSON", help="List of operations in the place of those that data and checkpoints state."
)
batch_size = click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Examples per forward pass."
)
pool = click.option(
    "--pool",
    default="auto",
    show_default=True,
    help="auto, avg, mean, max, flatten, cls or last; token or patch makes every position a row.",
)
layers = click.option("--layers", metavar="L1,L2", help="Layers by name or glob [default: embedding,logits].")
dtype = click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Storage of features.",
)
no_cache = click.option("--no-cache", is_flag=True, help="Extract features afresh and keep none.")

no_accuracy_check = click.option(
    "--no-accuracy-check", is_flag=True, help="Take networks that do not score what their files state."
)


def networks(required: bool = True) -> Callable[[F], F]:
    """The teacher and the students, and what their files may not say."""
    return together(
        click.option("--teacher", type=PATH, required=required, help="Checkpoint or feature file of the teacher."),
        click.option(
            "--student",
            "students",
            type=PATH,
            required=required,
            multiple=True,
            help="The same for a student; may be repeated.",
        ),
        click.option("--teacher-arch", metavar="NAME", help="Architecture of a teacher whose file does not say it."),
        click.option(
            "--student-arch",
            "student_archs",
            metavar="NAME",
            multiple=True,
            help="The same for students: once for all, or once each in order.",
        ),
        click.option("--teacher-arch-kwargs", metavar="JSON", help="Keyword arguments of that architecture."),
        click.option("--student-arch-kwargs", "student_archs_kwargs", metavar="JSON", multiple=True, help="The same."),
    )


OUTPUTS = ("as_json", "save", "csv", "html", "overwrite", "quiet")


def take_outputs(given: dict[str, Any]) -> dict[str, Any]:
    """Remove the output options from ``given`` and return them."""
    return {key: given.pop(key) for key in OUTPUTS}


outputs = together(
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else."),
    click.option("--save", type=PATH, metavar="FILE", help="Write the report as JSON."),
    click.option("--csv", type=PATH, metavar="FILE", help="Write one line per pair as CSV."),
    click.option("--html", type=PATH, metavar="FILE", help="Write the page: one file, no script, no network."),
    overwrite,
    quiet,
    debug,
)
