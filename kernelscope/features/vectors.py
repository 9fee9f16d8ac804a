"""Vectors as nearest-neighbour libraries store them: n and d as 32-bit numbers, then the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import UnreadableInput, shown
from kernelscope.features.arrays import ArrayFeatures, of_arrays
from kernelscope.files import reading
from kernelscope.numpy_files import ArrayFile
from kernelscope.plain_file import OpenFile

if TYPE_CHECKING:
    from pathlib import Path

#: by suffix, as nothing in the file tells; the header is held against the file's size
TYPES = {".fbin": "<f4", ".f16bin": "<f2", ".u8bin": "|u1", ".i8bin": "|i1"}
HEADER_BYTES = 8


def are_vectors(path: Path) -> bool:
    """Whether a file is one of vectors, by its name."""
    return path.suffix.lower() in TYPES


def open_vectors(path: Path) -> ArrayFeatures:
    """The vectors, read from the disk as they are needed.

    Raises:
        UnreadableInput: a header that does not fit the file.
    """
    dtype = np.dtype(TYPES[path.suffix.lower()])
    with reading(path):
        file = OpenFile(path)
        header = file.read_at(0, min(HEADER_BYTES, file.size))
    n, d = (int(side) for side in header.view("<u4")) if len(header) == HEADER_BYTES else (0, 0)
    declared = HEADER_BYTES + n * d * dtype.itemsize
    if not n * d or declared != file.size:
        raise UnreadableInput(
            f"{shown(path)} declares {n:,} vectors of {d:,} {dtype.name}, {declared:,} bytes, and has {file.size:,}; "
            "save it again"
        )
    return of_arrays(path, {"features": ArrayFile(file, (n, d), False, dtype, HEADER_BYTES)}, "features")
