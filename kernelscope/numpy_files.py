"""Strangers' ``.npy`` and ``.npz`` files: what their headers declare lies in the file, or they are refused.

NumPy makes room for what a header declares before it reads, so that a lie would be told as a lack of memory; and it
maps a file into memory, which ends the process by a signal if somebody cuts the file short.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from kernelscope import memory
from kernelscope.errors import UnreadableInput, in_bytes, one_line, shown
from kernelscope.files import not_read, reading, require_readable
from kernelscope.plain_file import OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Times its own size that an archive may unpack to, and bytes that any may. Deflate reaches 1,032, but only for what is
#: the same throughout; the most compressible set in use, dSprites, reaches 113, sparse features about 20.
MOST_INFLATION, FREE_BYTES = 200, 64 << 20
MOST_MEMBERS = 10_000
MOST_SIDES = 32  #: that an array has in any version of NumPy
HELD_BYTES = 2**26  #: an array up to this size is read at once, as passes over memory are faster
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  #: those that NumPy writes
FIX = "save it again"


@dataclass(eq=False)
class ArrayFile:
    """An array whose numbers lie in one piece of a file, read from the disk as its rows are sliced."""

    file: OpenFile
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype
    offset: int

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step < 1:
            whole: np.ndarray = self[:][rows]
            return whole
        count, width = max(0, stop - start), math.prod(self.shape[1:])
        with reading(self.file.path):
            if not self.by_columns:
                return self._numbers(start * width, count * width).reshape(count, *self.shape[1:])[::step]
            columns = [self._numbers(i * self.shape[0] + start, count) for i in range(width)]
        return np.array(columns).reshape(*self.shape[:0:-1], count).T[::step]

    def whole(self) -> np.ndarray:
        """All of it, in memory."""
        numbers = self._numbers(0, math.prod(self.shape))
        return numbers.reshape(self.shape[::-1]).T if self.by_columns else numbers.reshape(self.shape)

    def _numbers(self, first: int, count: int) -> np.ndarray:
        try:
            content = self.file.read_at(self.offset + first * self.dtype.itemsize, count * self.dtype.itemsize)
        except EOFError as error:
            raise UnreadableInput(f"{shown(self.file.path)} is cut short ({error}); save it again") from error
        return content.view(self.dtype)


def open_npy(path: str | os.PathLike[str], *, in_pieces: bool = False) -> np.ndarray | ArrayFile:
    """The array of an ``.npy`` file, in memory if it is small, and not wanted ``in_pieces``.

    Raises:
        UnreadableInput: no such file, damaged, pickled, or shorter than it declares. ResourceError: no memory.
    """
    path = require_readable(path)
    with _as_unreadable(path):
        file = OpenFile(path)
        with os.fdopen(os.dup(file.number), "rb") as stream:
            array = ArrayFile(file, *_header(stream), stream.tell())
        held = file.size - array.offset
        if array.nbytes > held:
            raise UnreadableInput(f"{shown(path)} declares {array.nbytes:,} bytes of numbers and holds {held:,}; {FIX}")
        is_small = array.nbytes <= HELD_BYTES and not in_pieces
        return array.whole() if is_small or not array.shape else array


def load_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of an ``.npy`` file, in memory whatever its size.

    Raises:
        UnreadableInput, ResourceError: as :func:`open_npy`.
    """
    array = open_npy(path)
    with _as_unreadable(Path(path)):
        return array if isinstance(array, np.ndarray) else array.whole()


def open_npz(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Any]:
    """The arrays of an ``.npz`` file by name, in memory; None for those that are not wanted.

    Raises:
        UnreadableInput: damaged, pickled, of two readings, or unpacking to more than any such file needs.
        ResourceError: more than memory holds.
    """
    with _as_unreadable(path), zipfile.ZipFile(path) as archive:
        members = _members(archive, path)
        needed = sum(member.file_size for name, member in members.items() if wanted(name))
        memory.require(needed, path, "write .npy or .h5, which are streamed")
        return {name: _array(archive, member, path) if wanted(name) else None for name, member in members.items()}


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """By name, every one once, apart from one another, and no larger than their packed bytes allow."""
    found = archive.infolist()
    size = path.stat().st_size
    if len(found) > MOST_MEMBERS or len({member.filename for member in found}) < len(found):
        raise UnreadableInput(f"{path} holds {len(found):,} arrays, or two of one name; {FIX}")
    if any(member.compress_type not in COMPRESSIONS for member in found):
        raise UnreadableInput(f"{path} is packed in a way that NumPy never writes; {FIX}")
    unpacked = sum(member.file_size for member in found)
    if sum(member.compress_size for member in found) > size or unpacked > MOST_INFLATION * size + FREE_BYTES:
        raise UnreadableInput(
            f"{path} unpacks {in_bytes(size)} to {in_bytes(unpacked)}, which no such file needs; {FIX}"
        )
    return {member.filename.removesuffix(".npy"): member for member in found}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    with archive.open(member) as stream:
        shape, _, dtype = _header(stream)
        declared, held = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
    name = one_line(member.filename, 40)
    if declared != held:
        raise UnreadableInput(f"{path} declares {declared:,} bytes of numbers as {name} and holds {held:,}; {FIX}")
    with archive.open(member) as stream:
        array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):  # reading to the end is what checks its CRC-32
            raise ValueError(f"more than it declares in {name}")
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type; the stream then stands behind the header."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    try:
        shape, by_columns, dtype = read(stream)
    except MemoryError as error:  # of the parser, for what is nested
        raise ValueError("a header without end") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if len(shape) > MOST_SIDES or any(not 0 <= side < 2**62 for side in shape):
        raise ValueError(f"a shape that cannot be, {one_line(str(shape), 30)}")
    return shape, by_columns, dtype


@contextlib.contextmanager
def _as_unreadable(path: Path) -> Iterator[None]:
    """The door to a stranger's file: numpy, zipfile and zlib raise a dozen kinds."""
    try:
        yield
    except Exception as error:
        raise not_read(path, error, f"{FIX}; .npy and .h5 are streamed") from error
