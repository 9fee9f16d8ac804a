"""Options that several verbs share, each written once, under the names of the keywords they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kernelscope.cli import values
from kernelscope.cli.streams import say

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
        click.option("--teacher", type=PATH, required=required, help="Checkpoint or feature file of the teacher."),
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


outputs = together(
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else."),
    click.option("--save", type=PATH, metavar="FILE", help="Write the report as JSON."),
    click.option("--csv", type=PATH, metavar="FILE", help="Write one line per pair as CSV."),
    click.option("--html", type=PATH, metavar="FILE", help="Write the page: one file, no script, no network."),
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
        click.option("--align", type=click.Choice(["ids"]), help="Pair the rows of re-ordered files by example id."),
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
        no_cache,
        no_accuracy_check,
    )


def measurement_inputs(required: bool = True) -> Callable[[F], F]:
    """The same, and every option that decides how it is measured."""
    return together(feature_inputs(required), _what_is_compared(), _what_it_is_read_by(), _how_it_is_computed())


sums = together(
    click.option(
        "--sums-out",
        type=PATH,
        metavar="FILE.kss",
        help="Write the sums of everything measured, to be added to others.",
    ),
    click.option(
        "--sums",
        type=PATH,
        multiple=True,
        metavar="FILE.kss",
        callback=lambda context, parameter, paths: list(paths) or None,
        help="Measure these sums, with the rows of --teacher and --student or alone; may be repeated, or a quoted "
        "pattern.",
    ),
    click.option(
        "--expect", metavar="N|FILE", help="Refuse sums of other than N rows, or of other shards than FILE lists."
    ),
)


def _what_is_compared() -> Callable[[F], F]:
    """What is done to rows before kernels are formed."""
    return together(
        click.option(
            "--kernel",
            default="linear",
            show_default=True,
            metavar="K",
            help="linear, cosine, ridge[:RHO], rbf[:GAMMA] or poly[:P[,C]].",
        ),
        click.option("--centre", is_flag=True, help="Take off each layer's mean first."),
        click.option("--normalize", is_flag=True, help="Scale every row to length 1 first."),
    )


def _what_it_is_read_by() -> Callable[[F], F]:
    """Numbers beside the loss."""
    return together(
        click.option(
            "--neighbours",
            type=click.IntRange(min=0),
            metavar="K",
            help="Nearest neighbours to compare [default: 10 of up to 10,000 examples].",
        ),
        click.option(
            "--dims",
            metavar="K1,K2,...",
            callback=values.reads(values.whole_numbers("64,128")),
            help="Also compare the first K features of both networks, as of Matryoshka embeddings.",
        ),
        click.option(
            "--reference",
            "references",
            multiple=True,
            metavar="[NAME=]FILE",
            callback=values.named_files,
            help="Another network to read the loss by, such as a reseeded teacher; may be repeated.",
        ),
        click.option("--untrained", is_flag=True, help="Also measure an untrained copy of each student."),
    )


def _how_it_is_computed() -> Callable[[F], F]:
    """Routes, precision and memory."""
    return together(
        click.option(
            "--route",
            type=click.Choice(["auto", "gram", "pair", "tsqr", "blocked"]),
            default="auto",
            show_default=True,
            help="How the transfer loss is computed.",
        ),
        click.option(
            "--rtol", type=float, default=1e-6, show_default=True, help="Relative half-width to resolve the loss to."
        ),
        click.option(
            "--no-features",
            "features",
            is_flag=True,
            callback=values.negated,
            help="Straight from the networks into the sums: no file, fewer numbers.",
        ),
        click.option(
            "--plan",
            "announce",
            is_flag=True,
            callback=lambda context, parameter, flag: _to_stderr if flag else None,
            help="Print on stderr what each pair will cost, and measure nothing; no network runs.",
        ),
        click.option(
            "--max-memory",
            "memory_bytes",
            metavar="SIZE",
            default="512M",
            show_default=True,
            callback=values.reads(values.size_in_bytes),
            help="For n x n blocks, the Grams of classes and layers with more features than examples.",
        ),
    )


def _to_stderr(line: str) -> None:
    say(line, err=True)
