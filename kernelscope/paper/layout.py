"""What a page and a text are made of: sections of sentences, drawings and tables of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelscope.paper.verdicts import Outcome

    Said = tuple[Outcome | None, str]


@dataclass(frozen=True)
class Table:
    """Cells of text; the first of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page; ``said``: sentences, each with the verdict that it tells, if it tells one."""

    heading: str
    lead: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    drawings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    key: str = field(default="")
