"""Features as text: one example a line, numbers with a separator between them, with or without a heading.

Columns that the heading calls labels or ids describe the rows; those of words under another name are passed over with a
note, and so is the index that pandas writes before the others.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING

import numpy as np

from kernelscope import memory
from kernelscope.errors import NumericalError, UnreadableInput, one_line, shown
from kernelscope.features.arrays import ID_NAMES, LABEL_NAMES, ArrayFeatures, of_arrays
from kernelscope.files import not_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SEPARATORS = ("\t", ";", ",")  #: the first that stands in a line; commas may be those of decimals
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
BLOCK_ROWS = 1024
BYTES_EACH = 6  #: of memory for a byte of text, at most: numbers of one digit become eight bytes
MOST_COLUMNS = 2**17


def is_table(head: bytes) -> bool:
    """Whether a file that begins so is text of which a line consists of several numbers."""
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < 4 else "ignore")
    except UnicodeDecodeError:
        return False
    if any(not (c.isprintable() or c.isspace()) for c in text):
        return False
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")][:2]
    cells = [_cells(line, _separator(line)) for line in lines]
    return any(sum(_is_number(cell) or DECIMAL_COMMA.fullmatch(cell) is not None for cell in row) > 1 for row in cells)


def open_text(path: Path, part: str | None) -> ArrayFeatures:
    """The columns of numbers as one matrix, in memory; with ``part``, that column alone.

    Raises:
        UnreadableInput: rows of different lengths, or words among numbers. NumericalError: a number that is missing.
        ResourceError: more than memory holds.
    """
    try:
        memory.require(BYTES_EACH * path.stat().st_size, path, "save the features as .npy")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = _Table.begun(path, stream)
            return table.features(part)
    except Exception as error:  # the door to a stranger's file
        raise not_read(path, error, "save it again as UTF-8 text, or as .npy") from error


def column(path: Path, name: str) -> list[str]:
    """The cells of one column, by its heading.

    Raises:
        UnreadableInput: no such column.
    """
    try:
        memory.require(BYTES_EACH * path.stat().st_size, path, "save the column as .npy")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = _Table.begun(path, stream)
            place = table.place(name)
            return [row[place] for _, row in table.rows()]
    except Exception as error:
        raise not_read(path, error, "save it again as UTF-8 text") from error


@dataclass(frozen=True)
class _Table:
    """Rows of cells behind a heading, which is empty where there is none; ``first`` is the first row."""

    path: Path
    heading: list[str]
    first: list[str]
    rest: Iterator[list[str]]

    @classmethod
    def begun(cls, path: Path, stream: IO[str]) -> _Table:
        lines = (line for line in stream if line.strip() and not line.startswith("#"))
        start = list(islice(lines, 2))
        if not start:
            raise UnreadableInput(f"{shown(path)} is empty; save it again")
        separator = _separator(start[-1])
        rows = _rows([*start], lines, separator)
        first = next(rows)
        if len(first) > MOST_COLUMNS:
            raise UnreadableInput(f"{shown(path)} has over {MOST_COLUMNS:,} columns; save the features as .npy")
        second = next(rows, None)
        if second is None or not _is_heading(first, second):
            return cls(path, [], first, _chained(second, rows))
        return cls(path, first, second, rows)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """``(number, cells)``, counted from 0.

        Raises:
            UnreadableInput: a row of another length.
        """
        width = len(self.first)
        if self.heading and len(self.heading) != width:
            raise UnreadableInput(
                f"{shown(self.path)} has {len(self.heading)} headings and {width} cells in row 0; save it again"
            )
        for number, row in enumerate(_chained(self.first, self.rest)):
            if len(row) != width:
                raise UnreadableInput(
                    f"{shown(self.path)} has {len(row)} cells in row {number}, expected {width}; save it again"
                )
            yield number, row

    def place(self, name: str) -> int:
        if name not in self.heading:
            there = one_line(", ".join(self.heading) or "no heading", 80)
            raise UnreadableInput(f"{shown(self.path)} has {there}, not {one_line(name, 40)}; name one of these")
        return self.heading.index(name)

    def features(self, part: str | None) -> ArrayFeatures:
        names = [name.lower() for name in self.heading]
        notes: list[str] = []
        describing = {i: name for i, name in enumerate(names) if name in (*LABEL_NAMES, *ID_NAMES)}
        if part is not None:
            chosen = [self.place(part)]
        else:
            chosen, notes = self._numeric(describing)
        blocks: list[np.ndarray] = []
        words: dict[int, list[str]] = {i: [] for i in describing if i not in chosen}
        rows = self.rows()
        while block := list(islice(rows, BLOCK_ROWS)):
            blocks.append(self._numbers(block, chosen))
            for i, cells in words.items():
                cells += [row[i].strip() for _, row in block]
        content = {"features": np.concatenate(blocks)}
        found = of_arrays(self.path, content | {names[i]: _as_values(cells) for i, cells in words.items()})
        return replace(found, notes=(*found.notes, *notes))

    def _numeric(self, describing: dict[int, str]) -> tuple[list[int], list[str]]:
        """The columns of features by their first row, and notes on those that are passed over."""
        others = [i for i in range(len(self.first)) if i not in describing]
        chosen = [i for i in others if _is_number(self.first[i]) or not self.first[i].strip()]
        name = self.path.name
        index = self.heading and chosen and chosen[0] == 0 and self.heading[0].strip() in ("", "Unnamed: 0")
        if index:
            chosen, others = chosen[1:], others[1:]
        passed = [i for i in others if i not in chosen]
        if passed and (not self.heading or not chosen):
            cell = one_line(self.first[passed[0]], 20)
            fix = "write decimals with points" if DECIMAL_COMMA.fullmatch(cell) else "name the columns, or save as .npy"
            raise UnreadableInput(
                f"{shown(self.path)} has {cell!r} in row 0, column {passed[0]}, expected a number; {fix}"
            )
        notes = [f"{name}: the first column has no heading and was taken for the index"] if index else []
        notes += [f"{name} also holds words ({self._named(passed)}): not measured"] if passed else []
        whole = [i for i in chosen if re.fullmatch(r"[+-]?\d+", self.first[i].strip())]
        if self.heading and whole and len(whole) < len(chosen):
            notes.append(f"{name}: columns of whole numbers ({self._named(whole)}) are measured among the others")
        return chosen, notes

    def _named(self, columns: list[int]) -> str:
        return one_line(", ".join(self.heading[i] for i in columns), 60)

    def _numbers(self, block: Sequence[tuple[int, list[str]]], columns: list[int]) -> np.ndarray:
        cells = [[row[i] for i in columns] for _, row in block]
        try:
            found = np.array(cells, dtype=np.float64)
            if np.isfinite(found).all():
                return found
        except ValueError:
            pass
        for (number, _), row in zip(block, cells):
            for i, cell in zip(columns, row):
                if _is_number(cell) and math.isfinite(float(cell)):
                    continue
                where = f"row {number}, column {one_line(self.heading[i], 30) if self.heading else i}"
                if not cell.strip() or _is_number(cell) or cell.strip() in ("NA", "N/A", "null", "None"):
                    raise NumericalError(
                        f"{shown(self.path)} has {one_line(cell, 9) or 'no number'} in {where}; fill it or drop the row"
                    )
                raise UnreadableInput(
                    f"{shown(self.path)} has {one_line(cell, 20)!r} in {where}, expected a number; correct it"
                )
        raise UnreadableInput(f"{shown(self.path)} has numbers that are not read; save it again as .npy")


def _rows(start: list[str], lines: Iterator[str], separator: str | None) -> Iterator[list[str]]:
    if separator is None:
        yield from (line.split() for line in _chained_lines(start, lines))
    else:
        yield from csv.reader(_chained_lines(start, lines), delimiter=separator, strict=True, skipinitialspace=True)


def _chained_lines(start: list[str], lines: Iterator[str]) -> Iterator[str]:
    yield from start
    yield from lines


def _chained(first: list[str] | None, rest: Iterator[list[str]]) -> Iterator[list[str]]:
    if first is not None:
        yield first
    yield from rest


def _separator(line: str) -> str | None:
    return next((s for s in SEPARATORS if s in line), None)  # None for blanks


def _cells(line: str, separator: str | None) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell.strip()) is not None


def _is_heading(first: list[str], second: list[str]) -> bool:
    """Whether the first row names columns: with words over numbers, or as the numbers from 0 that pandas gives."""
    if any(not _is_number(a) and _is_number(b) and a.strip() for a, b in zip(first, second)):
        return True
    if {cell.strip().lower() for cell in first} & {*LABEL_NAMES, *ID_NAMES}:
        return True
    counted = [cell.strip() for cell in first if cell.strip()]
    columns = [str(i) for i in range(len(counted))]
    return len(counted) > 1 and counted == columns and any("." in cell for cell in second)


def _as_values(cells: list[str]) -> np.ndarray:
    """Whole numbers where all are, else words."""
    if all(re.fullmatch(r"[+-]?\d{1,18}", cell, re.ASCII) for cell in cells):
        return np.array([int(cell) for cell in cells])
    return np.array(cells)
