"""Strangers' ``.npy`` and ``.npz`` files: what their headers declare lies in the file, or they are refused.

NumPy makes room for what a header declares before it reads, so that a lie would be told as a lack of memory.
"""

from __future__ import annotations

import errno
import math
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from kernelscope import memory
from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Times its own size that an archive may unpack to, and bytes that any may. Deflate reaches 1,032, but only for what is
#: the same throughout; the most compressible set in use, dSprites, reaches 113, sparse features about 20.
MOST_INFLATION, FREE_BYTES = 200, 64 << 20
MOST_MEMBERS = 10_000
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  #: those that NumPy writes
FIX = "save it again"


def open_npy(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, memory-mapped.

    Raises:
        UnreadableInput: damaged, pickled, or shorter than it declares. ResourceError: no room to map it.
    """
    with _as_unreadable(path):
        with path.open("rb") as stream:
            declared = _declared(stream)
            held = path.stat().st_size - stream.tell()
        if declared > held:
            raise UnreadableInput(f"{path} declares {declared:,} bytes of numbers and holds {held:,}; {FIX}")
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


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
            f"{path} unpacks {size / 1e6:,.0f} MB to {unpacked / 1e6:,.0f} MB, which no such file needs; {FIX}"
        )
    return {member.filename.removesuffix(".npy"): member for member in found}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    with archive.open(member) as stream:
        declared = _declared(stream)
        held = member.file_size - stream.tell()
    name = one_line(member.filename, 40)
    if declared != held:
        raise UnreadableInput(f"{path} declares {declared:,} bytes of numbers as {name} and holds {held:,}; {FIX}")
    with archive.open(member) as stream:
        array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):  # reading to the end is what checks its CRC-32
            raise ValueError(f"more than it declares in {name}")
    return array


def _declared(stream: IO[bytes]) -> int:
    """Bytes of numbers that a header declares; the stream then stands behind it."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    try:
        shape, _, dtype = read(stream)
    except MemoryError as error:  # of the parser, for what is nested
        raise ValueError("a header without end") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if min(shape, default=0) < 0:
        raise ValueError("a negative length")
    return math.prod(shape) * dtype.itemsize


class _as_unreadable:
    """The door to a stranger's file: numpy, zipfile and zlib raise a dozen kinds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, KernelscopeError) or not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            raise ResourceError(
                f"{self.path} needs more memory than there is; write .npy or .h5, which are streamed"
            ) from error
        reason = one_line(f"{type(error).__name__}: {error}", 80)
        raise UnreadableInput(f"{self.path} cannot be read as a NumPy file ({reason}); {FIX}") from error
