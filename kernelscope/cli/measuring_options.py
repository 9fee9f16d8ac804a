"""Options of the verbs that measure: how it is done, what is compared with what, and sums of shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kernelscope.cli import values
from kernelscope.cli.options import PATH, F, feature_inputs, together
from kernelscope.cli.streams import say

if TYPE_CHECKING:
    from collections.abc import Callable


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
    click.option(
        "--grid",
        type=PATH,
        multiple=True,
        metavar="FILE.kss",
        callback=lambda context, parameter, paths: list(paths) or None,
        help="Round columns as these reproducible sums need it; may be repeated, or a quoted pattern.",
    ),
)


def _what_is_compared() -> Callable[[F], F]:
    """What rows are known by, and what is done to them before kernels are formed."""
    return together(
        click.option(
            "--kernel",
            default="linear",
            show_default=True,
            metavar="K",
            help="linear, cosine, ridge[:RHO], rbf[:GAMMA] or poly[:P[,C]].",
        ),
        click.option("--teacher-ids", type=PATH, metavar="FILE", help="Id of each row of a teacher that has none."),
        click.option("--student-ids", type=PATH, metavar="FILE", help="The same for the student."),
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
            "--passes",
            type=click.IntRange(1, 2),
            default=1,
            show_default=True,
            help="With --no-features: 2 runs the networks once more, for nearly all numbers.",
        ),
        click.option(
            "--reproducible",
            is_flag=True,
            help="The same bits in any order of rows: two passes, columns rounded to 30 bits, fewer numbers.",
        ),
        click.option(
            "--plan",
            "announce",
            is_flag=True,
            callback=lambda context, parameter, flag: _to_stderr if flag else None,
            help="Print on stderr what it will cost: passes, seconds, memory, and how many examples +-1 % takes; "
            "measure nothing.",
        ),
    )


def _to_stderr(line: str) -> None:
    say(line, err=True)
