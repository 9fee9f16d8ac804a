"""Arrays by name in one HDF5 file with an outline in JSON, a checksum for each, written whole or not at all.

A file from a stranger is looked into by a child process, and its arrays are read as plain bytes of the file
(:func:`kernelscope.datasets.hdf5_inputs.open_datasets`): together they are no larger than it is.
"""

from __future__ import annotations

import io
import json
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kernelscope.errors import KernelscopeError, UnreadableInput, one_line, shown
from kernelscope.files import reading, require_readable, write_by
from kernelscope.numpy_files import ArrayFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")


def write_arrays(
    path: str | os.PathLike[str], format: str, outline: Mapping[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write the arrays and their checksums, in the place of a file that exists.

    Raises:
        ResourceError: the disk fails.
    """
    import h5py

    text = np.frombuffer(
        json.dumps({**outline, "crc32": {name: _crc32(array) for name, array in arrays.items()}}).encode(), np.uint8
    )
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["format"] = format
        for name, array in {**arrays, "outline": text, "outline_crc32": np.array([_crc32(text)], "<u4")}.items():
            file.create_dataset(name, data=array)
    write_by(path, lambda stream: stream.write(content.getbuffer()))


def read_file(path: str | os.PathLike[str], format: str, read: Callable[[Path, dict[str, Any]], T], *, fix: str) -> T:
    """What ``read`` makes of the datasets of a file; its accidents are those of a damaged file.

    Raises:
        UnreadableInput: missing, of another kind, damaged, or of what cannot be.
    """
    from kernelscope.datasets.hdf5_inputs import open_datasets  # loads h5py, which most measurements do without

    path = require_readable(path)
    with reading(path):
        return at_the_door(path, open_datasets(path, (), of=format), read, fix=fix)


def at_the_door(path: Path, stored: dict[str, Any], read: Callable[[Path, dict[str, Any]], T], *, fix: str) -> T:
    """The same of datasets that a child told of."""
    try:
        return read(path, stored)
    except (KernelscopeError, OSError, MemoryError):
        raise
    except Exception as error:  # the door to a stranger's file: whatever is missing, or is no number
        raise UnreadableInput(f"{shown(path)} is corrupt ({one_line(str(error), 60)}); {fix}") from error


def outline_in(path: Path, stored: dict[str, Any], version: int) -> dict[str, Any]:
    """What the file says of itself.

    Raises:
        UnreadableInput: of another version. ValueError: damaged, or arrays that share their bytes.
    """
    if sum(array.nbytes for array in stored.values()) > path.stat().st_size:
        raise ValueError("its arrays overlap")
    text = _array(stored, "outline", "|u1")
    if _array(stored, "outline_crc32", "<u4").tolist() != [_crc32(text)]:
        raise ValueError("its outline")
    outline: dict[str, Any] = json.loads(text.tobytes())
    if (found := outline["format_version"]) != version:
        raise UnreadableInput(
            f"{shown(path)} has format_version {one_line(str(found), 20)}, expected {version}; update"
        )
    return outline


def arrays_in(
    stored: dict[str, Any], outline: dict[str, Any], kinds: Mapping[str, str], default: str
) -> dict[str, np.ndarray]:
    """Every array that the outline names, of its kind and with its checksum.

    Raises:
        ValueError: one that is missing, of another kind, or damaged.
    """
    arrays = {}
    for name, crc32 in outline["crc32"].items():
        arrays[name] = _array(stored, name, kinds.get(name, default))
        if _crc32(arrays[name]) != crc32:
            raise ValueError(f"in {name}")
    return arrays


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data) if array.size else 0


def _array(stored: dict[str, Any], name: str, kind: str) -> np.ndarray:
    array = stored[name]
    if not isinstance(array, ArrayFile | np.ndarray) or array.dtype.str != kind:
        raise ValueError(f"{name} has another form")
    return array if isinstance(array, np.ndarray) else array.whole()
