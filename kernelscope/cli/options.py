"""Options that several verbs share, each written once, under the names of the keywords they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kernelscope.cli import values

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
paper = click.option(
    "--paper", is_flag=True, help="Also print the table of the paper's theory; the page always has it."
)
explain = click.option(
    "--explain", is_flag=True, help="Also print what columns mean, and which examples carry the difference."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
device = click.option(
    "--device",
    default="cpu",
    show_default=True,
    callback=values.reads(values.device),
    help="Torch device, e.g. cuda or cuda:1.",
)
data = click.option("--data", metavar="NAME", help="Data set, see docs/data.md [default: what the checkpoints state].")
split = click.option("--split", metavar="NAME", help="Split to measure on [default: the evaluation split].")
limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N examples.")
n = click.option(
    "--n", type=click.IntRange(min=1), metavar="N", help="Exactly N examples; for iterables without a length."
)
sample = click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="N examples drawn by the seed, each class in proportion."
)
skip_unreadable = click.option(
    "--skip-unreadable", is_flag=True, help="Leave out examples that cannot be read, with a note."
)
preprocess = click.option(
    "--preprocess",
    metavar="JSON",
    callback=values.reads(values.operations),
    help="List of operations in the place of those that data and checkpoints state.",
)
batch_size = click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Examples per forward pass."
)
pool = click.option(
    "--pool",
    default="auto",
    show_default=True,
    help="auto, avg, mean, max, flatten, cls or last; token, patch or grid:HxW makes every position a row.",
)
max_memory = click.option(
    "--max-memory",
    "memory_bytes",
    metavar="SIZE",
    callback=values.reads(values.size_in_bytes),
    help="The most that this process may have in memory, all told, such as 700M; what cannot fit is refused.",
)
layers = click.option("--layers", metavar="L1,L2", help="Layers by name or glob [default: embedding,logits].")
dtype = click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Storage of features.",
)
no_cache = click.option(
    "--no-cache", "cache", is_flag=True, callback=values.negated, help="Extract features afresh and keep none."
)
no_accuracy_check = click.option(
    "--no-accuracy-check",
    "accuracy_check",
    is_flag=True,
    callback=values.negated,
    help="Skip the check against the accuracy stated in the checkpoint.",
)


def arch_kwargs(name: str = "--arch-kwargs") -> Callable[[F], F]:
    """Keyword arguments of one network's architecture."""
    read = values.reads(values.json_object)
    return click.option(name, metavar="JSON", callback=read, help="Keyword arguments of that architecture.")


def networks(required: bool = True) -> Callable[[F], F]:
    """The teacher and the students, and what their files may not state."""
    return together(
        click.option(
            "--teacher",
            type=PATH,
            required=required,
            help="Checkpoint or feature file of the teacher, or several as 'shards:PATTERN' or a folder.",
        ),
        click.option(
            "--student",
            type=PATH,
            required=required,
            multiple=True,
            help="The same for a student; may be repeated; a quoted pattern ('run_*.pt') is many students.",
        ),
        click.option("--teacher-arch", metavar="NAME", help="Architecture of a teacher whose file does not state it."),
        click.option(
            "--student-arch",
            metavar="NAME",
            multiple=True,
            callback=values.once_or_each(values.word),
            help="The same for students: once for all, or once each in order.",
        ),
        arch_kwargs("--teacher-arch-kwargs"),
        click.option(
            "--student-arch-kwargs",
            metavar="JSON",
            multiple=True,
            callback=values.once_or_each(values.json_object),
            help="The same.",
        ),
    )


#: of one teacher and one student, whose files may not state them
architectures = together(
    click.option("--teacher-arch", metavar="NAME", help="Architecture of a teacher whose file does not state it."),
    arch_kwargs("--teacher-arch-kwargs"),
    click.option("--student-arch", metavar="NAME", help="The same for the student."),
    arch_kwargs("--student-arch-kwargs"),
)
#: how one network runs over data, where it is not measured
run_of_one_network = together(
    click.option("--arch", metavar="NAME", help="Architecture, if the file does not state it."),
    arch_kwargs(),
    data,
    split,
    limit,
    n,
    sample,
    seed,
    skip_unreadable,
    preprocess,
    layers,
    pool,
    batch_size,
)
align = click.option("--align", type=click.Choice(["ids"]), help="Pair the rows of re-ordered files by example id.")
#: what verbs leave whose answer is no report
answer = together(
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else."),
    click.option("--save", type=PATH, metavar="FILE", help="Write the answer as JSON."),
    overwrite,
    quiet,
    debug,
)
outputs = together(
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else."),
    click.option("--save", type=PATH, metavar="FILE", help="Write the report as JSON."),
    click.option("--csv", type=PATH, metavar="FILE", help="Write one line per pair as CSV."),
    click.option("--html", type=PATH, metavar="FILE", help="Write the page: one file, no script, no network."),
    click.option(
        "--card", type=PATH, metavar="FILE", help="Write what was kept and lost, as Markdown for a model card."
    ),
    overwrite,
    quiet,
    debug,
)


def feature_inputs(required: bool = True) -> Callable[[F], F]:
    """Every option that decides what is measured; shared by the verbs that read networks or features."""
    return together(
        networks(required),
        data,
        split,
        limit,
        n,
        sample,
        skip_unreadable,
        preprocess,
        click.option(
            "--labels",
            type=PATH,
            metavar="FILE",
            help="Class of each row: .npy, .npz, .pt, HDF5, a column of text or numbers, or FILE:COLUMN of a table.",
        ),
        click.option(
            "--groups",
            type=PATH,
            metavar="FILE",
            help="Group of each row, in the same form; intervals leave out whole groups.",
        ),
        align,
        click.option(
            "--join", type=click.Choice(["inner"]), help="The same, without rows that one side alone has, with a note."
        ),
        layers,
        click.option("--teacher-layers", metavar="L1,L2", help="Layers of the teacher alone."),
        click.option(
            "--student-layers", metavar="L1,L2", help="Layers of the students, paired with the teacher's in order."
        ),
        click.option("--pairs", metavar="T=S,...", help="Which teacher layer against which student layer; or `all`."),
        pool,
        click.option(
            "--landmarks",
            metavar="SPEC",
            help="class-means[:k], kmeans:m, uniform:m, leverage:m, or FILE.npy of row indices.",
        ),
        device,
        dtype,
        seed,
        batch_size,
        max_memory,
        no_cache,
        no_accuracy_check,
    )
