"""The page of a study, and its text: what the paper says and what our students say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope import files
from kernelscope.paper import sections, trained, words
from kernelscope.rendering.page import template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernelscope.paper.findings import Findings
    from kernelscope.paper.layout import Section, Table

BY_CHANCE = 0.025  #: of claims with a sign, where nothing differs


def write(found: Findings, folder: Path) -> None:
    """Write ``folder/index.html`` and ``folder/reproduction.md``.

    Raises:
        ResourceError: the disk cannot take it.
    """
    parts = sections.of(found)
    files.write_text(folder / "index.html", html(found, parts))
    files.write_text(folder / "reproduction.md", text(found, parts))


def html(found: Findings, parts: Sequence[Section]) -> str:
    """One file with inline SVG, no script and no network."""
    total = sum(found.counts().values())
    return template("study.html.j2", "kernelscope.paper").render(
        title=_title(found),
        counts=[(words.OUTCOMES[said], count) for said, count in found.counts().items()],
        total=total,
        by_chance=f"{BY_CHANCE * total:.1f}",
        facts=trained.facts(found),
        unmet=sections.unmet(found),
        claims=sections.all_claims(found),
        sections=parts,
        appendix=trained.appendix(found),
    )


def text(found: Findings, parts: Sequence[Section]) -> str:
    """The same in Markdown, without the figures."""
    lines = [f"# {_title(found)}", "", f"The paper's: {words.summary(found.counts())}.", ""]
    lines += [f"* {term}: {said}" for term, said in trained.facts(found)]
    lines += [f"* \\* {said}" for said in sections.unmet(found)]
    lines += ["", "## Every claim", "", *_table(sections.all_claims(found))]
    for section in parts:
        lines += ["", f"## {section.heading}", *(line for lead in section.lead for line in ("", lead))]
        lines += [""] if section.said else []
        lines += [f"* {said}." for _, said in section.said]
        for table in section.tables:
            lines += ["", *_table(table)]
    lines += ["", "## Appendix"]
    for table in trained.appendix(found):
        lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _title(found: Findings) -> str:
    students = sum(row.purpose != "teacher" for row in found.study.rows)
    return f"The paper's claims on {students} students trained here"


def _table(table: Table) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    head = [f"{table.caption}:", ""] if table.caption else []
    return [*head, line(table.columns), "|" + "---|" * len(table.columns), *map(line, table.rows)]
