"""Rows with a checksum per block of 4,096, written forwards at the places a frame reserved for them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import NumericalError
from kernelscope.features.opening import read_rows
from kernelscope.features.outline import CHECKED_ROWS
from kernelscope.plain_file import write_at

if TYPE_CHECKING:
    from kernelscope.features.header import Place


class Column:
    """One array and its checksums; that of the last block always covers the rows written so far."""

    def __init__(self, data: Place, sums: Place) -> None:
        self.data, self._sums = data, sums
        self._next, self._crc = 0, 0  # rows up to here are under this running checksum of their block

    def write(self, file: int, start: int, rows: np.ndarray) -> int:
        """Rows ``start:…`` and the checksums they change; gives their bytes."""
        if start != self._next:
            first = start // CHECKED_ROWS * CHECKED_ROWS
            self._crc = zlib.crc32(read_rows(file, self.data, first, start).data) if start > first else 0
        rows = np.ascontiguousarray(rows, self.data.dtype)
        write_at(file, self.data.offset + start * self.data.row_bytes, rows)
        done, stop = start, start + len(rows)
        while done < stop:
            number = done // CHECKED_ROWS
            last = min(stop, (number + 1) * CHECKED_ROWS)
            running = 0 if done % CHECKED_ROWS == 0 else self._crc
            self._crc = zlib.crc32(rows[done - start : last - start].data, running)
            write_at(file, self._sums.offset + number * 4, np.array(self._crc, self._sums.dtype))
            done = last
        self._next = stop
        return rows.nbytes

    def intact(self, file: int, rows: int) -> int:
        """How many of the first ``rows`` rows are under checksums that fit."""
        sums = read_rows(file, self._sums)
        for number in range(-(-rows // CHECKED_ROWS)):
            first, last = number * CHECKED_ROWS, min((number + 1) * CHECKED_ROWS, rows)
            if zlib.crc32(read_rows(file, self.data, first, last).data) != sums[number]:
                return first
        return rows


def narrowed(layer: str, block: np.ndarray, dtype: str) -> np.ndarray:
    """Rows in the type that a file holds them in.

    Raises:
        NumericalError: finite numbers that the narrower type does not hold.
    """
    if block.dtype == dtype:
        return block
    with np.errstate(over="ignore"):
        narrow = block.astype(dtype)
    if np.isinf(narrow).any() and not np.isinf(block).any():
        raise NumericalError(f"layer {layer} exceeds what {dtype} holds; store float32")
    return narrow
