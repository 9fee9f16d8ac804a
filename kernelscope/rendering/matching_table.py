"""What ``match`` found, on a terminal: the best candidates of every student layer, then the answer."""

from __future__ import annotations

import io
from itertools import groupby
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.report.matching import CAUTION, Paired

if TYPE_CHECKING:
    from rich.console import Console

    from kernelscope.report.matching import Candidate, Matching

SHOWN = 3  #: candidates of a student layer


def text(found: Matching, width: int = 80) -> str:
    """The table as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(found, Console(file=stream, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(found: Matching, console: Console | None = None, *, every: bool = False) -> None:
    """Print the best three candidates of every student layer, and the answer; ``every``: all of them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    console.print(Text(plain(f"{found.student} against {found.teacher}, {found.n:,} examples"), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("student layer", overflow="fold")
    table.add_column("teacher layer", overflow="fold")
    for name in ("agreement", "head leaves", "width floor", "p"):
        table.add_column(name, justify="right")
    recommended = set(found.recommended)
    for student_layer, of_layer in groupby(found.candidates, key=lambda each: each.student_layer):
        for place, each in enumerate(of_layer):
            chosen = Paired(each.teacher_layer, each.student_layer) in recommended
            if every or chosen or place < SHOWN:
                first = plain(student_layer) if place == 0 else ""
                table.add_row(first, plain(each.teacher_layer), *_numbers(each), style="bold" if chosen else None)
    console.print(table, highlight=False)
    console.print(Text(plain(found.verdict), style="bold"))
    for note in (f"student: {found.state}", CAUTION, *found.notes):
        console.print(Text(plain(f"note: {note}"), style="dim"))


def _numbers(each: Candidate) -> list[str]:
    found = [each.agreement, each.head_held_out, each.width_floor]
    p = "—" if each.p_corrected is None else f"{each.p_corrected:.2g}"
    return [*("—" if value is None else f"{value:.3f}" for value in found), p]
