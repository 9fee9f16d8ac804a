"""What carries the difference, as a page shows it: eigenvectors of K_S − K_T and the examples at their ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.page_figures import MOST_STUDENTS
from kernelscope.rendering.wording import first_pairs, layer_name, short_names
from kernelscope.report.digits import percent

if TYPE_CHECKING:
    from kernelscope.report.eigenvector_fields import DifferenceEigenvector, EndExample
    from kernelscope.report.fields import WorstExample
    from kernelscope.report.report import TransferReport

WORST_SHOWN = 8
LARGEST_THUMBNAIL = 20_000  #: characters; what a report holds beyond is not shown
THUMBNAIL = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")


def difference_ends(report: TransferReport) -> list[dict[str, object]]:
    """For one pair of each of the first students its eigenvectors, each in words and with the examples of its ends."""
    names = short_names(report)
    return [
        {
            "student": names[pair.student],
            "layer": layer_name(pair),
            "vectors": [
                {"words": _words(each), "ends": [_end(end) for end in (each.positive, each.negative) if end]}
                for each in pair.difference_eigenvectors
            ],
        }
        for pair in first_pairs(report)[:MOST_STUDENTS]
        if pair.difference_eigenvectors
    ]


def worst_examples(report: TransferReport) -> list[dict[str, object]]:
    """For one pair of each of the first students the rows that carry most of the squared difference."""
    names = short_names(report)
    return [
        {
            "student": names[pair.student],
            "layer": layer_name(pair),
            "examples": [
                {"words": f"row {_name(w)}, {percent(w.share)}", "thumbnail": _sound(w.thumbnail)}
                for w in pair.worst[:WORST_SHOWN]
            ],
        }
        for pair in first_pairs(report)[:MOST_STUDENTS]
        if pair.worst
    ]


def difference_in_lines(report: TransferReport) -> list[str]:
    """The same for a terminal: rows of either end, a line for each eigenvector."""
    names, lines = short_names(report), []
    for pair in first_pairs(report)[:MOST_STUDENTS]:
        if pair.difference_eigenvectors:
            lines.append(f"what carries the difference of {names[pair.student]} {layer_name(pair)}:")
        lines += [f"  {in_a_line(each)}" for each in pair.difference_eigenvectors or ()]
    return lines


def in_a_line(vector: DifferenceEigenvector) -> str:
    """One eigenvector with the rows at its ends, in words."""
    ends = " against ".join(_rows(end) for end in (vector.positive, vector.negative) if end)
    return f"{_words(vector).lower()}: rows {ends}"


def _rows(examples: tuple[EndExample, ...]) -> str:
    return ", ".join(_name(each) for each in examples)


def _name(example: EndExample | WorstExample) -> str:
    return f"{example.index}{f' ({plain(example.label)})' if example.label is not None else ''}"


def _words(vector: DifferenceEigenvector) -> str:
    """``Similarity lost, 31.2% of the squared difference``."""
    done = "added" if vector.eigenvalue > 0 else "lost"
    space = "" if vector.dimension == 1 else f", in {vector.dimension} directions that rounding does not tell apart"
    return f"Similarity {done}, {percent(vector.share)} of the squared difference{space}"


def _end(examples: tuple[EndExample, ...]) -> list[dict[str, str | None]]:
    return [
        {
            "words": f"row {_name(each)}",
            "thumbnail": _sound(each.thumbnail),
        }
        for each in examples
    ]


def _sound(thumbnail: str | None) -> str | None:
    """A thumbnail if it is one: a saved report may hold anything."""
    if thumbnail is None or len(thumbnail) > LARGEST_THUMBNAIL or not THUMBNAIL.fullmatch(thumbnail):
        return None
    return thumbnail
