"""How students, layers, warnings and notes are named: the same on a terminal, a page and a figure."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from kernelscope.errors import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport
    from kernelscope.report.similarity_fields import Outputs


def short_names(report: TransferReport) -> dict[str, str]:
    """Every teacher's and student's name without folders, or with as many folders as tell two files apart."""
    names = list(dict.fromkeys(name for pair in report for name in (pair.teacher, pair.student)))
    names += [network.name for network in report.networks if network.name not in names]
    parts = {name: PurePath(name).parts or (name,) for name in names}
    return {name: plain(_shortest(parts[name], [parts[other] for other in names if other != name])) for name in names}


def layer_name(pair: PairReport) -> str:
    """The layer, or ``teacher's = student's`` where they differ."""
    if pair.teacher_layer == pair.student_layer:
        return plain(pair.student_layer)
    return plain(f"{pair.teacher_layer} = {pair.student_layer}")


#: a word of a name and what follows it, behind which a line may break
WORDS = re.compile(r"[^/._\-:\s]*[/._\-:\s]+|[^/._\-:\s]+")


def longest_word(names: Iterable[str]) -> int:
    """The length of the longest word of any name, which the width of a column should hold."""
    return max(len(word.rstrip()) for name in names for word in WORDS.findall(name))


def folded(name: str, width: int) -> str:
    """A name in lines of at most ``width``: broken after ``/ . _ - :`` and blanks; a longer word loses its middle."""
    lines = [""]
    for word in WORDS.findall(name):
        if len(word.rstrip()) > width:
            word = f"{word[: width // 2]}…{word[len(word) - (width - 1 - width // 2) :]}"
        if len((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines if line.strip())


def first_pairs(report: TransferReport) -> list[PairReport]:
    """One pair of each student: the embedding where it was measured, else the first."""
    found: dict[str, PairReport] = {}
    for pair in report:
        known = found.setdefault(pair.student, pair)
        if _is_embedding(pair) and not _is_embedding(known):
            found[pair.student] = pair
    return list(found.values())


def grouped(said: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(where, text) pairs by text: a thing said of six pairs is said once, with the six places."""
    places: dict[str, list[str]] = {}
    for where, text in said:
        known = places.setdefault(plain(text), [])
        if where not in known:
            known.append(where)
    return list(places.items())


def rows_in_words(pair: PairReport) -> str:
    """``450 examples``, ``6,551 tokens``."""
    return f"{pair.n:,} {units(pair)}"


def units(pair: PairReport) -> str:
    """What its rows are: ``examples``, ``tokens``, ``patches``."""
    return f"{'patche' if pair.unit == 'patch' else pair.unit}s"


def outputs_of(report: TransferReport, student: str) -> Outputs | None:
    """What the student answers, at whichever of its pairs of layers that was measured."""
    return next((pair.outputs for pair in report if pair.student == student and pair.outputs is not None), None)


def warnings_by_text(report: TransferReport) -> list[tuple[str, str]]:
    """(text, where) of every warning of the report."""
    names = short_names(report)
    found = grouped((f"{names[p.student]} {layer_name(p)}", w.text) for p in report for w in p.warnings)
    return [(text, _places(where, len(report))) for text, where in found]


def notes_by_text(report: TransferReport) -> list[tuple[str, str]]:
    """(text, where) of every note of the report."""
    names = short_names(report)
    found = grouped((f"{names[p.student]} {layer_name(p)}", note) for p in report for note in p.notes)
    return [(text, _places(where, len(report))) for text, where in found]


def _places(where: list[str], pairs: int) -> str:
    if len(where) == pairs and pairs > 1:
        return "every pair"
    return ", ".join(where) if len(where) <= 6 else f"{', '.join(where[:6])} and {len(where) - 6} more"


def _is_embedding(pair: PairReport) -> bool:
    return pair.student_layer == "embedding"


def _shortest(parts: tuple[str, ...], others: list[tuple[str, ...]]) -> str:
    """The shortest tail of ``parts`` that no other path ends with."""
    for length in range(1, len(parts) + 1):
        if all(other[-length:] != parts[-length:] for other in others):
            return str(PurePath(*parts[-length:]))
    return str(PurePath(*parts))
