"""Tables of other libraries, by the Arrow stream that they offer (``__arrow_c_stream__``): Polars, DuckDB, pyarrow.

Data sets of ``datasets`` offer none, and are iterated as Arrow tables, in the order that they were brought to. A stream
is read once, whether or not it could be read again: some of them give their rows in another order then. What is larger
than fits beside other things goes to a temporary file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UnreadableInput, one_line
from kernelscope.features.arrow_table import Columns, as_unreadable, described, matrix, require_width, values_of
from kernelscope.features.spool import Spool
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.numpy_files import HELD_BYTES, ArrayFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.features.arrays import ArrayFeatures

ONCE = "a stream can be read once only, give each side its own"


def open_stream(given: Any, role: str) -> ArrayFeatures:
    """Columns of vectors by name, or all columns of floats as one matrix, beside labels and ids.

    Raises:
        UnreadableInput: no rows, or no column of numbers. NumericalError: a missing value. UsageError: without pyarrow.
        ResourceError: no room for them in a temporary file.
    """
    where = Path(role)
    with as_unreadable(where):
        import pyarrow

        if hasattr(given, "__arrow_c_stream__"):
            reader = pyarrow.RecordBatchReader.from_stream(given)
            schema, batches = reader.schema, iter(reader)
        else:
            schema, batches = given.features.arrow_schema, _of_dataset(given)
        chosen = Columns.of(where, schema, None)
        matrices = {name: _Growing() for name in chosen.matrices}
        beside: dict[str, list[np.ndarray]] = {name: [] for name in chosen.beside}
        row = 0
        for batch in _in_blocks(batches):
            for name, columns in chosen.matrices.items():
                block = matrix(where, batch, columns, row)
                if row:
                    require_width(where, name, row, block, matrices[name].width)
                matrices[name].append(block)
            for name, held in beside.items():
                held.append(described(where, name, values_of(batch, name), row))
            row += len(batch)
    if not row:
        raise UnreadableInput(f"{one_line(role, 40)} holds no rows; {ONCE}")
    content: dict[str, Any] = {name: each.rows() for name, each in matrices.items()}
    content |= {name: np.concatenate(held) for name, held in beside.items()}
    return chosen.features(where, content)


def _of_dataset(given: Any) -> Iterator[Any]:
    for table in given.with_format("arrow").iter(BLOCK_ROWS):
        yield from table.to_batches()


def _in_blocks(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, len(batch), BLOCK_ROWS):
            yield batch.slice(start, BLOCK_ROWS)


class _Growing:
    """A matrix that rows are added to: in memory, and in a temporary file once it is large."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._spool: Spool | None = None
        self._n, self.width, self._dtype = 0, 0, np.dtype(np.float64)

    def append(self, block: np.ndarray) -> None:
        self.width, self._dtype = block.shape[1], block.dtype
        self._n += len(block)
        self._blocks.append(block)
        if self._spool is not None or sum(each.nbytes for each in self._blocks) > HELD_BYTES:
            self._spool = self._spool or Spool(0)
            for each in self._blocks:
                self._spool.write_at(self._spool.size, np.ascontiguousarray(each))
            self._blocks = []

    def rows(self) -> np.ndarray | ArrayFile:
        if self._spool is None:
            return np.concatenate(self._blocks)
        return ArrayFile(self._spool, (self._n, self.width), False, self._dtype, 0)
