"""One side in several files: rows are those of all shards, one after another, in the order of their names.

Every shard is looked into once, and its numbers are read as they are needed. Of files that are read in pieces only the
places of their arrays are kept, and no descriptor; those that are read whole are let go and read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch, UnreadableInput, one_line, shown
from kernelscope.features.ahead import ForwardRows
from kernelscope.features.id_keys import MOST_COMPARED, fingerprint, in_two_places
from kernelscope.file_parts import SHARDS
from kernelscope.files import reading
from kernelscope.kernels.rows import BLOCK_ROWS, numpy_block

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kernelscope.features.protocol import Features
    from kernelscope.kernels.rows import Rows

    Opens = Callable[[Path], Features | None]

HELD_BYTES = 1 << 26  #: of files that are read whole, kept beside the one being read
OF_TENSORS = (".pt", ".pth", ".safetensors")  #: files that hold features or weights
BLOCK_BYTES = 1 << 25  #: of rows read at a time, where 4,096 of them are more


def open_shards(name: str, files: Sequence[Path], open_file: Opens) -> ShardedFeatures | None:
    """The features of all files as one side; None where the first of them holds none.

    Args:
        open_file: opens one of them, reading as little as it can; None for a network.

    Raises:
        UnreadableInput: a file that is damaged, or without features beside others that have some.
        Mismatch: layers, widths, types, labels, ids or networks that differ, or an id in two files.
    """
    recent = _Recent()
    shards: list[_Shard] = []
    may_be_network = not name.startswith(SHARDS) and files[0].suffix.lower() in OF_TENSORS
    for file in files:
        try:
            with reading(file):
                found = open_file(file)
        except UnreadableInput:
            if not shards and may_be_network:  # what reads networks tells better what the folder is
                return None
            raise
        if found is None:
            if not shards and may_be_network:
                return None
            raise UnreadableInput(f"{shown(file)} holds no features that are read; leave it out of the shards")
        shard = _Shard(file, open_file, found, recent)
        if shards:
            shard.require_like(shards[0])
        shards.append(shard)
    return ShardedFeatures(name, shards)


class _Recent:
    """Files that were read whole, the last ones. Values are replaced and never changed: threads need no lock."""

    def __init__(self) -> None:
        self._held: tuple[tuple[_Shard, Features], ...] = ()

    def get(self, shard: _Shard) -> Features | None:
        return next((found for owner, found in self._held if owner is shard), None)

    def add(self, shard: _Shard, found: Features) -> None:
        kept, taken = [(shard, found)], 0
        for owner, other in self._held:
            taken += sum(getattr(other.features(layer), "nbytes", 0) for layer in other.layers)
            if owner is not shard and taken <= HELD_BYTES:
                kept.append((owner, other))
        self._held = tuple(kept)


class _Shard:
    """One file, and what it is held against once it is read again."""

    def __init__(self, path: Path, open_file: Opens, found: Features, recent: _Recent) -> None:
        self.path, self._open, self._recent = path, open_file, recent
        self._state = self._stated()
        self.n, self.labels, self.classes, self.notes = found.n, found.labels, found.classes, found.notes
        rows = {layer: found.features(layer) for layer in found.layers}
        self.network = found.checkpoint_sha256, found.arch
        self.pools = {layer: found.pool(layer) for layer in found.layers}
        self.verify = getattr(found, "verify", None)
        self.widths = {layer: (int(X.shape[1]), np.dtype(X.dtype)) for layer, X in rows.items()}  # type: ignore[attr-defined]
        self.ids = None if found.ids is None else (found.ids.shape[1:], _kind(found.ids))
        self._found: Features | None = found
        if any(isinstance(X, np.ndarray) for X in rows.values()):
            self._found = None
            recent.add(self, found)
        else:
            for X in (*rows.values(), found.ids):
                if (file := getattr(X, "file", None)) is not None:
                    file.release()

    def found(self) -> Features:
        """What it holds, read again where it was let go.

        Raises:
            UnreadableInput: it is gone, or another one than before.
        """
        if self._found is not None:
            return self._found
        if (held := self._recent.get(self)) is not None:
            return held
        self._require_same()
        with reading(self.path):
            found = self._open(self.path)
        self._require_same()
        if found is None:
            raise UnreadableInput(f"{shown(self.path)} cannot be read again; check the disk")
        self._recent.add(self, found)
        return found

    def _require_same(self) -> None:
        if self._stated() != self._state:
            raise UnreadableInput(f"{shown(self.path)} changed while it was read; run again when nothing writes it")

    def _stated(self) -> tuple[int, int, int]:
        with reading(self.path):
            state = self.path.stat()
        return state.st_size, state.st_mtime_ns, state.st_ino

    def require_like(self, first: _Shard) -> None:
        """Refuse a file of other layers, widths, types, labels, ids or of another network than the first."""
        here, there = shown(self.path, 50), shown(first.path, 50)
        if self.widths.keys() != first.widths.keys():
            own, other = (one_line(", ".join(each.widths), 30) for each in (self, first))
            raise Mismatch(f"{here} holds {own} and {there} {other}; give shards of the same layers")
        for layer, (width, dtype) in self.widths.items():
            expected, kind = first.widths[layer]
            if width != expected:
                raise Mismatch(
                    f"{here} has {width:,} features in {one_line(layer, 30)}, expected {expected:,} as in {there}; "
                    "leave it out, or save it again"
                )
            if dtype.newbyteorder("=") != kind.newbyteorder("="):
                raise Mismatch(f"{here} is of {dtype.name} and {there} of {kind.name}; save all shards in one type")
        for what, is_here, is_there in (
            ("ids", self.ids is not None, first.ids is not None),
            ("labels", self.labels is not None, first.labels is not None),
            ("class names", bool(self.classes), bool(first.classes)),
        ):
            if is_here != is_there:
                has, lacks = (here, there) if is_here else (there, here)
                raise Mismatch(f"{has} has {what} and {lacks} has none; save them in all shards, or in none")
        if self.ids != first.ids:
            raise Mismatch(f"ids in {here} are of another kind than in {there}; save them alike in all shards")
        if (self.network, self.pools) != (first.network, first.pools):
            raise Mismatch(f"{here} is of another network or pooling than {there}; give shards of one network")


def _kind(ids: Any) -> str:
    """Numbers, texts or bytes: numbers of any width are equal where their values are."""
    kind = str(getattr(ids, "dtype", np.dtype("O")).kind)
    return "i" if kind in "iu" and len(ids.shape) == 1 else "U" if kind in "UO" else kind


class ShardedRows(ForwardRows):
    """The rows of all shards, one after another, of one layer or their ids."""

    def __init__(
        self, shards: Sequence[_Shard], of: Callable[[Features], Rows], width: tuple[int, ...], dtype: np.dtype
    ):
        self._shards, self._of = shards, of
        self._last: object = None
        self._starts = np.cumsum([0, *(shard.n for shard in shards)])
        row_bytes = max(1, dtype.itemsize * int(np.prod(width)))
        super().__init__((int(self._starts[-1]), *width), dtype, max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes)))

    def _read(self, number: int) -> np.ndarray:
        at, last = self._span(number)
        parts = []
        while at < last:
            k = self._place(at)
            start, shard = int(self._starts[k]), self._shards[k]
            stop = min(start + shard.n, last)
            X = self._of(shard.found())
            if self._last is not X and (let_go := getattr(self._last, "let_go", None)) is not None:
                let_go()  # of thousands of files one keeps a block
            self._last = X
            parts.append(numpy_block(X, at - start, stop - start))
            at = stop
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _place(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, "right")) - 1

    def where(self, row: int) -> str:
        """The file that a row stands in, and its number there."""
        k = self._place(row)
        return f"row {row - int(self._starts[k])} of {shown(self._shards[k].path, 60)}"


class ShardedFeatures:
    """Layers of one network in several files, with the reading face of a feature store."""

    kept = True
    top1: float | None = None  #: each file has that of its own examples

    def __init__(self, name: str, shards: Sequence[_Shard]) -> None:
        first = shards[0]
        self.path, self._shards = name, shards
        self.layers = tuple(first.widths)
        self.checkpoint_sha256, self.arch = first.network
        self.labels, self.classes = _labels(shards)
        self._rows = {
            layer: ShardedRows(shards, _layer(layer), (d,), kind) for layer, (d, kind) in first.widths.items()
        }
        self.n = len(self._rows[self.layers[0]])
        self.ids: ShardedRows | None = None
        self.order_sha256: str | None = None
        self.notes: tuple[str, ...] = (*first.notes, f"{len(shards):,} files, {self.n:,} rows, are one side")
        if first.ids is not None:
            self._with_ids(first)

    def _with_ids(self, first: _Shard) -> None:
        sample = _ids(first.found())[:1]
        self.ids = ShardedRows(self._shards, _ids, sample.shape[1:], sample.dtype)
        if self.n > MOST_COMPARED:
            self.notes += (f"whether an id stands in two files is not looked at beyond {MOST_COMPARED:,} rows",)
        elif (twice := in_two_places(self.ids, [shard.n for shard in self._shards])) is not None:
            count, rows = twice
            raise Mismatch(
                f"{count:,} ids stand in two shards, the first as {' and as '.join(map(self.ids.where, rows))}; "
                "give each example once"
            )
        if sample.dtype == np.uint8 and sample.shape[1:] == (16,):
            self.order_sha256 = fingerprint(self.ids)

    def features(self, layer: str) -> ShardedRows:
        """The layer's rows ``(n, d)``, read from disk as they are sliced."""
        return self._rows[layer]

    def pool(self, layer: str) -> str | None:
        pool: str | None = self._shards[0].pools[layer]
        return pool

    def verify(self) -> bool:
        """Check every checksum; whether all files have them.

        Raises:
            UnreadableInput: one does not fit.
        """
        checks = [shard.verify for shard in self._shards if shard.verify is not None]
        for check in checks:
            check()
        return len(checks) == len(self._shards)

    def close(self) -> None:
        """Nothing is open between readings."""


def _layer(layer: str) -> Callable[[Features], Rows]:
    return lambda found: found.features(layer)


def _ids(found: Features) -> Rows:
    assert found.ids is not None
    return found.ids


def _labels(shards: Sequence[_Shard]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Of all rows, classes numbered alike: where they are named, by the order of all names that occur."""
    if any(shard.labels is None for shard in shards):
        return None, ()
    if len({shard.classes for shard in shards}) == 1:
        return np.concatenate([np.asarray(shard.labels) for shard in shards]), shards[0].classes
    if shards[0].verify is not None:  # of a network, whose logits stand in the order of its classes
        other = next(shard for shard in shards if shard.classes != shards[0].classes)
        raise Mismatch(
            f"{shown(other.path, 60)} names other classes than {shown(shards[0].path, 60)}; extract it again"
        )
    names = sorted({name for shard in shards for name in shard.classes})
    place = {name: i for i, name in enumerate(names)}
    parts = [np.array([place[name] for name in shard.classes])[shard.labels] for shard in shards]
    return np.concatenate(parts), tuple(names)
