"""What ``blame`` found, on a terminal: the layers with the largest own loss, then the answer."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernelscope.errors import plain

if TYPE_CHECKING:
    from rich.console import Console

    from kernelscope.report.blame import Blame

SHOWN = 10
BAR = 16


def text(found: Blame, width: int = 80) -> str:
    """The table as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(found, Console(file=stream, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(found: Blame, console: Console | None = None, *, every: bool = False) -> None:
    """Print the layers by their own loss, the largest first, and the answer; ``every``: all of them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    console.print(Text(plain(f"{found.student} against {found.teacher}, {found.n:,} examples"), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("layer", overflow="fold")
    for name in ("own", "inherited", "total"):
        table.add_column(name, justify="right")
    table.add_column("own")
    layers = found.ranked if every else found.ranked[:SHOWN]
    most = max((each.own or 0.0 for each in layers), default=0.0)
    for each in layers:
        bar = "█" * round(BAR * (each.own or 0.0) / most) if most > 0 else ""
        kind = f" ({each.kind})" if each.kind else " (head)"
        table.add_row(plain(each.layer + kind), *map(_number, (each.own, each.inherited, each.total)), bar)
    console.print(table, highlight=False)
    if len(layers) < len(found.layers):
        console.print(Text(f"{len(found.layers) - len(layers)} more layers, with less of their own", style="dim"))
    console.print(Text(plain(found.verdict), style="bold"))
    for note in found.notes:
        console.print(Text(plain(f"note: {note}"), style="dim"))


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}" if value >= 1e-3 or value == 0 else f"{value:.1e}"
