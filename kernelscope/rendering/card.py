"""The Distillation Loss Statement as Markdown, to be pasted into a model card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kernelscope.rendering.statement import TITLE, Statement, statements

if TYPE_CHECKING:
    from kernelscope.report.report import TransferReport

#: what Markdown, or HTML inside it, could read as anything but text; a report's names and labels may be a stranger's
MARKS = re.compile(r"([\\`*_\[\]<>|&#~@$])|(?<=\w)(:)(?=//)|(?<=www)(\.)")


def markdown(report: TransferReport) -> str:
    """A statement of every student under one heading; the same bits whenever the report is read."""
    found = statements(report)
    if not found:
        return f"## {TITLE}\n\nNo pair was measured.\n"
    return "\n".join([f"## {TITLE}\n", *map(_student, found)])


def _student(statement: Statement) -> str:
    lines = [f"### {_text(statement.student)} of teacher {_text(statement.teacher)}, {_text(statement.layer)}", ""]
    lines += [_text(statement.summary), ""]
    for heading, sentences in statement.parts:
        lines += [f"**{heading}**", "", *(f"- {_text(said)}" for said in sentences), ""]
    return "\n".join(lines)


def _text(words: str) -> str:
    """Words that stay words in Markdown."""
    return MARKS.sub(r"\\\g<0>", words)
