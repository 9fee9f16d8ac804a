"""Feature files of any kind, told apart by content; what reads one kind is imported when a file of it is opened."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.files import reading, require_readable

if TYPE_CHECKING:
    import os

    from kernelscope.features.arrays import ArrayFeatures
    from kernelscope.features.store import FeatureStore

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def is_feature_file(path: str | os.PathLike[str]) -> bool:
    """Whether the first bytes are those of HDF5, ``.npy`` or ``.npz`` (a zip whose members are ``.npy``).

    Raises:
        UnreadableInput: the disk fails.
    """
    with reading(path), Path(path).open("rb") as stream:
        head = stream.read(8)
    if head == HDF5_MAGIC or head.startswith(b"\x93NUMPY"):
        return True
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # the door to a stranger's file: a damaged directory raises a dozen kinds
        return False


def open_features(path: str | os.PathLike[str]) -> FeatureStore | ArrayFeatures:
    """A feature file of any kind.

    Raises:
        UnreadableInput: none of the kinds, or damaged.
    """
    path = require_readable(path)
    with reading(path), path.open("rb") as stream:
        is_hdf5 = stream.read(8) == HDF5_MAGIC
    if is_hdf5:
        from kernelscope.features.store import FeatureStore

        return FeatureStore.open(path)
    from kernelscope.features.arrays import open_arrays

    return open_arrays(path)
