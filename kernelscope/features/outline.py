"""What an HDF5 feature file holds and where its bytes lie, read without reading a row.

``python outline.py FILE`` prints it as JSON. A file from a stranger is read in such a child process, with limits
on its time and memory, because the HDF5 library crashes or hangs on some damaged files (``isolated.py``). This module
therefore imports little of kernelscope: a child starts in a fifth of a second.

Everything a reader relies on is checked here: hard links only, no external, virtual, chunked or filtered data, types,
shapes and attributes as kernelscope writes them, every array inside the file.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kernelscope.isolated import Refused, answer

FORMAT = "kernelscope.features"
NOT_OURS = f"is HDF5 but no {FORMAT} file"
FORMAT_VERSION = 1
CHECKED_ROWS = 4096  #: rows under one checksum

MOST_LAYERS, MOST_NAMES = 10_000, 64  #: in ``/layers``, and in every other group
MOST_TEXT = 1 << 20  #: characters of one attribute
MOST_CHARACTERS = 16 << 20  #: characters of one outline
CPU_SECONDS = 5  #: of the child; a sound file takes a hundredth of a second


def read_outline(path: str | Path) -> dict[str, Any]:
    """Attributes, and ``[offset, shape, type]`` of every array.

    Raises:
        Refused: in a form kernelscope never writes. Any other exception means the same.
    """
    with h5py.File(path, "r", locking=False) as file:
        outline = outline_of_file(file, Path(path).stat().st_size)
        if _attribute(file, "outline_crc32", int) not in (None, checksum(outline)):
            raise Refused("is corrupt in its outline; extract it again")
        return outline


def outline_of_file(file: h5py.File, size: int) -> dict[str, Any]:
    """The outline of an open file of ``size`` bytes."""
    if _attribute(file, "format", str) != FORMAT:
        raise Refused(f"{NOT_OURS}; write features with kernelscope extract")
    if (version := _attribute(file, "format_version", int)) != FORMAT_VERSION:
        raise Refused(f"has format_version {version}, expected {FORMAT_VERSION}; update kernelscope")
    outline: dict[str, Any] = {
        key: _attribute(file, key, str)
        for key in ("status", "config", "config_sha256", "checkpoint_sha256", "arch", "versions")
    }
    outline["top1"] = _attribute(file, "top1", float)
    outline["notes"] = _listed(file, "notes", str)
    groups = _inside(file, MOST_NAMES, h5py.Group, ("samples", "layers"))
    outline["samples"] = _samples(groups["samples"], size)
    outline["layers"] = _layers(groups["layers"], outline["samples"]["id"][1][0], size)
    return outline


def checksum(outline: dict[str, Any]) -> int:
    """Of the whole outline, so that a flipped bit in a name or an address is seen like one in a row."""
    return zlib.crc32(json.dumps(outline, sort_keys=True).encode())


def _samples(group: h5py.Group, size: int) -> dict[str, Any]:
    found = _inside(group, MOST_NAMES, h5py.Dataset, ("id",), ("label", "predicted", "predicted_crc32"))
    ids = _place(found["id"], size, "u1", (None, 16))
    n = ids[1][0]
    outline: dict[str, Any] = {
        "id": ids,
        "id_crc32": _attribute(found["id"], "crc32", int),
        "order_sha256": _attribute(found["id"], "order_sha256", str),
        "source": _attribute(found["id"], "source", str),
        "classes": [],
    }
    if outline["order_sha256"] is None:
        raise Refused("lacks the order of its examples (order_sha256); extract it again")
    if "label" in found:
        outline["label"] = _place(found["label"], size, "i8", (n,))
        outline["label_crc32"] = _attribute(found["label"], "crc32", int)
        outline["classes"] = _listed(found["label"], "classes", str)
    if {"predicted", "predicted_crc32"} <= set(found):
        outline["predicted"] = _place(found["predicted"], size, "i8", (n,))
        outline["predicted_crc32"] = _place(found["predicted_crc32"], size, "u4", (-(-n // CHECKED_ROWS),))
    return outline


def _layers(group: h5py.Group, n: int, size: int) -> list[dict[str, Any]]:
    outline, text = [], 0
    found = _inside(group, MOST_LAYERS, h5py.Group)
    for key in sorted(found):
        parts = _inside(found[key], MOST_NAMES, h5py.Dataset, ("features", "crc32", "rows_done"))
        features = parts["features"]
        layer = {name: _attribute(features, name, str) for name in ("name", "pool", "torch_dtype")}
        if layer["name"] is None:
            raise Refused(f"holds a layer without a name ({key}); extract it again")
        outline.append(
            {
                **layer,
                "raw_shape": _listed(features, "raw_shape", int),
                "features": _place(features, size, "f4 f2 f8", (n, None)),
                "crc32": _place(parts["crc32"], size, "u4", (-(-n // CHECKED_ROWS),)),
                "rows_done": _place(parts["rows_done"], size, "i8", ()),
            }
        )
        text += sum(len(value or "") for value in layer.values())
        if text > MOST_CHARACTERS:
            raise Refused("has more names of layers than a feature file needs; extract it again")
    if not outline:
        raise Refused("holds no layer; extract it again")
    if len({layer["name"] for layer in outline}) < len(outline):
        raise Refused("holds two layers of one name; extract it again")
    return outline


def _inside(
    group: h5py.Group, most: int, kind: type, needed: tuple[str, ...] | None = None, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The members of ``group`` by name, every link a hard one: indexing or ``in`` would follow any other.

    ``needed`` None means whatever is there; otherwise other names are left alone, but must be hard links too.
    """
    count = group.id.get_num_objs()
    if count > most:
        raise Refused(f"holds {count} names in {group.name}, expected at most {most}; extract it again")
    names = list(group)
    for name in names:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Refused(f"holds a link that leads elsewhere ({name[:60]}); extract it again")
    wanted = names if needed is None else [*needed, *(name for name in optional if name in names)]
    if missing := [name for name in wanted if name not in names]:
        raise Refused(f"holds no {missing[0]} in {group.name[:60]}; extract it again")
    found = {name: group[name] for name in wanted}
    for name, member in found.items():
        if not isinstance(member, kind):
            raise Refused(f"holds {name[:60]}, which is no {kind.__name__.lower()}; extract it again")
    return found


def _place(dataset: h5py.Dataset, size: int, types: str, shape: tuple[int | None, ...]) -> list[Any]:
    """``[offset, shape, type]`` of a plain contiguous array whose bytes all lie in this file."""
    kinds = [np.dtype(f"<{kind}") for kind in types.split()]
    stored, form = dataset.id.get_type(), dataset.id.get_create_plist()
    kind = next((kind for kind in kinds if stored.equal(h5py.h5t.py_create(kind))), None)
    fine = (
        kind is not None
        and form.get_layout() == h5py.h5d.CONTIGUOUS
        and form.get_nfilters() == form.get_external_count() == 0
        and dataset.shape is not None
        and len(dataset.shape) == len(shape)
        and all(wanted in (None, found) for wanted, found in zip(shape, dataset.shape, strict=True))
        and 0 not in dataset.shape
    )
    if fine and kind is not None:
        offset, nbytes = dataset.id.get_offset(), kind.itemsize
        for length in dataset.shape:
            nbytes *= int(length)
        if offset is not None and dataset.id.get_storage_size() == nbytes and offset + nbytes <= size:
            return [int(offset), [int(length) for length in dataset.shape], kind.str]
    raise Refused(f"holds {str(dataset.name)[:60]} in a form kernelscope never writes; extract it again")


def _attribute(owner: Any, name: str, kind: type) -> Any:
    """An attribute of that type, or None if there is none."""
    if not h5py.h5a.exists(owner.id, name.encode()):
        return None
    found = h5py.h5a.open(owner.id, name.encode())
    if found.get_space().get_simple_extent_type() != h5py.h5s.SCALAR or found.get_storage_size() > MOST_TEXT:
        raise Refused(f"has an attribute {name} that is no single value; extract it again")
    value = owner.attrs[name]
    if kind is str and isinstance(value, str) and len(value) <= MOST_TEXT:
        value.encode()  # what is no UTF-8 comes back as lone surrogates, which no terminal prints
        return value
    if kind is int and isinstance(value, np.integer):
        return int(value)
    if kind is float and isinstance(value, np.floating) and np.isfinite(value):
        return float(value)
    raise Refused(f"has an attribute {name} of type {type(value).__name__}, expected {kind.__name__}; extract it again")


def _listed(owner: object, name: str, kind: type) -> list[Any]:
    """A list in JSON; empty if there is none."""
    values = json.loads(_attribute(owner, name, str) or "[]")
    if isinstance(values, list) and all(type(value) is kind for value in values):
        json.dumps(values, ensure_ascii=False).encode()
        return values
    raise Refused(f"has an attribute {name} that is no list of {kind.__name__}; extract it again")


def main(path: str) -> None:
    """Print ``{"outline": ...}`` or ``{"refused": reason}``."""
    answer("outline", lambda: read_outline(path), kind="feature file", cpu_seconds=CPU_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
