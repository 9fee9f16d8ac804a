"""Features in Parquet, Arrow and Feather files: columns of vectors, or many columns of numbers. They need pyarrow."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import memory
from kernelscope.errors import Mismatch, NumericalError, UnreadableInput, UsageError, in_bytes, one_line, shown
from kernelscope.features.arrays import ID_NAMES, LABEL_NAMES, ArrayFeatures, of_arrays
from kernelscope.files import not_read
from kernelscope.numpy_files import FREE_BYTES, MOST_INFLATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BATCH_ROWS = 1024
ROW_NAMES = (*LABEL_NAMES, *ID_NAMES)


def open_arrow(path: Path, part: str | None) -> ArrayFeatures:
    """Columns of vectors by name, or all columns of floats as one matrix; with ``part``, that column. In memory.

    Raises:
        UnreadableInput: damaged, without vectors or numbers, or vectors of different lengths. NumericalError: a missing
            value. UsageError: without pyarrow. ResourceError: more than memory holds.
    """
    with opened(path) as (schema, batches):
        chosen = Columns.of(path, schema, part)
        content = read(path, batches(chosen.read), chosen, MOST_INFLATION * path.stat().st_size + FREE_BYTES)
    return chosen.features(path, content)


@dataclass(frozen=True)
class Columns:
    """Which columns of a table become features, and which describe its rows.

    Attributes:
        matrices: columns by the name of the matrix that they form side by side.
        beside: labels and ids. others: what is passed over.
    """

    matrices: dict[str, list[str]]
    beside: list[str]
    others: list[str]

    @classmethod
    def of(cls, where: object, schema: Any, part: str | None) -> Columns:
        """Vectors by their names, else all floats together; or the column that is named.

        Raises:
            UnreadableInput: no such column, or none of vectors or floats.
        """
        vectors = [field.name for field in schema if _is_vector(field.type)]
        numbers = [field.name for field in schema if _is_float(field.type)]
        if part is not None:
            _require_column(where, schema, part)
            matrices = {part: [part]}
        else:
            matrices = {name: [name] for name in vectors} or ({"features": numbers} if numbers else {})
        beside = [name for name in schema.names if name.lower() in ROW_NAMES and name != part]
        others = [name for name in schema.names if name not in (*beside, *(c for m in matrices.values() for c in m))]
        if not matrices:
            found = one_line(", ".join(f"{field.name} {field.type}" for field in schema), 80)
            raise UnreadableInput(f"{shown(where)} holds {found}: no column of vectors or floats; save one")
        return cls(matrices, beside, [] if part is not None else others)

    @property
    def read(self) -> list[str]:
        return list(dict.fromkeys([*(c for m in self.matrices.values() for c in m), *self.beside]))

    def features(self, path: Path, content: dict[str, Any]) -> ArrayFeatures:
        """The matrices, and a note on what was passed over."""
        found = of_arrays(path, content)
        if not self.others:
            return found
        note = f"{path.name} also holds {one_line(', '.join(self.others), 60)}: not measured"
        return replace(found, notes=(*found.notes, note))


def column(path: Path, name: str | None, names: tuple[str, ...]) -> list[Any]:
    """The values of one column: the one that is named, or the only one that is called by one of ``names``.

    Raises:
        UnreadableInput: no such column. UsageError: without pyarrow.
    """
    with opened(path) as (schema, batches):
        if name is None:
            called = [each for each in schema.names if each.lower() in names]
            if len(called) != 1:
                there = one_line(", ".join(schema.names), 60)
                raise UnreadableInput(f"{shown(path)} holds {there}; name the column, as {path.name}:{names[0]}")
            name = called[0]
        _require_column(path, schema, name)
        return [value for batch in batches([name]) for value in batch.column(name).to_pylist()]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Callable[[list[str]], Iterator[Any]]]]:
    """The schema, and what reads batches of some columns."""
    with as_unreadable(path), path.open("rb") as stream:
        from pyarrow import feather, ipc, parquet

        magic = stream.read(6)
        stream.seek(0)
        if magic.startswith(b"PAR1"):
            file = parquet.ParquetFile(stream)
            yield file.schema_arrow, lambda columns: file.iter_batches(BATCH_ROWS, columns=columns)
        elif magic.startswith(b"FEA1"):
            table = feather.read_table(stream)
            yield table.schema, lambda columns: iter(table.select(columns).to_batches(BATCH_ROWS))
        else:
            reader = ipc.open_file(stream) if magic == b"ARROW1" else ipc.open_stream(stream)
            yield reader.schema, lambda columns: _batches(reader, columns)


@contextlib.contextmanager
def as_unreadable(path: Path) -> Iterator[None]:
    """The door to a stranger's file.

    Raises:
        UsageError: without pyarrow.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(
            f"{shown(path)} needs pyarrow, which is not installed; pip install 'kernelscope[data]', or save it as .npy"
        ) from error
    try:
        yield
    except MemoryError as error:  # the library makes room for what a file declares before it looks for it
        free, size = memory.free_bytes(), path.stat().st_size if path.exists() else 0
        if free is not None and MOST_INFLATION * size + FREE_BYTES > free:
            raise not_read(path, error) from error
        raise UnreadableInput(f"{shown(path)} declares more than it can hold; save it again") from error
    except Exception as error:
        if isinstance(error, pyarrow.ArrowException):
            raise UnreadableInput(
                f"{shown(path)} cannot be read ({one_line(str(error), 70)}); save it again"
            ) from error
        raise not_read(path, error, "save it again") from error


def _batches(reader: Any, columns: list[str]) -> Iterator[Any]:
    numbered = hasattr(reader, "num_record_batches")
    found = map(reader.get_batch, range(reader.num_record_batches)) if numbered else iter(reader)
    for batch in found:
        batch.validate(full=True)
        whole = batch.select(columns)
        for start in range(0, len(whole), BATCH_ROWS):
            yield whole.slice(start, BATCH_ROWS)


def read(path: Path, batches: Iterator[Any], columns: Columns, most: int) -> dict[str, np.ndarray]:
    """Matrices and what describes their rows, in memory.

    Raises:
        UnreadableInput: more than ``most`` bytes, no rows, or vectors of other lengths. ResourceError: no memory.
    """
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in columns.matrices}
    values: dict[str, list[np.ndarray]] = {name: [] for name in columns.beside}
    taken, row = 0, 0
    for batch in batches:
        for name, sources in columns.matrices.items():
            block = matrix(path, batch, sources, row)
            if blocks[name]:
                require_width(path, name, row, block, blocks[name][0].shape[1])
            blocks[name].append(block)
            taken += block.nbytes
        for name, held in values.items():
            held.append(described(path, name, values_of(batch, name), row))
        row += len(batch)
        if taken > most:
            raise UnreadableInput(
                f"{shown(path)} unpacks to over {in_bytes(most)}, which no such file needs; save it again"
            )
        memory.require(2 * taken, path, "save the features as .npy")
    if not row:
        raise UnreadableInput(f"{shown(path)} holds no rows; save it again")
    found = {name: np.concatenate(held) for name, held in blocks.items()}
    return found | {name: np.concatenate(held) for name, held in values.items()}


def matrix(path: Path, batch: Any, columns: Sequence[str], row: int) -> np.ndarray:
    """Rows of a batch, whose first is number ``row``: of one column of vectors, or of several of numbers."""
    parts = [_vectors(path, batch.column(each), each, row) for each in columns]
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def require_width(path: Path, name: str, row: int, block: np.ndarray, width: int) -> None:
    """Refuse vectors of another length than those before."""
    if block.shape[1] != width:
        raise _uneven(path, name, row, block.shape[1], width)


def _vectors(path: Path, column: Any, name: str, row: int) -> np.ndarray:
    """Rows ``(k, d)`` of a column; a column of numbers is one of vectors of length 1."""
    import pyarrow

    if hasattr(column, "storage"):  # of an extension type, such as a tensor's
        column = column.storage
    if column.null_count:
        missing = next(i for i in range(len(column)) if not column[i].is_valid)
        raise NumericalError(f"{shown(path)} has no value in row {row + missing}, column {one_line(name, 30)}; fill it")
    if pyarrow.types.is_fixed_size_list(column.type):
        inner, width = column.flatten(), column.type.list_size
    elif _is_vector(column.type):
        lengths = np.unique(np.diff(np.asarray(column.offsets)))
        if len(lengths) > 1:
            every = np.diff(np.asarray(column.offsets))
            other = int(np.argmax(every != every[0]))
            raise _uneven(path, name, row + other, int(every[other]), int(every[0]))
        inner, width = column.flatten(), int(lengths[0]) if len(lengths) else 0
    else:
        inner, width = column, 1
    if inner.null_count:
        missing = next(i for i in range(len(inner)) if not inner[i].is_valid) // max(1, width)
        raise NumericalError(
            f"{shown(path)} has no number in row {row + missing}, column {one_line(name, 30)}; fill it"
        )
    numbers = inner.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "biuf":
        raise UnreadableInput(
            f"{shown(path)} column {one_line(name, 40)} is of {column.type}, expected numbers; name another"
        )
    rows: np.ndarray = numbers.reshape(len(column), width)
    return rows


def values_of(batch: Any, name: str) -> Any:
    """Of a column beside the matrices, whole numbers as an array."""
    import pyarrow

    column = batch.column(name)
    plain = pyarrow.types.is_integer(column.type) and not column.null_count
    return column.to_numpy(zero_copy_only=False) if plain else column.to_pylist()


def described(path: Path, name: str, values: list[Any] | np.ndarray, row: int = 0) -> np.ndarray:
    """Labels or ids, of which the first is that of number ``row``.

    Raises:
        Mismatch: one is missing.
    """
    if not isinstance(values, np.ndarray) and any(value is None for value in values):
        row += next(i for i, value in enumerate(values) if value is None)
        raise Mismatch(f"{shown(path)} has nothing in row {row}, column {one_line(name, 30)}; fill it")
    return np.array(values)


def _uneven(path: Path, name: str, row: int, found: int, expected: int) -> UnreadableInput:
    return UnreadableInput(
        f"{shown(path)} column {one_line(name, 30)} has {found} numbers in row {row}, expected {expected}; save it even"
    )


def _require_column(path: object, schema: Any, name: str) -> None:
    if schema.names.count(name) != 1:
        there = one_line(", ".join(schema.names), 80)
        raise UnreadableInput(f"{shown(path)} holds {there}, not one {one_line(name, 40)}; name one of these")


def _is_vector(kind: Any) -> bool:
    import pyarrow

    is_list = pyarrow.types.is_fixed_size_list(kind) or pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    return bool(is_list and pyarrow.types.is_floating(kind.value_type))


def _is_float(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_floating(kind))
