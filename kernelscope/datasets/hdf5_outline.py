"""What lies at the root of an HDF5 file, or in its groups, and where its bytes are, read without an array.

``python hdf5_outline.py FILE NAME,... [deep]`` prints it as JSON; it is run as a child process, see ``isolated.py``.
The texts of datasets that are named are read here, as they have no place of their own in the file. ``deep`` also lists
what lies in groups, by its path, and what is not read with the reason why.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from pathlib import Path
from typing import Any

import h5py

from kernelscope.isolated import Refused, answer

MOST_NAMES, MOST_GROUPS = 1_000, 1_000
MOST_CHUNKS = 2**24
MOST_TEXTS, MOST_TEXT_BYTES = 2**24, 2**28
CPU_SECONDS = 15  #: a million chunks take about five
READABLE = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, 32000}  # the last is lzf


def outline(path: str, texts: set[str], *, deep: bool = False) -> dict[str, Any]:
    """Datasets by name, and what format the file claims to be of.

    Raises:
        Refused: links that lead elsewhere, data in other files or in a form that is not read.
    """
    with h5py.File(path, "r", locking=False) as file:
        stated = file.attrs.get("format")
        found: dict[str, Any] = {}
        size = Path(path).stat().st_size
        groups, seen = [(file, "")], {_address(file)}
        for group, prefix in groups:  # grows as it goes
            for name in list(group)[:MOST_NAMES]:
                try:
                    entry = _entry(group, name)
                    if isinstance(entry, h5py.Dataset):
                        found[prefix + name] = _dataset(entry, size, name.lower() in texts)
                    elif deep and isinstance(entry, h5py.Group) and _address(entry) not in seen:
                        seen.add(_address(entry))
                        groups.append((entry, f"{prefix}{name}/"))
                except Refused as reason:
                    if not deep:
                        raise
                    found[prefix + name] = {"refused": str(reason)}
            if len(found) > MOST_NAMES or len(groups) > MOST_GROUPS:
                raise Refused(f"holds over {MOST_NAMES:,} datasets or groups; save those that are meant alone")
        return {"format": stated if isinstance(stated, str) else None, "datasets": found}


def _address(group: h5py.Group) -> int:
    """By which a group that is linked to from inside itself is known again."""
    return int(h5py.h5o.get_info(group.id).addr)


def _entry(group: h5py.Group, name: str) -> object:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Refused(f"holds a link that leads elsewhere ({brief(name)}); save the arrays themselves")
    return group[name]


def brief(name: str | None) -> str:
    """A name in a message."""
    return "".join(c if c.isprintable() else "?" for c in str(name))[:40]


def _dataset(dataset: h5py.Dataset, size: int, wanted: bool) -> dict[str, Any]:
    where = f"dataset {brief(dataset.name)}"
    if dataset.shape is None:
        raise Refused(f"{where} is empty; save an array")
    stated: dict[str, Any] = {"shape": [int(side) for side in dataset.shape]}
    if dataset.external or dataset.is_virtual:
        raise Refused(f"{where} has its data in other files; save the array itself")
    if dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype):
        return stated | {"texts": _texts(dataset, where) if wanted else None}
    if dataset.dtype.kind not in "uifb" or not dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)):
        raise Refused(f"{where} has type {str(dataset.dtype)[:40]}, expected plain numbers; save it so")
    stated["dtype"] = dataset.dtype.str
    if dataset.chunks is None:
        offset, stored, declared = dataset.id.get_offset(), dataset.id.get_storage_size(), dataset.nbytes
        if declared and (stored != declared or offset is None or offset + declared > size):
            raise Refused(f"{where} declares {declared:,} bytes and the file holds fewer; save it again")
        return stated | {"offset": int(offset or 0)}
    form = dataset.id.get_create_plist()
    filters = [form.get_filter(i) for i in range(form.get_nfilters())]
    if not {number for number, *_ in filters} <= READABLE:
        raise Refused(f"{where} is compressed in a way that is not read; use gzip or lzf")
    stated["chunks"] = [int(side) for side in dataset.chunks]
    stated["filters"] = [[number, list(values)] for number, _, values, _ in filters]
    return stated | {"index": base64.b64encode(_index(dataset, where)).decode()}


def _index(dataset: h5py.Dataset, where: str) -> bytes:
    """Number, first byte, length and left out filters of every chunk, as 64-bit numbers."""
    grid = [-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks)]
    strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
    if math.prod(grid) > MOST_CHUNKS:
        raise Refused(f"{where} declares over {MOST_CHUNKS:,} chunks; save it in larger ones")
    found = array("q")

    def note(chunk: Any) -> None:
        number = sum(at // side * stride for at, side, stride in zip(chunk.chunk_offset, dataset.chunks, strides))
        found.extend((number, chunk.byte_offset, chunk.size, chunk.filter_mask))
        if len(found) > 4 * MOST_CHUNKS:
            raise Refused(f"{where} has more chunks than it declares; save it again")

    dataset.id.chunk_iter(note)
    return found.tobytes()


def _texts(dataset: h5py.Dataset, where: str) -> list[str]:
    if dataset.size > MOST_TEXTS or dataset.nbytes > MOST_TEXT_BYTES:
        raise Refused(f"{where} has {dataset.size:,} texts; save numbers")
    values = dataset[()].ravel() if dataset.shape else [dataset[()]]
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
    if sum(map(len, texts)) > MOST_TEXT_BYTES:
        raise Refused(f"{where} has texts of over {MOST_TEXT_BYTES:,} characters; save numbers")
    return texts


if __name__ == "__main__":
    answer(
        "outline",
        lambda: outline(sys.argv[1], set(sys.argv[2].split(",")), deep=sys.argv[3:] == ["deep"]),
        kind="HDF5 file",
        cpu_seconds=CPU_SECONDS,
    )
