"""The Distillation Loss Statement: what one student kept, lost, where, how sure that is, and what nobody can say.

Every sentence is made from the saved numbers alone, so that a report gives the same statement whenever it is read.
The sentences stand in statement_findings.py and statement_limits.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.statement_findings import kept, lost, where
from kernelscope.rendering.statement_limits import how_sure, measured_on, open_questions, repair
from kernelscope.rendering.wording import first_pairs, layer_name, short_names
from kernelscope.report.verdict import sentence

if TYPE_CHECKING:
    from kernelscope.report.report import TransferReport

TITLE = "Distillation Loss Statement"


@dataclass(frozen=True)
class Statement:
    """One student's statement, in whole sentences.

    ``parts``: each heading with the sentences under it, of which there is at least one.
    """

    student: str
    teacher: str
    layer: str
    summary: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]


def statements(report: TransferReport) -> list[Statement]:
    """One for each student, about the pair of layers that its verdict is about."""
    names = short_names(report)
    return [
        Statement(
            names[pair.student],
            names[pair.teacher],
            layer_name(pair),
            whole(plain(sentence(pair))),
            tuple(
                (heading, tuple(whole(said) for said in sentences))
                for heading, sentences in (
                    ("Kept", kept(report, pair)),
                    ("Lost", lost(report, pair)),
                    ("Where", where(pair)),
                    ("How sure", how_sure(pair)),
                    ("What would repair it", repair(pair)),
                    ("What nobody can say from this", open_questions(report, pair)),
                    ("Measured on", measured_on(report, pair)),
                )
            ),
        )
        for pair in first_pairs(report)
    ]


def whole(text: str) -> str:
    """A sentence with its capital and its full stop."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""
