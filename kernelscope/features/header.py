"""The frame of a feature file: everything but its rows, made in memory and put on disk in one go.

The HDF5 library cannot be stopped halfway: on a full disk it ends the process with a segmentation fault. So it never
touches the disk here. It lays the file out in memory, at full size and without rows; its few kilobytes go to disk by
plain writes that fail cleanly, and the rows follow at the places it reserved for them. The same arguments always give
the same bytes, so an unfinished file is ours if its frame is, byte for byte.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from kernelscope.features.outline import CHECKED_ROWS, FORMAT, FORMAT_VERSION, checksum, outline_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096


@dataclass(frozen=True)
class Place:
    """Where an array lies in the file: first byte, shape and type."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        return self.nbytes // self.shape[0] if self.shape and self.shape[0] else self.dtype.itemsize


class Frame(io.RawIOBase):
    """A file in memory that keeps only what is written: the pages touched, and which bytes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.written: list[tuple[int, int]] = []
        self._pages: dict[int, bytearray] = {}
        self._at = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        self.size = self._at if size is None else size
        return self.size

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        done = 0
        for page, first, last in _by_page(self._at, len(content)):
            kept = self._pages.setdefault(page, bytearray(PAGE))
            kept[first:last] = content[done : done + last - first]
            done += last - first
        self.written.append((self._at, len(content)))
        self._at += len(content)
        self.size = max(self.size, self._at)
        return len(content)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        view[:count] = self.bytes_at(self._at, count)
        self._at += count
        return count

    def bytes_at(self, offset: int, count: int) -> bytes:
        """What the file holds there; zero where nothing was written."""
        empty = bytes(PAGE)
        return b"".join(self._pages.get(page, empty)[first:last] for page, first, last in _by_page(offset, count))

    def pieces(self, since: int = 0) -> Iterator[tuple[int, bytes]]:
        """``(offset, bytes)`` of every write from the ``since``-th on, the root of the file last."""
        spans = sorted(set(self.written[since:]), reverse=True)
        return ((offset, self.bytes_at(offset, count)) for offset, count in spans)


def _by_page(offset: int, count: int) -> Iterator[tuple[int, int, int]]:
    """``(page, first, last)`` for each page that ``offset:offset + count`` touches."""
    stop = offset + count
    while offset < stop:
        page, first = divmod(offset, PAGE)
        last = min(PAGE, first + stop - offset)
        yield page, first, last
        offset += last - first


@dataclass(frozen=True)
class Samples:
    """What a file states about its examples, before any network has run."""

    ids: np.ndarray
    order_sha256: str
    source: str
    labels: np.ndarray | None
    classes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.ids)


def lay_out(
    samples: Samples,
    described: dict[str, dict[str, Any]],
    config: str,
    dtype: str,
    crc: dict[str, int],
    notes: str = "[]",
) -> tuple[Frame, dict[str, Place]]:
    """An unfinished file for these examples and layers, and where each of its arrays belongs.

    Args:
        described: ``{name: {"width", "pool", "raw_shape", "torch_dtype"}}``.
        crc: checksum of ``id`` and, with labels, of ``label``.
        notes: on the layers, a list in JSON.
    """
    frame, places, n = Frame(), {}, samples.n
    with h5py.File(frame, "w") as file:
        file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, status="partial", config=config, notes=notes)
        file.create_group("samples")

        def reserve(name: str, shape: tuple[int, ...], kind: str) -> h5py.Dataset:
            form = np.dtype(kind).newbyteorder("<")
            dataset = _reserved(file, name, shape, form)
            places[name] = Place(dataset.id.get_offset() or 0, shape, form)
            return dataset

        blocks = (-(-n // CHECKED_ROWS),)
        reserve("samples/id", (n, 16), "u1").attrs.update(
            order_sha256=samples.order_sha256, source=samples.source, crc32=np.uint32(crc["id"])
        )
        if samples.labels is not None:
            reserve("samples/label", (n,), "i8").attrs.update(
                classes=json.dumps(list(samples.classes)), crc32=np.uint32(crc["label"])
            )
            reserve("samples/predicted", (n,), "i8")
            reserve("samples/predicted_crc32", blocks, "u4")
        file.create_group("layers")
        for number, (name, d) in enumerate(described.items()):
            where = f"layers/{number:04d}"
            file.create_group(where)
            reserve(f"{where}/features", (n, d["width"]), dtype).attrs.update(
                name=name, pool=d["pool"], raw_shape=json.dumps(d["raw_shape"]), torch_dtype=d["torch_dtype"]
            )
            reserve(f"{where}/crc32", blocks, "u4")
            reserve(f"{where}/rows_done", (), "i8")
    return frame, places


def completed(frame: Frame, attributes: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
    """What has to be written to mark the file as complete, with ``attributes`` of its root; None leaves one out."""
    before = len(frame.written)
    with h5py.File(frame, "r+") as file:
        file.attrs.update({key: value for key, value in attributes.items() if value is not None})
        file.attrs["status"] = "complete"
        file.attrs["outline_crc32"] = np.uint32(checksum(outline_of_file(file, frame.size)))
    return frame.pieces(before)


def _reserved(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
    """A contiguous dataset with its place in the file, into which nothing is written."""
    form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    form.set_layout(h5py.h5d.CONTIGUOUS)
    form.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    form.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    form.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), space, form))
