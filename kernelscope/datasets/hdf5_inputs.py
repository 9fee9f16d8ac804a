"""Arrays of a stranger's HDF5 file: plain numbers that lie in this file, and no more than it can hold.

The HDF5 library meets the file in a child process alone (``isolated.py``); what that tells is checked here against the
file, and rows are read from its plain bytes.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import isolated
from kernelscope.datasets import hdf5_outline
from kernelscope.datasets.hdf5_chunks import ChunkedRows
from kernelscope.errors import KernelscopeError, UnreadableInput, one_line
from kernelscope.numpy_files import ArrayFile
from kernelscope.plain_file import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST_CHUNK = 2**28
LARGEST_ROW = 2**30  #: bytes of one example
MOST_SIDES = 32
FIX = "save it again"
#: formats of kernelscope that are no inputs
OURS = {
    "kernelscope.features": "holds features, not inputs; give it as --teacher or --student",
    "kernelscope.sums": "holds sums, not rows; give it as --sums",
    "kernelscope.reference": "holds pinned rows; give it to gate as --pinned",
}
#: how those that are read as arrays are written
WRITTEN = {"kernelscope.sums": "write sums with --sums-out", "kernelscope.reference": "write one by kernelscope pin"}


class OtherFormatError(UnreadableInput):
    """A file of another ``format`` of ours."""

    def __init__(self, message: str, stated: str) -> None:
        super().__init__(message)
        self.format = stated


def open_datasets(path: Path, texts: Iterable[str], *, deep: bool = False, of: str | None = None) -> dict[str, Any]:
    """Datasets at the root by name; the file stays open as long as one of them is used.

    Args:
        texts: names of datasets, in small letters, whose texts are wanted.
        deep: those in groups too, by their paths; of those that are not read the reason why, a text.
        of: a format of ours that the file is to state.

    Raises:
        UnreadableInput: of another format of ours, links that lead elsewhere, data outside of the file, or more of
            them than the file can hold; a file that makes the HDF5 library crash or hang.
    """
    file = OpenFile(path)
    told = isolated.ask(hdf5_outline.__file__, path, ",".join(texts), *(["deep"] if deep else []), fix=FIX)
    return arrays_of(path, file, isolated.answered("outline", path, *told, fix=FIX), of)


def arrays_of(path: Path, file: OpenFile, outline: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """The arrays that a child told of.

    Raises:
        UnreadableInput: of another format of ours, or what the file cannot hold.
    """
    try:
        if (stated := outline["format"]) != of and stated in OURS:
            raise OtherFormatError(f"{path} {OURS[stated]}", stated)
        if of is not None and stated != of:
            raise UnreadableInput(f"{path} is HDF5 but no {of} file; {WRITTEN[of]}")
        return {str(name): _array(path, file, str(name), stated) for name, stated in outline["datasets"].items()}
    except (KernelscopeError, MemoryError):
        raise
    except Exception as error:  # a library that was made to lie tells anything, and types alone fail in many ways
        raise UnreadableInput(f"{path} has an outline that cannot be ({one_line(str(error), 60)}); {FIX}") from error


def _array(path: Path, file: OpenFile, name: str, stated: dict[str, Any]) -> Any:
    if "refused" in stated:
        return str(stated["refused"])
    where = f"{path} dataset {one_line(name, 40)}"
    shape = tuple(int(side) for side in stated["shape"])
    if "texts" in stated:
        if stated["texts"] is None:
            return np.broadcast_to(np.array("", object), shape)
        return np.array(stated["texts"], object).reshape(shape)
    dtype, size = np.dtype(stated["dtype"]), path.stat().st_size
    if dtype.kind not in "uifb" or min(shape, default=0) < 0 or len(shape) > MOST_SIDES:
        raise ValueError(f"{dtype} {shape}")
    if math.prod(shape[1:]) * dtype.itemsize > LARGEST_ROW:
        raise UnreadableInput(f"{where} has examples of over {LARGEST_ROW / 1e6:,.0f} MB; split them")
    if "offset" in stated:
        offset = int(stated["offset"])
        if math.prod(shape) == 0:
            return np.empty(shape, dtype)
        if offset < 0 or offset + math.prod(shape) * dtype.itemsize > size:
            raise ValueError(f"{name} at {offset}")
        return ArrayFile(file, shape, False, dtype, offset)
    chunks = tuple(int(side) for side in stated["chunks"])
    if len(chunks) != len(shape) or not chunks or min(chunks) < 1:
        raise ValueError(f"chunks {chunks} of {shape}")
    if math.prod(chunks) * dtype.itemsize > LARGEST_CHUNK:
        raise UnreadableInput(f"{where} has chunks of over {LARGEST_CHUNK / 1e6:,.0f} MB; save it in smaller ones")
    filters = [(int(number), [int(value) for value in values]) for number, values in stated["filters"]]
    places = _places(where, base64.b64decode(stated["index"]), shape, chunks, size)
    rows = ChunkedRows(where, file, shape, dtype, chunks, filters, places)
    if not filters and (places[:, 1] != rows.chunk_bytes).any():
        raise UnreadableInput(f"{where} has chunks of another size than they state; {FIX}")
    return rows


def _places(where: str, index: bytes, shape: tuple[int, ...], chunks: tuple[int, ...], size: int) -> np.ndarray:
    """First byte, length and left out filters of each chunk, in their order: every chunk once, in a place of its own.

    A chunk that was never written would be read as zeros, as the rows of a writer that was interrupted.
    """
    count = math.prod(-(-side // chunk) for side, chunk in zip(shape, chunks))
    entries = np.frombuffer(index, np.int64).reshape(-1, 4)
    numbers, first, length = entries[:, 0], entries[:, 1], entries[:, 2]
    if len(entries) < count:
        counted = f"{count:,}" if count < 10**12 else f"over {10**12:,}"
        raise UnreadableInput(f"{where} declares {counted} chunks and holds {len(entries):,} of them; {FIX}")
    order = np.argsort(first, kind="stable")
    apart = (first[order][1:] - first[order][:-1]) >= length[order][:-1]
    inside = (first >= 0) & (length > 0) & (length <= size) & (first <= size - length)
    if not np.array_equal(np.sort(numbers), np.arange(count)) or not apart.all() or not inside.all():
        raise UnreadableInput(f"{where} has chunks that overlap or lie outside of the file; {FIX}")
    return entries[np.argsort(numbers), 1:]
