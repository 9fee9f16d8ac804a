"""One column of text or numbers, with or without a heading: labels and groups in ``.csv``, ``.tsv`` and ``.txt``."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from kernelscope import memory
from kernelscope.errors import Mismatch, UnreadableInput, one_line, shown
from kernelscope.files import reading

if TYPE_CHECKING:
    from pathlib import Path

HEADINGS = {"label", "labels", "class", "classes", "target", "targets", "y", "group", "groups", "category"}
DELIMITERS = {".csv": ",", ".tsv": "\t"}
BYTES_EACH = 60  #: of memory for a byte of text, when every line is a letter
WRITTEN = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)  #: the one way to write a whole number
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.ASCII | re.IGNORECASE)


def read_column(path: Path, n: int, what: str) -> tuple[list[int] | list[float] | list[str], tuple[str, ...]]:
    """The column's values, numbers if all are, and a note if its first line was taken as a heading.

    Raises:
        UnreadableInput: no text, or several columns. Mismatch: both words and numbers.
    """
    cells = _cells(path, _text(path, what), what)
    first, rest = cells[0], cells[1:]
    numbers_follow = all(map(NUMBER.fullmatch, rest))
    notes: tuple[str, ...] = ()
    is_heading = len(rest) == n if what == "ids" else _is_heading(first, rest, numbers_follow, n)
    if rest and not NUMBER.fullmatch(first) and is_heading:
        if not numbers_follow:
            notes = (f"the first line of the {what}, {one_line(first, 40)!r}, was taken as their heading",)
        cells = rest
    return values_of(cells, path, what), notes


def values_of(cells: list[str], path: Path, what: str) -> list[int] | list[float] | list[str]:
    """Cells as numbers if all are, else as words; of ids only whole numbers as these are written.

    Raises:
        Mismatch: both words and numbers.
    """
    cells = [cell.strip() for cell in cells]
    if what == "ids":
        return [int(cell) for cell in cells] if all(map(WRITTEN.fullmatch, cells)) else cells
    numeric = [NUMBER.fullmatch(cell) is not None for cell in cells]
    if all(numeric):
        whole = all(INTEGER.fullmatch(cell) for cell in cells)
        return [int(cell) for cell in cells] if whole else [float(cell) for cell in cells]
    if any(numeric):
        number, word = (next(c for c, is_number in zip(cells, numeric) if is_number is kind) for kind in (True, False))
        raise Mismatch(
            f"{what} in {shown(path)} are numbers and words ({number} and {one_line(word, 30)!r}); give one kind"
        )
    return cells


def _is_heading(first: str, rest: list[str], numbers_follow: bool, n: int) -> bool:
    if first in rest:
        return False
    return numbers_follow or first.lower() in HEADINGS or len(rest) == n


def _text(path: Path, what: str) -> str:
    memory.require(BYTES_EACH * path.stat().st_size, path, f"save the {what} as .npy")
    with reading(path):
        content = path.read_bytes()
    if content.startswith(b"version https://git-lfs"):
        raise UnreadableInput(f"{shown(path)} is a git-lfs pointer, not {what}; run git lfs pull")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or text.lstrip()[:1] in ("", "<", "{", "["):
        raise UnreadableInput(
            f"{shown(path)} is no .npy, .npz, .pt or HDF5 file, nor a column of UTF-8 text; save the {what} as one"
        )
    return text


def _cells(path: Path, text: str, what: str) -> list[str]:
    """One cell a line, as far as the last that is not empty."""
    lines = text.rstrip().replace("\r\n", "\n").split("\n")
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        rows = [[line] for line in lines]
    else:
        try:
            rows = [row or [""] for row in csv.reader(lines, delimiter=delimiter, strict=True)]
        except csv.Error as error:
            raise UnreadableInput(f"{shown(path)} is no CSV ({one_line(str(error), 40)}); save it again") from error
    columns = max(map(len, rows))
    if columns == 1 and what != "ids":  # which may have blanks and commas, as names of files
        columns = _hidden_columns([row[0] for row in rows])
    if columns > 1:
        raise UnreadableInput(f"{shown(path)} has {columns} columns, expected one; name it, as {path.name}:COLUMN")
    return [row[0].strip() for row in rows]


def _hidden_columns(lines: list[str]) -> int:
    """How many columns lines have by a separator that stands equally often in all; 1 where they are plain values."""
    for separator in ("\t", ";", ",", None):
        parts = [line.split(separator) for line in lines]
        count = len(parts[0])
        if count < 2 or any(len(each) != count for each in parts):
            continue
        # words may have blanks: only numbers, or what never occurs twice, is a table
        if separator or len(set(lines)) == len(lines) or all(NUMBER.fullmatch(c) for each in parts for c in each):
            return count
    return 1
