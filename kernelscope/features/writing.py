"""Writing a feature store so that a kill, a full disk or a second writer costs at most the last block.

``NAME.partial`` with a lock of its own; its frame laid out and the disk space of all rows reserved before the first of
them is written; rows, checksum and counter follow block by block. Synced and renamed when complete. A run with the same
configuration goes on after the last row whose checksum fits. Rows go to disk by plain writes, never through the HDF5
library (``features/header.py`` explains why), so that a full disk is an error like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.errors import Mismatch, ResourceError, UnreadableInput
from kernelscope.features.column import Column, narrowed
from kernelscope.features.header import Frame, Place, Samples, completed, lay_out
from kernelscope.features.opening import outline_of, read_rows
from kernelscope.features.store import FeatureStore
from kernelscope.plain_file import read_at, write_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOM_TO_COMPLETE = 1 << 18  #: bytes reserved for the attributes of the finished file
SYNC_BYTES = 64 << 20  #: rows that a power cut may cost


class FeatureWriter:
    """Appends rows of several layers in step; use :func:`feature_writer`."""

    def __init__(self, partial: Path, samples: Samples, config: str, dtype: str) -> None:
        self._partial, self._samples, self._config, self._dtype = partial, samples, config, dtype
        self._file = -1
        self._frame = Frame()
        self._layers: dict[str, Column] = {}
        self._counters: list[Place] = []
        self._classes: Column | None = None
        self._attributes: dict[str, Any] = {}
        self._unsynced = 0
        self.layer_notes: list[
            str
        ] = []  #: of the layers as the first batch showed them, from this run or the one before
        self.rows_done = 0  #: rows that every layer holds already, their checksums verified

    @property
    def laid_out(self) -> bool:
        """Whether the layers exist, from this run or the one before."""
        return bool(self._layers)

    @property
    def predicted(self) -> np.ndarray | None:
        """Class of each example by the network, as far as written; None without labels."""
        return None if self._classes is None else read_rows(self._file, self._classes.data)

    def create_layers(self, described: dict[str, dict[str, Any]], notes: Sequence[str] = ()) -> None:
        """Lay out every layer at full size: ``{name: {"width", "pool", "raw_shape", "torch_dtype"}}``.

        Raises:
            ResourceError: if the disk cannot take them.
        """
        places = self._plan(described, notes)
        files.require_space(self._partial.parent, self._frame.size + ROOM_TO_COMPLETE)
        self._file = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self._reserve()
        except OSError:
            self._partial.unlink()  # what could be had of the disk is given back
            raise
        write_at(self._file, places["samples/id"].offset, self._samples.ids)
        if self._samples.labels is not None:
            write_at(self._file, places["samples/label"].offset, self._samples.labels.astype("<i8"))
        for offset, content in self._frame.pieces():
            write_at(self._file, offset, content)
        files.sync(self._partial)

    def resume(self) -> None:
        """Go on with the partial file, if its frame is byte for byte the one this run would lay out.

        Raises:
            Mismatch: it is a partial file of another configuration.
        """
        try:
            outline = outline_of(self._partial)
        except UnreadableInput:
            return  # killed before its frame was whole, or not ours: nothing in it can be used
        if outline["config"] != self._config:
            raise Mismatch(f"{self._partial} was begun with other settings; delete it or pass --overwrite")
        described = {
            layer["name"]: {"width": layer["features"].shape[1], **layer}
            for layer in outline["layers"]
            if layer["features"].dtype == np.dtype(self._dtype)
        }
        if not described or outline["samples"]["id"].shape[0] != self._samples.n:
            return
        places = self._plan(described, outline["notes"])
        self._file = os.open(self._partial, os.O_RDWR)
        sound = all(_holds(self._file, offset, content) for offset, content in self._frame.pieces())
        if sound and self._holds_samples(places):
            self._reserve()
            self.rows_done = self._intact_rows()
        else:
            self.close()
            self._layers = {}

    def write(self, start: int, rows: dict[str, np.ndarray], predicted: np.ndarray | None = None) -> None:
        """Rows ``start:…`` of every layer, on their way to disk before they are counted.

        Args:
            predicted: the class the network gives each of them.
        """
        stop = start
        for name, block in rows.items():
            column = self._layers[name]
            if block.shape[1] != column.data.shape[1]:
                raise Mismatch(
                    f"layer {name} gives {block.shape[1]} features from row {start} on and {column.data.shape[1]} "
                    "before; use inputs of one size"
                )
            self._unsynced += column.write(self._file, start, narrowed(name, block, self._dtype))
            stop = start + len(block)
        if predicted is not None and self._classes is not None:
            self._classes.write(self._file, start, predicted.astype("<i8"))
        if self._unsynced >= SYNC_BYTES:
            os.fsync(self._file)
            self._unsynced = 0
        for counter in self._counters:
            write_at(self._file, counter.offset, np.array(stop, counter.dtype))
        self.rows_done = stop

    def note(self, **attributes: Any) -> None:
        """Attributes of the file; None leaves one out."""
        self._attributes.update(attributes)

    def complete(self) -> None:
        """Mark the file as complete and bring it to the disk itself."""
        for offset, content in completed(self._frame, self._attributes):
            write_at(self._file, offset, content)
        os.ftruncate(self._file, self._frame.size)
        os.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _plan(self, described: dict[str, dict[str, Any]], notes: Sequence[str]) -> dict[str, Place]:
        """Frame, columns and counters for these layers."""
        samples, self.layer_notes = self._samples, list(notes)
        crc = {"id": zlib.crc32(np.ascontiguousarray(samples.ids).data)}
        if samples.labels is not None:
            crc["label"] = zlib.crc32(samples.labels.astype("<i8").data)
        self._frame, places = lay_out(samples, described, self._config, self._dtype, crc, json.dumps(self.layer_notes))
        groups = {name: f"layers/{number:04d}" for number, name in enumerate(described)}
        self._layers = {
            name: Column(places[f"{group}/features"], places[f"{group}/crc32"]) for name, group in groups.items()
        }
        self._counters = [places[f"{group}/rows_done"] for group in groups.values()]
        if samples.labels is not None:
            self._classes = Column(places["samples/predicted"], places["samples/predicted_crc32"])
        return places

    def _reserve(self) -> None:
        """Take the whole file's space now; where the system cannot promise it, a full disk shows at its row."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, self._frame.size + ROOM_TO_COMPLETE)

    def _holds_samples(self, places: dict[str, Place]) -> bool:
        """Whether ids and labels stand in the file as they are."""
        return all(
            expected is None or np.array_equal(read_rows(self._file, places[name]), expected)
            for name, expected in (("samples/id", self._samples.ids), ("samples/label", self._samples.labels))
        )

    def _intact_rows(self) -> int:
        """Rows counted by every layer and held by every checksum."""
        done = min(int(read_rows(self._file, counter)) for counter in self._counters)
        columns = [*self._layers.values(), *([self._classes] if self._classes is not None else [])]
        return min(column.intact(self._file, min(max(done, 0), self._samples.n)) for column in columns)


@contextlib.contextmanager
def feature_writer(
    out: str | os.PathLike[str],
    *,
    config: dict[str, Any],
    samples: Samples,
    dtype: str,
    overwrite: bool = False,
) -> Iterator[FeatureWriter]:
    """A writer for ``out``; the file appears under its name when the block ends without an exception.

    Raises:
        UsageError: ``out`` exists. ResourceError: another process writes it, or the disk is full (what was written
        stays in ``.partial`` and is gone on with). Mismatch: a partial file of another configuration.
    """
    out = Path(out)
    files.refuse_existing(out, overwrite=overwrite)
    partial = out.with_name(out.name + ".partial")
    with files.lock(out.with_name(out.name + ".lock")), files.writing(out):
        writer = FeatureWriter(partial, samples, json.dumps(config, sort_keys=True), dtype)
        try:
            if partial.exists() and not overwrite:
                writer.resume()
            yield writer
            if not writer.laid_out:
                raise Mismatch(f"no rows were given for {out}; use data with at least one example")
            writer.complete()
        finally:
            writer.close()
        partial.replace(out)
        files.sync_folder(out.parent)


def _holds(file: int, offset: int, content: bytes) -> bool:
    try:
        return read_at(file, offset, len(content)).tobytes() == content
    except EOFError:
        return False


def reopen(out: str | os.PathLike[str]) -> FeatureStore:
    """The finished store."""
    try:
        return FeatureStore.open(out, ours=True)
    except UnreadableInput as error:  # we wrote it a moment ago: the disk, not a stranger
        raise ResourceError(f"{out} cannot be read back ({error}); check the disk") from error
