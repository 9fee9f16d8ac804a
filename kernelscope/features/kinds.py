"""Feature files of any kind, told apart by content; what reads one kind is imported when a file of it is opened."""

from __future__ import annotations

import errno
import zipfile
from typing import TYPE_CHECKING

from kernelscope.errors import UnreadableInput, shown
from kernelscope.features.vectors import are_vectors, open_vectors
from kernelscope.file_parts import SHARDS, split
from kernelscope.files import is_folder, not_read, reading, require_readable

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from kernelscope.features.arrays import ArrayFeatures
    from kernelscope.features.shards import ShardedFeatures
    from kernelscope.features.store import FeatureStore

    Found = FeatureStore | ArrayFeatures | ShardedFeatures

HDF5_MAGIC, NPY_MAGIC = b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"
HEAD_BYTES = 4096
HELD_PARQUET_BYTES = 1 << 24  #: a file up to this size is read at once, as passes over memory are faster
#: kinds of files that hold features and never a network, by their first bytes
MAGIC = {
    HDF5_MAGIC: "hdf5",
    NPY_MAGIC: "numpy",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"FEA1": "arrow",
    b"MATLAB": "matlab",
}


def is_feature_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds features: by its first bytes, or where these leave it open, by what it holds.

    Of several files as one side, and of a folder, the first tells.

    Raises:
        UnreadableInput: the disk fails, or a file that may hold either is damaged.
    """
    file, part = split(path)
    if (files := _shards(file)) is not None:
        file = files[0]
    kind = None if is_folder(file) else _kind(file)
    return kind is not None and (kind != "tensors" or _tensors(file, part) is not None)


def open_features(path: str | os.PathLike[str]) -> Found:
    """Features of any kind; ``FILE::part`` is an array or a group of arrays in a file.

    Raises:
        UnreadableInput: none of the kinds, or damaged.
    """
    if (found := features_in(path)) is None:
        raise UnreadableInput(f"{shown(path)} holds no features that are read; save them as .npy by numpy.save")
    return found


def features_in(path: str | os.PathLike[str], *, may_be_network: bool = False) -> Found | None:
    """The features in a file, or the part of them that is named; None where it holds a network, or something else.

    A folder of such files, or ``shards:PATTERN``, is all of them together, see :mod:`kernelscope.features.shards`.

    Args:
        may_be_network: an architecture was named, so that tensors are taken for its weights.

    Raises:
        UnreadableInput: damaged, or without a matrix (n, d). Mismatch: files that are not of one side.
    """
    file, part = split(path)
    if (files := _shards(file)) is None:
        return None if is_folder(file) else _in_file(file, part, may_be_network=may_be_network)
    from kernelscope.features.shards import open_shards

    return open_shards(
        str(path), files, lambda each: _in_file(each, part, may_be_network=may_be_network, in_pieces=True)
    )


def _shards(path: Path) -> list[Path] | None:
    if not str(path).startswith(SHARDS) and not is_folder(path):
        return None
    from kernelscope.features.shard_files import shard_files

    return shard_files(path)


def _in_file(
    file: Path, part: str | None, *, may_be_network: bool, in_pieces: bool = False
) -> FeatureStore | ArrayFeatures | None:
    """The same of one file; ``in_pieces``: of arrays that can be read so, however small they are."""
    match _kind(file):
        case "hdf5":
            from kernelscope.features.hdf5_arrays import open_hdf5

            return open_hdf5(file, part)
        case "numpy":
            from kernelscope.features.arrays import open_arrays

            return open_arrays(file, part, in_pieces=in_pieces)
        case "parquet" if in_pieces or file.stat().st_size > HELD_PARQUET_BYTES:
            from kernelscope.features.parquet_rows import open_parquet

            return open_parquet(file, part)
        case "arrow" | "parquet":
            from kernelscope.features.arrow_table import open_arrow

            return open_arrow(file, part)
        case "text":
            from kernelscope.features.text_table import open_text

            return open_text(file, part)
        case "vectors":
            return open_vectors(file)
        case "matlab":
            raise UnreadableInput(
                f"{shown(file)} is a MATLAB file; save its matrix X by numpy.save('X.npy', {_loaded(file)})"
            )
        case "tensors":
            return None if may_be_network else _tensors(file, part)
        case _:
            return None


def is_npz(path: Path) -> bool:
    """Whether a file is a zip of ``.npy`` members.

    Raises:
        UnreadableInput, ResourceError: the disk, or the system, fails.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except Exception as error:  # the door to a stranger's file: a damaged directory raises a dozen kinds
        failed = error if isinstance(error, OSError) else error.__context__  # which zipfile tells as damage
        if isinstance(failed, OSError) and failed.errno not in (None, errno.EINVAL):  # a place before the file's start
            raise not_read(path, failed) from error
        return False


def _kind(path: Path) -> str | None:
    path = require_readable(path)
    with reading(path), path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if (known := next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)) is not None:
        return known
    if head.startswith(b"PK"):
        return "numpy" if is_npz(path) else "tensors"
    if are_vectors(path):
        return "vectors"
    if head.startswith(b"\x80") or head[8:9] == b"{":
        return "tensors"
    from kernelscope.features.text_table import is_table

    return "text" if is_table(head) else None


def _loaded(file: Path) -> str:
    """What loads the matrix X of a MATLAB file; those of version 7.3 are HDF5, which has its sides the other way."""
    with reading(file), file.open("rb") as stream:
        return "h5py.File(FILE)['X'][:].T" if stream.read(10).endswith(b"7.3") else "scipy.io.loadmat(FILE)['X']"


def _tensors(file: Path, part: str | None) -> ArrayFeatures | None:
    from kernelscope.features.tensors import open_tensors

    return open_tensors(file, part)
