"""Columns of a Parquet file, read forwards as their rows are needed: a block of them in memory, never a row group.

Reading starts where a row group does. A block that does not follow the one before is looked for from the start of its
group, so that rows here and there cost what lies before them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UnreadableInput, in_bytes, shown
from kernelscope.features.ahead import ForwardRows
from kernelscope.features.arrays import ID_NAMES
from kernelscope.features.arrow_table import Columns, as_unreadable, described, matrix, require_width, values_of
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.numpy_files import FREE_BYTES, MOST_INFLATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kernelscope.features.arrays import ArrayFeatures

    Read = Callable[[Any, int], np.ndarray]  #: numbers of a batch, and of which row its first is

BLOCK_BYTES = 1 << 25  #: of rows read at a time, where 4,096 of them are more
BUFFER_BYTES = 1 << 20  #: of each column that is read


def open_parquet(path: Path, part: str | None) -> ArrayFeatures:
    """The same as :func:`arrow_table.open_arrow`, matrices and ids read as they are sliced.

    Raises:
        UnreadableInput: damaged, without vectors or numbers, or more rows than the file can hold; vectors of other
            lengths, once they are read. NumericalError: a missing value, once it is read.
    """
    with as_unreadable(path):
        source = _Source(path)
        chosen = Columns.of(path, source.schema, part)
        first = next(source.batches(0, chosen.read, 1), None)
        if first is None or not len(first) or source.n < 1:
            raise UnreadableInput(f"{shown(path)} holds no rows; save it again")
        content: dict[str, Any] = {}
        for name, columns in chosen.matrices.items():
            row = matrix(path, first, columns, 0)
            _require_plausible(path, source.n * row.nbytes)
            content[name] = ParquetRows(source, columns, _vectors_of(path, name, columns, row), row)
        for name in chosen.beside:
            column = ParquetRows(source, [name], _describing(path, name), described(path, name, values_of(first, name)))
            content[name] = column if name.lower() in ID_NAMES else column[:]
    return chosen.features(path, content)


def _require_plausible(path: Path, needed: int) -> None:
    most = MOST_INFLATION * path.stat().st_size + FREE_BYTES
    if needed > most:
        raise UnreadableInput(
            f"{shown(path)} unpacks to over {in_bytes(most)}, which no such file needs; save it again"
        )


def _vectors_of(path: Path, name: str, columns: list[str], first: np.ndarray) -> Read:
    def read(batch: Any, row: int) -> np.ndarray:
        block = matrix(path, batch, columns, row)
        require_width(path, name, row, block, first.shape[1])
        return block

    return read


def _describing(path: Path, name: str) -> Read:
    return lambda batch, row: described(path, name, values_of(batch, name), row)


class _Source:
    """One file, opened anew for each pass; it must stay as it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = self._stated()
        file = self._opened(None)
        self._metadata, self.schema = file.metadata, file.schema_arrow
        groups = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        self.starts = np.cumsum([0, *groups])
        if min(groups, default=0) < 0 or self.starts[-1] != self._metadata.num_rows:
            raise ValueError("row groups of other lengths than declared")

    @property
    def n(self) -> int:
        return int(self.starts[-1])

    def _opened(self, metadata: Any) -> Any:
        from pyarrow import parquet

        # without these it would hold the bytes of whole row groups
        return parquet.ParquetFile(self.path, metadata=metadata, pre_buffer=False, buffer_size=BUFFER_BYTES)

    def batches(self, group: int, columns: list[str], rows: int) -> Iterator[Any]:
        """Up to ``rows`` rows of some columns at a time, from a row group on."""
        self.require_unchanged()
        groups = range(group, len(self.starts) - 1)
        with self._opened(self._metadata) as file:
            yield from file.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False)

    def require_unchanged(self) -> None:
        if self._stated() != self._state:
            raise UnreadableInput(f"{shown(self.path)} changed while it was read; run again when nothing writes it")

    def _stated(self) -> tuple[int, int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns, state.st_ino


class ParquetRows(ForwardRows):
    """Rows of some columns of a file: a matrix of vectors or of numbers, or values beside it."""

    def __init__(self, source: _Source, columns: list[str], read: Read, first: np.ndarray) -> None:
        """``first``: the first row, which tells width and type."""
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, first.nbytes)))
        super().__init__((source.n, *first.shape[1:]), first.dtype, rows)
        self._source, self._columns, self._of = source, columns, read
        self._process = os.getpid()
        self._at = 0  #: the row that the next batch begins with
        self._batches: Iterator[Any] | None = None
        self._left: np.ndarray | None = None  #: of the last batch, what was not asked for yet

    def _read(self, number: int) -> np.ndarray:
        first, last = self._span(number)
        with as_unreadable(self._source.path):
            try:
                self._go_to(first)
                parts, have = [], 0
                while have < last - first:
                    part = self._next()[: last - first - have]
                    parts.append(part)
                    have += len(part)
                    self._take(len(part))
                self._source.require_unchanged()
            except BaseException:
                self._forget()
                raise
        if last == self.shape[0]:
            self._forget()
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _go_to(self, row: int) -> None:
        """Let the next batch be the one that holds a row, and begin with it."""
        starts = self._source.starts
        group = int(np.searchsorted(starts, row, "right")) - 1
        if self._process != os.getpid():  # forked: a thread of the parent may have been in the middle of a batch
            self._process = os.getpid()
            self._forget()
        if self._batches is None or not starts[group] <= self._at <= row:
            self._forget()
            self._batches = self._source.batches(group, self._columns, self.block_rows)
            self._at = int(starts[group])
        while self._at < row:
            self._take(min(len(self._next()), row - self._at))

    def _next(self) -> np.ndarray:
        """What is left of a batch, or the next one."""
        if self._left is None:
            assert self._batches is not None
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError(f"fewer rows than declared, {self._at:,} of {self.shape[0]:,}")
            self._left = self._of(batch, self._at)
        return self._left

    def _take(self, rows: int) -> None:
        assert self._left is not None
        self._left = self._left[rows:] if rows < len(self._left) else None
        self._at += rows

    def _forget(self) -> None:
        self._batches, self._left = None, None

    def let_go(self) -> None:
        """Keep no block, and no descriptor."""
        super().let_go()
        self._forget()
