"""What each class carries of the difference, as a table that a page sorts without a script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.page_figures import MOST_STUDENTS
from kernelscope.rendering.wording import first_pairs, layer_name, outputs_of, short_names
from kernelscope.report.digits import NONE, multiple, percent

if TYPE_CHECKING:
    from kernelscope.report.fields import Classes
    from kernelscope.report.report import TransferReport
    from kernelscope.report.similarity_fields import Outputs


@dataclass(frozen=True)
class Measure:
    """One column: a number for each class, None where there is none, and how it is written."""

    name: str
    values: tuple[float | None, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class ClassTable:
    """One student's classes, in the order of their share of the difference.

    ``places``: of each row its place under every column, by which the page orders rows; the largest comes first.
    """

    student: str
    layer: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...]


def class_tables(report: TransferReport) -> list[ClassTable]:
    """One for each of the first students with shares by class."""
    names = short_names(report)
    found = []
    for pair in first_pairs(report)[:MOST_STUDENTS]:
        if pair.classes is not None and pair.classes.names:
            measures = _measures(pair.classes, outputs_of(report, pair.student))
            found.append(_table(names[pair.student], layer_name(pair), pair.classes.names, measures))
    return found


def _table(student: str, layer: str, classes: tuple[str, ...], measures: list[Measure]) -> ClassTable:
    places = [_places(measure.values) for measure in measures]
    order = sorted(range(len(classes)), key=lambda i: places[0][i])
    rows = [
        (plain(classes[i]), tuple(m.cells[i] for m in measures), (*(place[i] for place in places), i)) for i in order
    ]
    return ClassTable(student, layer, tuple(m.name for m in measures), tuple(rows))


def _places(values: tuple[float | None, ...]) -> list[int]:
    """Each value's place from the largest; those that are missing come last, equal ones in their own order."""
    order = sorted(range(len(values)), key=lambda i: (values[i] is None, -(values[i] or 0.0)))
    return [place for _, place in sorted(zip(order, range(len(order))))]


def _measures(classes: Classes, outputs: Outputs | None) -> list[Measure]:
    carried = [sum(row) for row in classes.loss]
    found = [_shares("of the difference", carried)]
    rows = classes.sizes or ()
    total = sum(rows)
    if total:
        sizes = [size / total for size in rows]
        times = tuple(share / size if size else None for share, size in zip(carried, sizes))
        found += [
            _shares("of the rows", sizes),
            Measure("times its share", times, tuple(map(multiple, times))),
        ]
    found.append(_shares("within the class", [row[place] for place, row in enumerate(classes.loss)]))
    flips = None if outputs is None or outputs.flips is None else outputs.flips.classes
    if flips:
        by_name = {each.name: each for each in flips}
        of = [by_name.get(name) for name in classes.names]
        found.append(_shares("right to wrong", [None if each is None else each.right_to_wrong for each in of]))
        found.append(_shares("wrong to right", [None if each is None else each.wrong_to_right for each in of]))
    return found


def _shares(name: str, values: list[float] | list[float | None]) -> Measure:
    return Measure(name, tuple(values), tuple(NONE if value is None else percent(value) for value in values))
