"""The report on a terminal: a table a person understands without the paper, and a verdict per student."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.asides import asides
from kernelscope.rendering.comparisons import comparisons_in_words
from kernelscope.rendering.difference_ends import difference_in_lines
from kernelscope.rendering.ranking import Place, headline, ranked, ranking, rows
from kernelscope.rendering.wording import (
    first_pairs,
    folded,
    layer_name,
    longest_word,
    notes_by_text,
    rows_in_words,
    short_names,
    warnings_by_text,
)
from kernelscope.report.columns import LOSS_COLUMNS, THEORY_COLUMNS, Column, caption, columns_on, has_theory
from kernelscope.report.verdict import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table

    from kernelscope.report.report import TransferReport

PROSE_WIDTH = 96
MOST_COMPARISONS = 6
MEANINGS = "what the columns mean: --explain, or kernelscope help columns"
NARROWEST_NAME = len("student")
GAP = 2


def text(report: TransferReport, width: int = 100, *, paper: bool = False, explain: bool = False) -> str:
    """The report as plain text, at most ``width`` wide unless the numbers need more.

    ``paper``: with its theory; ``explain``: with what each column means, and which examples carry the difference.
    """
    from rich.console import Console

    stream = io.StringIO()
    _print(report, Console(file=stream, width=width, color_system=None), paper, explain)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(report: TransferReport, console: Console | None = None, *, paper: bool = False, explain: bool = False) -> None:
    """Print the report to stdout: in colour on a terminal, else as :func:`text`."""
    from rich.console import Console

    console = console or Console()
    if console.is_terminal:
        _print(report, console, paper, explain)
    else:
        console.file.write(text(report, console.width, paper=paper, explain=explain))


def _print(report: TransferReport, console: Console, paper: bool, explain: bool) -> None:
    for part in _parts(report, console, paper, explain):
        console.print(part, highlight=False, markup=False, crop=False)


def _parts(report: TransferReport, console: Console, paper: bool, explain: bool) -> list[RenderableType]:
    """Everything to print, top to bottom."""
    from rich.text import Text

    if not report.pairs:
        return [Text("no pairs were measured")]
    report, places = ranked(report), ranking(report)
    names = short_names(report)
    columns = columns_on("terminal", LOSS_COLUMNS, report)
    parts: list[RenderableType] = [_opening(report, names), Text(), *_tables(report, names, console, columns), Text()]
    parts += [_prose(caption(columns) if explain else MEANINGS, console), Text()]
    parts += [_verdicts(report, names, console)]
    parts += [Text(), Text(headline(report, places)), _ranking(report, places)] if places else []
    compared = comparisons_in_words(report, 0 if places else MOST_COMPARISONS)
    parts += [Text(), Text("\n".join(compared))] if compared else []
    beside = asides(report) + (difference_in_lines(report) if explain else [])
    parts += [Text(), Text("\n".join(beside))] if beside else []
    if paper and any(has_theory(pair) for pair in report):
        columns = columns_on("terminal", THEORY_COLUMNS, report)
        parts += [Text(), Text("the paper's theory on these pairs", style="bold"), Text()]
        parts += _tables(report, names, console, columns)
        parts += [Text(), _prose(caption(columns), console)] if explain else []
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


def _ranking(report: TransferReport, places: list[Place]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, GAP, 0, 0))
    for justify in ("right", "left", "right", "left"):
        grid.add_column(justify=justify, overflow="fold")
    for ranks, student, loss, interval in rows(report, places):
        grid.add_row(f"  {ranks}", Text(student, style="bold"), loss, Text(interval, style="dim"))
    return grid


def _verdicts(report: TransferReport, names: dict[str, str], console: Console) -> Table:
    """One verdict per student, beside its name."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=max(12, console.width // 3), overflow="fold", style="bold")
    grid.add_column(max_width=PROSE_WIDTH)
    for pair in first_pairs(report):
        grid.add_row(
            Text(folded(f"{names[pair.student]} {layer_name(pair)}", max(12, console.width // 3))),
            Text(plain(sentence(pair))),
        )
    return grid


def _prose(words: str, console: Console) -> RenderableType:
    """A paragraph no wider than reads well."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(words, style="dim"), (0, max(0, console.width - PROSE_WIDTH), 0, 0), expand=False)


def _tables(
    report: TransferReport, names: dict[str, str], console: Console, columns: Sequence[Column]
) -> list[RenderableType]:
    """One row per pair, in as many tables as the columns need where the terminal is narrow."""
    from rich.text import Text

    # an interval takes two lines, so that it is no wider than a number
    cells = [[column.cell(report, pair).replace(" to ", "\nto ") for pair in report] for column in columns]
    widths = [
        max(len(line) for cell in (column.heading, *found) for line in cell.split("\n"))
        for column, found in zip(columns, cells)
    ]
    room = console.width - 2 * (NARROWEST_NAME + GAP)  # for numbers, beside the names
    parts: list[list[tuple[str, int, list[str]]]] = [[]]
    used = 0
    for column, width, found in zip(columns, widths, cells):
        if parts[-1] and used + width > room:
            parts.append([])
            used = 0
        parts[-1].append((column.heading, width, found))
        used += width + GAP
    tables: list[RenderableType] = []
    for part in parts:
        tables += [*([Text()] if tables else []), _table(report, names, console, part)]
    return tables


def _table(
    report: TransferReport, names: dict[str, str], console: Console, columns: Sequence[tuple[str, int, list[str]]]
) -> Table:
    """Columns as heading, width and cells; names fold where the terminal is narrow, numbers never do."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    widths = [width for _, width, _ in columns]
    for_names = console.width - sum(widths) - GAP * (len(widths) + 1)
    layers = max(len("layer"), *(cell_len(layer_name(pair)) for pair in report))
    students = max(len("student"), *(cell_len(names[pair.student]) for pair in report))
    word = min(longest_word(map(layer_name, report)), for_names - NARROWEST_NAME)
    layers = min(layers, max(NARROWEST_NAME, word, for_names - min(students, 12)))
    students = min(students, max(NARROWEST_NAME, for_names - layers))
    whole = students + layers + sum(widths) + GAP * (len(widths) + 1)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), width=whole)
    table.add_column("student", width=students, overflow="fold", vertical="top")
    table.add_column("layer", width=layers, overflow="fold")
    for heading, width, _ in columns:
        table.add_column(heading, width=width, justify="right", no_wrap=True)
    before = None
    for pair, *row in zip(report, *(cells for _, _, cells in columns)):
        student = names[pair.student] if pair.student != before else ""
        table.add_row(
            Text(folded(student, students), style="bold"), Text(folded(layer_name(pair), layers)), *map(Text, row)
        )
        before = pair.student
    return table
