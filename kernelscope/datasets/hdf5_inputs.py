"""Arrays at the root of a stranger's HDF5 file: plain numbers that lie in this file, and no more than it can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np

from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from pathlib import Path

FILTERS = {"gzip", "lzf", None}
LARGEST_CHUNK = 2**28
LARGEST_RATIO = 1100  #: of what is declared to what is stored; deflate reaches 1,032


def open_datasets(path: Path) -> dict[str, h5py.Dataset]:
    """Datasets at the root by name; the file stays open as long as one of them is used.

    Raises:
        UnreadableInput: features instead of inputs, links that lead elsewhere, data outside of the file, or more of
            them than the file can hold.
    """
    file = h5py.File(path, "r")
    try:
        return _datasets(file, path)
    except BaseException:
        file.close()
        raise


def _datasets(file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    if file.attrs.get("format") == "kernelscope.features":
        raise UnreadableInput(f"{path} holds features, not inputs; give it as --teacher or --student")
    found = {}
    for name in list(file)[:1000]:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise UnreadableInput(
                f"{path} holds a link that leads elsewhere ({one_line(name, 40)}); save the arrays themselves"
            )
        entry = file[name]
        if isinstance(entry, h5py.Dataset):
            _require_stored_here(entry, path)
            found[name] = entry
    return found


def _require_stored_here(dataset: h5py.Dataset, path: Path) -> None:
    """The bytes of a dataset lie in this file, and chunks inflate to no more than deflate can."""
    where = f"{path} dataset {one_line(dataset.name, 40)}"
    if dataset.external or dataset.is_virtual:
        raise UnreadableInput(f"{where} has its data in other files; save the array itself")
    if dataset.dtype.kind in "SO" and (dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype)):
        if dataset.size > 2**24:
            raise UnreadableInput(f"{where} has {dataset.size:,} texts; save numbers")
        return
    if dataset.dtype.kind not in "uifb":
        raise UnreadableInput(f"{where} has type {dataset.dtype}, expected plain numbers; save it so")
    stored, declared = dataset.id.get_storage_size(), dataset.nbytes
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if declared and (stored != declared or offset is None or offset + declared > path.stat().st_size):
            raise UnreadableInput(f"{where} declares {declared:,} bytes and the file holds fewer; save it again")
        return
    chunk = int(np.prod(dataset.chunks, dtype=np.float64)) * dataset.dtype.itemsize
    if dataset.compression not in FILTERS or dataset.scaleoffset is not None:
        raise UnreadableInput(f"{where} is compressed in a way that is not read; use gzip or lzf")
    if chunk > LARGEST_CHUNK or declared > LARGEST_RATIO * max(stored, 1) + chunk:
        raise UnreadableInput(f"{where} declares {declared:,} bytes, which {stored:,} cannot hold; save it again")
