"""The report on a terminal: a table a person understands without the paper, and a verdict per student."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.asides import asides
from kernelscope.rendering.comparisons import comparisons_in_words
from kernelscope.rendering.wording import (
    NONE,
    first_pairs,
    layer_name,
    loss_in_digits,
    multiple,
    network_of,
    notes_by_text,
    number,
    percent,
    population,
    population_says_more,
    rows_in_words,
    short_names,
    warnings_by_text,
)
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport
from kernelscope.report.verdict import sentence

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

LOSS_COLUMNS = (
    "loss",
    "after\nbest\nscalar",
    "after\nlinear\nhead",
    "width\nfloor",
    "chance",
    "CKA",
    "same\nnear",
    "top-1",
)
LOSS_CAPTION = (
    "loss: 0 = the teacher's kernel exactly; 1 = what an all-zero student gets. after best scalar, after linear head: "
    "what is left once the student is rescaled, or given the best linear head. width floor: no student this wide goes "
    "below it. chance = the same student with its examples shuffled. CKA: 1 = equal up to scale, shift and rotation. "
    "same near: share of each example's nearest neighbours that both networks name."
)
POPULATION_COLUMN = "among\nmany"  #: only where it tells something that the loss of these examples does not
POPULATION_CAPTION = (
    "among many: the loss that many more such examples would have; a sample also counts each example against itself."
)
THEORY_COLUMNS = (
    "true\nloss",
    "paper's\nestimate",
    "expanded\nestimate",
    "smallest\nof W_T",
    "smallest\nof W_S",
    "bound\n/ truth",
)
THEORY_CAPTION = (
    "paper's estimate = ‖C_S−C_T‖_F / ‖K_T‖_F over the landmarks, expanded = the same weighted to all examples; both "
    "stand for the true loss. smallest of W: smallest eigenvalue of the landmarks' kernel, assumed above 1. bound / "
    "truth: how many times too large the paper's Theorem 2 is."
)
PROSE_WIDTH = 96
MOST_COMPARISONS = 6
NARROWEST_NAME = 8
GAP = 2


def text(report: TransferReport, width: int = 100) -> str:
    """The report as plain text, at most ``width`` wide unless the numbers need more."""
    from rich.console import Console

    stream = io.StringIO()
    _print(report, Console(file=stream, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(report: TransferReport, console: Console | None = None) -> None:
    """Print the report to stdout: in colour on a terminal, else as :func:`text`."""
    from rich.console import Console

    console = console or Console()
    if console.is_terminal:
        _print(report, console)
    else:
        console.file.write(text(report, console.width))


def _print(report: TransferReport, console: Console) -> None:
    for part in _parts(report, console):
        console.print(part, highlight=False, markup=False, crop=False)


def _parts(report: TransferReport, console: Console) -> list[RenderableType]:
    """Everything to print, top to bottom."""
    from rich.text import Text

    if not report.pairs:
        return [Text("no pairs were measured")]
    names = short_names(report)
    rows = [_loss_cells(report, pair) for pair in report]
    columns: tuple[str, ...] = LOSS_COLUMNS
    caption = LOSS_CAPTION
    if any(population_says_more(pair) for pair in report):
        columns, caption = (columns[0], POPULATION_COLUMN, *columns[1:]), f"{caption} {POPULATION_CAPTION}"
        rows = [[row[0], number(population(pair)), *row[1:]] for row, pair in zip(rows, report)]
    parts: list[RenderableType] = [_opening(report, names), Text()]
    parts += [_table(report, names, console, columns, rows), Text(), _prose(caption, console), Text()]
    parts += [_verdicts(report, names, console)]
    compared = comparisons_in_words(report, MOST_COMPARISONS)
    parts += [Text(), Text("\n".join(compared))] if compared else []
    beside = asides(report)
    parts += [Text(), Text("\n".join(beside))] if beside else []
    theory = [_theory_cells(pair) for pair in report]
    if any(theory):
        parts += [Text(), Text("the paper's theory on these pairs", style="bold"), Text()]
        parts += [_table(report, names, console, THEORY_COLUMNS, theory), Text(), _prose(THEORY_CAPTION, console)]
    warnings = warnings_by_text(report)
    parts += [Text()] if warnings else []
    parts += [Text.assemble(("warning", "bold yellow"), f" ({where}): {words}") for words, where in warnings]
    notes = notes_by_text(report)
    parts += [Text()] if notes else []
    return parts + [_prose(f"note ({where}): {words}", console) for words, where in notes]


def _opening(report: TransferReport, names: dict[str, str]) -> RenderableType:
    from rich.text import Text

    teachers = ", ".join(dict.fromkeys(names[pair.teacher] for pair in report))
    splits = ", ".join(dict.fromkeys(plain(pair.split) for pair in report if pair.split))
    counts = ", ".join(dict.fromkeys(rows_in_words(pair) for pair in report))
    return Text(f"teacher {teachers}, {counts}{f' of {splits}' if splits else ''}")


def _verdicts(report: TransferReport, names: dict[str, str], console: Console) -> Table:
    """One verdict per student, beside its name."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=max(12, console.width // 3), overflow="fold", style="bold")
    grid.add_column(max_width=PROSE_WIDTH)
    for pair in first_pairs(report):
        grid.add_row(Text(f"{names[pair.student]} {layer_name(pair)}"), Text(plain(sentence(pair))))
    return grid


def _prose(words: str, console: Console) -> RenderableType:
    """A paragraph no wider than reads well."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(words, style="dim"), (0, max(0, console.width - PROSE_WIDTH), 0, 0), expand=False)


def _loss_cells(report: TransferReport, pair: PairReport) -> list[str]:
    """The ladder, chance, CKA, accuracy."""
    network = network_of(report, pair.student)
    ladder = pair.ladder
    return [
        loss_in_digits(pair).replace(" to ", "\nto "),
        *map(number, (ladder.scaled, ladder.head, ladder.width_floor, pair.null.transfer_loss, pair.cka)),
        number(None if pair.neighbours is None else pair.neighbours.overlap, 2),
        percent(None if network is None else network.top1),
    ]


def _theory_cells(pair: PairReport) -> list[str]:
    """The paper's estimate and the one in the loss's own units, W's smallest eigenvalues, Theorem 2.

    Nothing where the pair has no landmarks at all.
    """
    spectra, paper, nystrom = pair.landmark_spectrum, pair.paper, pair.nystrom
    if spectra is None and paper is None and nystrom is None:
        return []
    bound = None if paper is None else paper.bounds.get("theorem2")
    return [
        loss_in_digits(pair).replace(" to ", "\nto "),
        number(None if paper is None else paper.estimate),
        number(None if nystrom is None else nystrom.expanded_estimate),
        number(None if spectra is None else spectra.teacher.min),
        number(None if spectra is None else spectra.student.min),
        multiple(None if bound is None else bound.over_truth),
    ]


def _table(
    report: TransferReport,
    names: dict[str, str],
    console: Console,
    columns: tuple[str, ...],
    rows: list[list[str]],
) -> Table:
    """One row per pair; names fold where the terminal is narrow, numbers never do."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    rows = [row or [NONE] * len(columns) for row in rows]
    widths = [
        max(len(line) for cell in (heading, *column) for line in cell.split("\n"))
        for heading, *column in zip(columns, *rows)
    ]
    for_names = console.width - sum(widths) - GAP * (len(widths) + 1)
    layers = max(len("layer"), *(cell_len(layer_name(pair)) for pair in report))
    students = max(len("student"), *(cell_len(names[pair.student]) for pair in report))
    layers = min(layers, max(NARROWEST_NAME, for_names - min(students, 12)))
    students = min(students, max(NARROWEST_NAME, for_names - layers))
    whole = students + layers + sum(widths) + GAP * (len(widths) + 1)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), width=whole)
    table.add_column("student", width=students, overflow="fold", vertical="top")
    table.add_column("layer", width=layers, overflow="fold")
    for heading, width in zip(columns, widths):
        table.add_column(heading, width=width, justify="right", no_wrap=True)
    before = None
    for pair, row in zip(report, rows):
        student = names[pair.student] if pair.student != before else ""
        table.add_row(Text(student, style="bold"), Text(layer_name(pair)), *map(Text, row))
        before = pair.student
    return table
