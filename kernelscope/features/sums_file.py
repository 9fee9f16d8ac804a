"""Files of sums (``.kss``): HDF5, a checksum for every array, written whole or not at all.

    /                  attrs format="kernelscope.sums"
    /outline           (…,) u1: JSON, networks, layers, shards, settings, and the CRC-32 of every other array
    /outline_crc32     (1,) u4
    /own0000 …         (2, 2, d, d): Gram of each layer, of even and odd rows, its leading part and its rest
    /cross             (2, 2, D_S, D_T): of all student and all teacher layers side by side
    /columns           (2, D): column sums of all layers, in two parts
    /extremes          (2, D): least and largest entry of columns, of layers that are the same in all rows
    /grid              (D,) i8: exponents of the columns' grid, of sums that are exact on one
    /lengths           (2, blocks, layers, 2): lengths of the slices of every block, which bound errors
    /products (2, layers, layers), /weighted (2, layers, D): of squared row norms, among them and with the rows
    /class_labels, /class_counts (L,)   /class_sums (2, L, D)   /class_squares (2, layers, L)
    /ids               (k, 16) u1: of the shards that keep theirs, in their order

How it is read: :mod:`kernelscope.features.checked_arrays`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UsageError
from kernelscope.features.checked_arrays import arrays_in, at_the_door, outline_in, read_file, write_arrays
from kernelscope.features.shard_sums import Shard, ShardSums, SummedLayer, SummedNetwork
from kernelscope.features.sums_arrays import class_sums, diagonals, layer_sums

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from kernelscope.kernels.constancy import Constancy


FORMAT, FORMAT_VERSION = "kernelscope.sums", 1
MOST_LAYERS = 900
FIX = "sum the shard again"
KINDS = {
    "ids": "|u1",
    "class_labels": "<i8",
    "class_counts": "<i8",
    "grid": "<i8",
}


def write_sums(path: str | os.PathLike[str], sums: ShardSums) -> None:
    """Write a file of sums, in the place of one that exists.

    Raises:
        UsageError: more layers than a file of sums holds. ResourceError: the disk fails.
    """
    if len(sums.layers) > MOST_LAYERS:
        raise UsageError(f"{len(sums.layers)} layers in one file of sums, at most {MOST_LAYERS}; choose with --layers")
    write_arrays(path, FORMAT, _outline(sums), _arrays(sums))


def read_sums(path: str | os.PathLike[str]) -> ShardSums:
    """A file of sums.

    Raises:
        UnreadableInput: missing, of another kind, damaged, or of sums that no rows have.
    """
    return read_file(path, FORMAT, _read, fix=FIX)


def sums_in_arrays(path: Path, stored: dict[str, Any]) -> ShardSums:
    """What the arrays of a file hold.

    Raises:
        UnreadableInput: damaged, or of sums that no rows have.
    """
    return at_the_door(path, stored, _read, fix=FIX)


def _outline(sums: ShardSums) -> dict[str, Any]:
    layers, of_all = sums.layers, sums.sums
    return {
        "format_version": FORMAT_VERSION,
        "kernel": "linear",
        "networks": {role: dataclasses.asdict(getattr(sums, role)) for role in ("teacher", "student")},
        "layers": [{**dataclasses.asdict(x), "constant": of_all.constant[x.key].so_far} for x in layers],
        "pairs": sums.pairs,
        "unit": sums.unit,
        "split": sums.split,
        "classes": sums.classes,
        "labelled": sums.by_class is not None,
        "on_grid": of_all.grid is not None,
        "rows": of_all.rows,
        "same": sorted(of_all.same),
        "shards": [[s.name, s.rows, s.fingerprint, s.ids is not None] for s in sums.shards],
        "notes": sums.notes,
    }


def _arrays(sums: ShardSums) -> dict[str, np.ndarray]:
    keys, of_all, classes = [layer.key for layer in sums.layers], sums.sums, sums.by_class
    found = {f"own{number:04d}": np.array(of_all.own[key]) for number, key in enumerate(keys)}
    blocks = max((len(half) for halves in of_all.lengths.values() for half in halves), default=0)
    lengths = np.zeros((2, blocks, len(keys), 2))
    for number, key in enumerate(keys):
        for half, stated in enumerate(of_all.lengths[key]):
            lengths[half, : len(stated), number] = np.array(stated).reshape(-1, 2)
    ids = [shard.ids for shard in sums.shards if shard.ids is not None]
    found |= {
        "cross": np.array(of_all.cross),
        "columns": np.hstack([np.array(of_all.sums[key]) for key in keys]),
        "extremes": np.hstack([_extremes(of_all.constant[x.key], x.width) for x in sums.layers]),
        "lengths": lengths,
        "products": np.array(sums.diagonals.products),
        "weighted": np.concatenate([np.array(sums.diagonals.weighted[key]) for key in keys], axis=2),
        "ids": np.concatenate(ids) if ids else np.empty((0, 16), np.uint8),
    }
    if of_all.grid is not None:
        found["grid"] = np.concatenate([of_all.grid.exponents[key] for key in keys]).astype("<i8")
    if classes is not None:
        found |= {
            "class_labels": classes.labels.astype("<i8"),
            "class_counts": classes.counts.astype("<i8"),
            "class_sums": np.concatenate([np.array(classes.sums[key]) for key in keys], axis=2),
            "class_squares": np.array([classes.squares[key] for key in keys]).swapaxes(0, 1),
        }
    return found


def _extremes(seen: Constancy, width: int) -> np.ndarray:
    return seen.extremes if seen.so_far and seen.extremes is not None else np.zeros((2, width))


def _read(path: Path, stored: dict[str, Any]) -> ShardSums:
    outline = outline_in(path, stored, FORMAT_VERSION)
    if outline["kernel"] != "linear":
        raise ValueError("another kernel")
    arrays = arrays_in(stored, outline, KINDS, "<f8")
    layers = tuple(_layer(stated) for stated in outline["layers"])
    networks = {role: SummedNetwork(**outline["networks"][role]) for role in ("teacher", "student")}
    found = ShardSums(
        origin=str(path),
        teacher=networks["teacher"],
        student=networks["student"],
        layers=layers,
        pairs=tuple((str(t), str(s)) for t, s in outline["pairs"]),
        unit=str(outline["unit"]),
        split=outline["split"],
        classes=tuple(map(str, outline["classes"])),
        shards=_shards(outline["shards"], arrays["ids"]),
        sums=layer_sums(outline, layers, arrays),
        diagonals=diagonals(layers, arrays),
        by_class=class_sums(layers, arrays) if outline["labelled"] is True else None,
        notes=tuple(map(str, outline["notes"])),
    )
    _require_sums_of_rows(found)
    return found


def _layer(stated: dict[str, Any]) -> SummedLayer:
    layer = SummedLayer(**{field.name: stated[field.name] for field in dataclasses.fields(SummedLayer)})
    if layer.role not in ("teacher", "student") or type(layer.width) is not int or layer.width < 1:
        raise ValueError("a layer")
    return layer


def _shards(stated: list[Any], ids: np.ndarray) -> tuple[Shard, ...]:
    found, used = [], 0
    for name, rows, fingerprint, keeps in stated:
        if type(rows) is not int or rows < 1:
            raise ValueError("a shard without rows")
        own = ids[used : used + rows] if keeps else None
        used += rows if keeps else 0
        found.append(Shard(str(name), rows, str(fingerprint), own))
    if ids.shape != (used, 16) or not found:
        raise ValueError("ids of other shards")
    return tuple(found)


def _require_sums_of_rows(found: ShardSums) -> None:
    """What sums of rows cannot be is refused here, where it is a matter of the file."""
    sums, classes = found.sums, found.by_class
    numbers = [part for pair in (*sums.own.values(), sums.cross) for half in pair for part in half if part is not None]
    diagonals = [np.diag(half[0]) for pair in sums.own.values() for half in pair]
    pairs = {("teacher", t) in sums.own and ("student", s) in sums.own for t, s in (*found.pairs, *sums.same)}
    if (
        min(sums.rows) < 0
        or sums.n != math.fsum(shard.rows for shard in found.shards)
        or not found.pairs
        or pairs != {True}
        or not all(np.isfinite(part).all() for part in numbers)
        or any((diagonal < 0).any() for diagonal in diagonals)
        or any(not np.array_equal(half[0], half[0].T) for pair in sums.own.values() for half in pair)
        or (classes is not None and ((classes.counts < 1).any() or classes.counts.sum() > sums.n))
    ):
        raise ValueError("sums that no rows have")
