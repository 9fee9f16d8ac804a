"""The report on a terminal: a table a person understands without the paper, and a verdict per student."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kernelscope.report.transfer import PairReport, TransferReport
from kernelscope.report.verdict import verdict

NONE = "–"
HOW_TO_READ = (
    "loss: 0 is the teacher's kernel exactly, 1 is what an all-zero student has. after scalar, after head: what is left "
    "when the student is rescaled, or given the best linear head. width floor: no student this wide goes below it. "
    "chance: the same student with its examples shuffled. CKA: 1 is equal up to scale, shift and rotation."
)


def show(report: TransferReport, console: Console | None = None) -> None:
    """Print the report to stdout, in colour on a terminal."""
    console = console or Console(highlight=False, soft_wrap=False)
    for part in parts(report):
        console.print(part)


def text(report: TransferReport, width: int = 100) -> str:
    """The report as plain text."""
    stream = io.StringIO()
    show(report, Console(file=stream, width=width, color_system=None, highlight=False))
    return stream.getvalue()


def parts(report: TransferReport) -> list[Any]:
    """Everything to print, top to bottom."""
    if not report.pairs:
        return ["no pairs were measured"]
    first = report.pairs[0]
    head = f"teacher {first.teacher}, {first.n:,} examples{f' of {first.split}' if first.split else ''}"
    lines: list[Any] = [head, main_table(report), HOW_TO_READ, ""]
    lines += [f"[bold]{_escaped(_short(pair.student))}[/bold]: {_escaped(verdict(pair))}" for pair in _one_each(report)]
    lines += ["", landmark_table(report)]
    lines += [f"warning ({pair_name(p)}): {_escaped(w.text)}" for p in report for w in p.warnings]
    return lines


def main_table(report: TransferReport) -> Table:
    """One row per student and layer: the ladder, chance, CKA, accuracy."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("student", overflow="fold")
    table.add_column("layer", overflow="fold")
    for name in ("loss", "after\nscalar", "after\nhead", "width\nfloor", "chance", "CKA", "top-1"):
        table.add_column(name, justify="right", no_wrap=True)
    accuracy = {network.name: network.top1 for network in report.networks}
    for pair in report:
        ladder = pair.ladder
        numbers = (
            ladder.scaled,
            ladder.head,
            ladder.width_floor,
            pair.null.transfer_loss,
            pair.cka,
            accuracy.get(pair.student),
        )
        table.add_row(
            _escaped(_short(pair.student)), _escaped(_layer(pair)), loss_in_digits(pair), *map(number, numbers)
        )
    return table


def landmark_table(report: TransferReport) -> Table:
    """The paper's side: its estimate, the estimate in the loss's own units, W's smallest eigenvalues, Theorem 2."""
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="the paper's theory on these pairs", title_justify="left"
    )
    table.add_column("student", overflow="fold")
    table.add_column("layer", overflow="fold")
    for name in (
        "true\nloss",
        "paper's\nestimate",
        "expanded\nestimate",
        "min eig\nW_T",
        "min eig\nW_S",
        "Theorem 2\n/ truth",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in report:
        spectra, paper = pair.landmark_spectrum, pair.paper
        bound = None if paper is None else paper.bounds.get("theorem2")
        table.add_row(
            _escaped(_short(pair.student)),
            _escaped(_layer(pair)),
            loss_in_digits(pair),
            number(None if paper is None else paper.estimate),
            number(None if pair.nystrom is None else pair.nystrom.expanded_estimate),
            number(None if spectra is None else spectra.teacher.min),
            number(None if spectra is None else spectra.student.min),
            number(None if bound is None else bound.over_truth),
        )
    return table


def loss_in_digits(pair: PairReport) -> str:
    """The loss with digits that mean something; the interval alone where it is not resolved."""
    if pair.resolved:
        return number(pair.transfer_loss)
    low, high = pair.rounding_interval
    return f"{low:.1e}…{high:.1e}"


def number(value: float | None) -> str:
    """A number short enough for a table."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.1e}"


def pair_name(pair: PairReport) -> str:
    return f"{_escaped(_short(pair.student))} {_escaped(_layer(pair))}"


def _layer(pair: PairReport) -> str:
    if pair.teacher_layer == pair.student_layer:
        return pair.student_layer
    return f"{pair.teacher_layer} = {pair.student_layer}"


def _short(name: str) -> str:
    return Path(name).name or name


def _one_each(report: TransferReport) -> list[PairReport]:
    """The first pair of each student: the embedding, where there is one."""
    found: dict[str, PairReport] = {}
    for pair in report:
        found.setdefault(pair.student, pair)
    return list(found.values())


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "?" for c in text))
