"""The report on a terminal: a table a person understands without the paper, and a verdict per student."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernelscope.report.transfer import PairReport, TransferReport
from kernelscope.report.verdict import verdict
from kernelscope.report.wording import (
    NONE,
    first_pairs,
    layer_name,
    loss_in_digits,
    multiple,
    network_of,
    number,
    percent,
    plain,
    short_names,
    warnings_by_text,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

LOSS_COLUMNS = ("loss", "after\nbest\nscalar", "after\nlinear\nhead", "width\nfloor", "chance", "CKA", "top-1")
LOSS_CAPTION = (
    "loss: 0 = the teacher's kernel exactly; 1 = what an all-zero student gets. after ...: what is left once the "
    "student is rescaled, or given the best linear head. width floor: no student this wide goes below it. chance = the "
    "same student with its examples shuffled. CKA: 1 = equal up to scale, shift and rotation."
)
THEORY_COLUMNS = (
    "true\nloss",
    "paper's\nestimate",
    "expanded\nestimate",
    "smallest\nof W_T",
    "smallest\nof W_S",
    "Theorem 2\n/ truth",
)
THEORY_CAPTION = (
    "paper's estimate = ‖C_S−C_T‖_F / ‖K_T‖_F over the landmarks, expanded = the same weighted to all examples; both "
    "stand for the true loss. smallest of W: smallest eigenvalue of the landmarks' kernel, assumed above 1. Theorem 2 / "
    "truth: how many times too large the paper's bound is."
)


def text(report: TransferReport, width: int = 100) -> str:
    """The report as plain text, at most ``width`` wide unless the numbers need more."""
    from rich.console import Console

    stream = io.StringIO()
    show(report, Console(file=stream, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(report: TransferReport, console: Console | None = None) -> None:
    """Print the report to stdout, in colour on a terminal."""
    from rich.console import Console

    console = console or Console()
    for part in _parts(report, console):
        console.print(part, highlight=False, markup=False, crop=False)


def _parts(report: TransferReport, console: Console) -> list[RenderableType]:
    """Everything to print, top to bottom."""
    from rich.text import Text

    if not report.pairs:
        return [Text("no pairs were measured")]
    names = short_names(report)
    parts: list[RenderableType] = [_opening(report, names), Text(), _loss_table(report, names, console)]
    parts += [Text(LOSS_CAPTION, style="dim"), Text()]
    parts += [_verdict_line(pair, names) for pair in first_pairs(report)]
    if any(_theory_cells(pair) for pair in report):
        parts += [Text(), Text("the paper's theory on these pairs", style="bold"), Text()]
        parts += [_theory_table(report, names, console), Text(THEORY_CAPTION, style="dim")]
    warnings = warnings_by_text(report)
    parts += [Text()] if warnings else []
    parts += [Text.assemble(("warning", "bold yellow"), f" ({where}): {words}") for words, where in warnings]
    return parts


def _opening(report: TransferReport, names: dict[str, str]) -> RenderableType:
    from rich.text import Text

    teachers = ", ".join(dict.fromkeys(names[pair.teacher] for pair in report))
    splits = ", ".join(dict.fromkeys(plain(pair.split) for pair in report if pair.split))
    counts = ", ".join(dict.fromkeys(f"{pair.n:,}" for pair in report))
    return Text(f"teacher {teachers}, {counts} examples{f' of {splits}' if splits else ''}")


def _verdict_line(pair: PairReport, names: dict[str, str]) -> RenderableType:
    from rich.text import Text

    return Text.assemble((names[pair.student], "bold"), f", {layer_name(pair)}: {plain(verdict(pair))}")


def _loss_table(report: TransferReport, names: dict[str, str], console: Console) -> Table:
    """One row per student and layer: the ladder, chance, CKA, accuracy."""
    return _table(report, names, console, LOSS_COLUMNS, {id(pair): _loss_cells(report, pair) for pair in report})


def _loss_cells(report: TransferReport, pair: PairReport) -> list[str]:
    network = network_of(report, pair.student)
    ladder = pair.ladder
    return [
        loss_in_digits(pair).replace(" to ", "\nto "),
        *map(number, (ladder.scaled, ladder.head, ladder.width_floor, pair.null.transfer_loss, pair.cka)),
        percent(None if network is None else network.top1),
    ]


def _theory_table(report: TransferReport, names: dict[str, str], console: Console) -> Table:
    """The paper's side: its estimate, the estimate in the loss's own units, W's smallest eigenvalues, Theorem 2."""
    cells = {id(pair): _theory_cells(pair) for pair in report}
    return _table(report, names, console, THEORY_COLUMNS, cells)


def _theory_cells(pair: PairReport) -> list[str]:
    """Nothing where the pair has no landmarks at all."""
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
    cells: dict[int, list[str]],
) -> Table:
    """Rows of one student after another; names fold where the terminal is narrow, numbers never do."""
    from rich.table import Table
    from rich.text import Text

    widths = [
        max(len(line) for cell in (heading, *column) for line in cell.split("\n"))
        for heading, column in zip(columns, _columns(columns, list(cells.values())))
    ]
    for_names = console.width - sum(widths) - 2 * len(columns) - 2
    layers = max(len("layer"), *(len(layer_name(pair)) for pair in report))
    students = max(len("student"), *(len(names[pair.student]) for pair in report))
    layers = min(layers, max(9, for_names - min(students, 12)))
    students = min(students, max(9, for_names - layers))
    table = Table(box=None, pad_edge=False, header_style="bold", width=students + layers + 2 + sum(widths) + 2 * len(widths))
    table.add_column("student", width=students, overflow="fold", vertical="top")
    table.add_column("layer", width=layers, overflow="fold")
    for heading, width in zip(columns, widths):
        table.add_column(heading, width=width, justify="right", no_wrap=True)
    before = None
    for pair in report:
        student = names[pair.student] if pair.student != before else ""
        row = cells[id(pair)] or [NONE] * len(columns)
        table.add_row(Text(student, style="bold"), Text(layer_name(pair)), *map(Text, row))
        before = pair.student
    return table


def _columns(headings: tuple[str, ...], rows: list[list[str]]) -> list[list[str]]:
    return [[row[i] for row in rows if row] for i in range(len(headings))]
