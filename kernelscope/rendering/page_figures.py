"""Which figures stand on a page: sections in order, each with its figures in groups that share a caption."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.rendering.plots.kinds import KINDS, SECTIONS

if TYPE_CHECKING:
    from kernelscope.report.report import TransferReport

MOST_STUDENTS = 6
NARROW = 4.5  #: inches; narrower figures stand three abreast


@dataclass(frozen=True)
class Group:
    """Figures beside one another under one caption."""

    caption: str
    svgs: tuple[str, ...]
    three_abreast: bool


@dataclass(frozen=True)
class Section:
    """Figures under one heading of the page."""

    name: str
    heading: str
    groups: tuple[Group, ...]


def sections(report: TransferReport) -> list[Section]:
    """Every section of figures, of the first students; one for which the report has no numbers has no groups."""
    return [section(report, name) for name in SECTIONS]


def section(report: TransferReport, name: str) -> Section:
    """One of :data:`SECTIONS`."""
    return Section(name, SECTIONS[name], tuple(_groups(_first_students(report), name)))


def _groups(report: TransferReport, section: str) -> list[Group]:
    """A kind without a caption of its own goes on with the group before it."""
    found: list[Group] = []
    for kind in KINDS.values():
        if kind.section != section or not report.pairs:
            continue
        drawn = (kind.svg(report, asked, f"ks-{kind.name}-{i}") for i, asked in enumerate(kind.place(report)))
        svgs = tuple(svg for svg in drawn if svg is not None)
        if not svgs:
            continue
        if found and not kind.caption:
            found[-1] = dataclasses.replace(found[-1], svgs=found[-1].svgs + svgs)
        else:
            found.append(Group(kind.caption, svgs, kind.size[0] < NARROW))
    return found


def _first_students(report: TransferReport) -> TransferReport:
    """Few enough to be told apart by colour."""
    students = list(dict.fromkeys(pair.student for pair in report))[:MOST_STUDENTS]
    return dataclasses.replace(report, pairs=tuple(pair for pair in report if pair.student in students))
