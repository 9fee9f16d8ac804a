"""What ``adapt`` found, on a terminal: one line per way, then the answer."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from kernelscope.report.adaptation import Adaptation, Share


def text(found: Adaptation, width: int = 80) -> str:
    """The table as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(found, Console(file=stream, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(found: Adaptation, console: Console | None = None) -> None:
    """Print what each way of asking the teacher's index finds, and the answer."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    names = f"{found.student} {found.student_layer} in the index of {found.teacher} {found.teacher_layer}"
    console.print(Text(names, style="bold"))
    console.print(
        Text(
            f"{found.documents:,} documents by {found.similarity}, {found.queries:,} queries held out, maps fitted on "
            f"{found.fitted_on:,} rows",
            style="dim",
        )
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("student queries")
    table.add_column(f"recall@{found.k}", justify="right")
    table.add_column("95 %", justify="right")
    table.add_column("of re-embedding", justify="right")
    for way in found.ways:
        name = way.kind if way.rank is None else f"{way.kind} ({way.rank})"
        again = "—" if way.of_reembedding is None else f"{way.of_reembedding.value:.3f}"
        table.add_row(name, *_cells(way.recall), again)
    table.add_row("(all embedded again)", *_cells(found.reembedded), "1")
    console.print(table, highlight=False)
    console.print(Text(found.verdict, style="bold"))
    for note in found.notes:
        console.print(Text(f"note: {note}", style="dim"))


def _cells(share: Share) -> tuple[str, str]:
    low, high = share.interval
    return f"{share.value:.3f}", f"{low:.3f} to {high:.3f}"
