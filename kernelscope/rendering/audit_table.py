"""The audit on a terminal: one line per claim over all pairs, then each pair's two sides where asked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.report.audit import TITLES, AuditReport, PairAudit, Statement
from kernelscope.report.digits import NONE, number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = ("claim", "printed\nholds", "vacuous", "assumes\ntoo much", "slack", "corrected\nholds", "slack")
CAPTION = (
    "holds: on how many of the pairs. vacuous: it would hold of any two kernels of these norms. assumes too much: an "
    "assumption of the printed claim is not met. slack: how many times larger the right side is, least and most. A "
    "printed claim that fails is a finding about the paper, a corrected one that fails a bug of this program."
)
PROSE_WIDTH = 96


def text(report: AuditReport, width: int = 100, *, details: bool = False) -> str:
    """The audit as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(report, Console(file=stream, width=width, color_system=None), details=details)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def show(report: AuditReport, console: Console | None = None, *, details: bool = False) -> None:
    """Print one line per claim; with ``details`` also both sides of every claim on every pair."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    console.print(Text(f"the paper's claims on {_count(len(report.pairs), 'pair')} of layers", style="bold"))
    console.print()
    console.print(_summary(report), highlight=False)
    console.print()
    console.print(Text(_width(_tracking(report) + CAPTION, console), style="dim"))
    if details:
        for pair in report.pairs:
            console.print()
            console.print(Text(_heading(pair), style="bold underline"))
            console.print(_sides(pair), highlight=False)


def _summary(report: AuditReport) -> Table:
    """One line per claim over all pairs."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in COLUMNS:
        table.add_column(heading, no_wrap=True, justify="left" if heading == "claim" else "right")
    for name in dict.fromkeys(claim.name for pair in report.pairs for claim in pair.claims):
        found = [claim for pair in report.pairs for claim in pair.claims if claim.name == name]
        printed, corrected = ([s for claim in found if (s := getattr(claim, k))] for k in ("printed", "corrected"))
        unmet = sum(claim.printed is not None and claim.assumption is not None for claim in found)
        cells = (
            TITLES[name],
            _share(sum(s.holds for s in printed), printed),
            _share(sum(s.vacuous for s in printed), printed),
            _share(unmet, printed),
            _slack(printed),
            _share(sum(s.holds for s in corrected), corrected),
            _slack(corrected),
        )
        table.add_row(*map(Text, cells))
    return table


def _share(count: int, among: list[Statement]) -> str:
    return f"{count}/{len(among)}" if among else NONE


def _slack(statements: list[Statement]) -> str:
    known = [s.slack for s in statements if s.slack is not None]
    if not known:
        return NONE
    low, high = _brief(min(known)), _brief(max(known))
    return low if low == high else f"{low}–{high}"


def _brief(value: float) -> str:
    """Three digits, or a power of ten where it is large."""
    if value < 10_000:
        return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def _tracking(report: AuditReport) -> str:
    """How the estimate orders students, where there are two at least."""
    t = report.tracking
    return (
        f"The estimate orders {t.agreeing} of {t.compared} pairs of students as the loss does. " if t.compared else ""
    )


def _heading(pair: PairAudit) -> str:
    layers = pair.student_layer
    if pair.teacher_layer != pair.student_layer:
        layers = f"{pair.teacher_layer} = {pair.student_layer}"
    return plain(f"{pair.student}, {layers}: loss {number(pair.transfer_loss)}, {pair.m} {pair.landmarks} landmarks")


def _sides(pair: PairAudit) -> Table:
    """Each claim in words, and below it what is printed and what is corrected: formula, both sides, verdict."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "left", "right", "left"):
        table.add_column(justify=justify, overflow="fold")
    for claim in pair.claims:
        table.add_row(Text(TITLES[claim.name], style="bold"), Text(claim.about, style="bold"))
        for kind in ("printed", "corrected"):
            statement = getattr(claim, kind)
            if statement is not None:
                table.add_row(*(Text(plain(cell)) for cell in _cells(kind, statement)))
        if claim.assumption and claim.printed is not None:
            table.add_row("", Text(plain(f"assumes too much: {claim.assumption}")))
    return table


def _cells(kind: str, statement: Statement) -> tuple[str, str, str, str]:
    sign = ">" if ">" in statement.formula else ("<=" if "<=" in statement.formula else "for")
    verdict = ("holds" if statement.holds else "fails") + (", vacuous" if statement.vacuous else "")
    return f"  {kind}", statement.formula, f"{number(statement.left)} {sign} {number(statement.right)}", verdict


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _width(words: str, console: Console) -> str:
    import textwrap

    return textwrap.fill(words, min(PROSE_WIDTH, console.width))
