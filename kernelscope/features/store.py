"""FeatureStore: layer features of one network over one ordered set of examples, in one HDF5 file.

    /                        attrs format="kernelscope.features" format_version=1 status config_sha256 versions
                                   checkpoint_sha256 arch top1
    /samples/id              (n, 16) u1     attrs order_sha256, source
    /samples/label           (n,) i8        attrs classes; absent without labels
    /layers/0000/features    (n, d) float32, contiguous     attrs name, pool, raw_shape, torch_dtype
    /layers/0000/crc32       (ceil(n / 4096),) u4, one per block of rows
    /layers/0000/rows_done   int64, flushed after its rows

Layer names live in attributes, never in paths. A store is written to ``NAME.partial`` under a lock of its own and
renamed when complete; see ``features/writing.py``. Reading believes nothing the file declares: hard links only, no
external or virtual data, sizes checked against the file, every block's checksum verified when it is first read.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput
from kernelscope.files import require_readable

FORMAT = "kernelscope.features"
FORMAT_VERSION = 1
CHECKED_ROWS = 4096  #: rows under one checksum
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class CheckedRows:
    """Rows of one layer; a block's checksum is verified the first time it is read.

    The last block stays in memory, so that reading forwards in smaller steps reads every byte once.
    """

    def __init__(self, store: FeatureStore, layer: str, group: h5py.Group) -> None:
        self._where = f"{store.path} layer {layer}"
        self._data, self._sums = group["features"], group["crc32"][:]
        self._verified = np.zeros(len(self._sums), bool)
        self._kept: tuple[int, np.ndarray] = (-1, np.empty(0))
        self.shape: tuple[int, int] = self._data.shape
        self.dtype = self._data.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step < 1 or stop <= start:
            return np.empty((0, self.shape[1]), self.dtype) if step > 0 else self[:][rows]
        first, last = start // CHECKED_ROWS, (stop - 1) // CHECKED_ROWS
        blocks = [self._block(number) for number in range(first, last + 1)]
        whole = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        offset = first * CHECKED_ROWS
        return whole[start - offset : stop - offset : step]

    def _block(self, number: int) -> np.ndarray:
        """The ``number``-th 4,096 rows, checked; read-only, as the next reader may be given the same memory."""
        if self._kept[0] == number:
            return self._kept[1]
        first, last = number * CHECKED_ROWS, min((number + 1) * CHECKED_ROWS, self.shape[0])
        block = np.ascontiguousarray(self._data[first:last])
        if not self._verified[number]:
            if zlib.crc32(block.data) != self._sums[number]:
                raise UnreadableInput(f"{self._where} is corrupt in rows {first} to {last - 1}; extract it again")
            self._verified[number] = True
        block.flags.writeable = False
        self._kept = (number, block)
        return block

    def verify(self) -> None:
        """Read everything and check every block."""
        for number in range(len(self._sums)):
            self._block(number)


class FeatureStore:
    """A complete feature file, open for reading. A context manager; closes with its last use otherwise.

    Attributes:
        path, layers, n, ids, labels, classes, order_sha256, checkpoint_sha256, arch, top1: as in the layout above.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = str(path), file
        _check(file, path)
        samples, groups = file["samples"], file["layers"]
        self.ids: np.ndarray = samples["id"][:]
        self.order_sha256 = str(samples["id"].attrs["order_sha256"])
        self.labels: np.ndarray | None = samples["label"][:] if "label" in samples else None
        self.classes: tuple[str, ...] = (
            tuple(json.loads(samples["label"].attrs["classes"])) if "label" in samples else ()
        )
        self.checkpoint_sha256 = _text(file, "checkpoint_sha256")
        self.arch = _text(file, "arch")
        self.config_sha256 = _text(file, "config_sha256")
        self.top1 = float(file.attrs["top1"]) if "top1" in file.attrs else None
        self.notes: tuple[str, ...] = tuple(json.loads(file.attrs.get("notes", "[]")))
        self._groups = {str(groups[key]["features"].attrs["name"]): groups[key] for key in sorted(groups)}
        self._rows: dict[str, CheckedRows] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> FeatureStore:
        """Open a feature file.

        Raises:
            UnreadableInput: missing, of another kind, incomplete, damaged or unsafe.
        """
        path = require_readable(path)
        file = None
        try:
            file = h5py.File(path, "r")
            return cls(path, file)
        except KernelscopeError:
            _close(file)
            raise
        except MemoryError as error:
            _close(file)
            raise ResourceError(f"{path} needs more memory than there is; free some") from error
        except Exception as error:  # the door to a stranger's file: h5py raises a dozen kinds, all mean the same
            _close(file)
            reason = f"is no readable feature file ({type(error).__name__}: {error})"
            raise UnreadableInput(f"{path} {reason[:120]}; extract it again") from error

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self._groups)

    @property
    def n(self) -> int:
        return len(self.ids)

    def features(self, layer: str) -> CheckedRows:
        """The layer's rows ``(n, d)``, read from disk as they are sliced."""
        if layer not in self._rows:
            self._rows[layer] = CheckedRows(self, layer, self._groups[layer])
        return self._rows[layer]

    def pool(self, layer: str) -> str | None:
        return str(self._attrs(layer)["pool"])

    def raw_shape(self, layer: str) -> tuple[int, ...]:
        """The layer's shape per example before pooling."""
        return tuple(json.loads(self._attrs(layer)["raw_shape"]))

    def torch_dtype(self, layer: str) -> str:
        return str(self._attrs(layer)["torch_dtype"])

    def verify(self) -> None:
        """Check every checksum.

        Raises:
            UnreadableInput: naming layer and rows.
        """
        for layer in self.layers:
            self.features(layer).verify()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _attrs(self, layer: str) -> Any:
        return self._groups[layer]["features"].attrs


def is_feature_file(path: str | os.PathLike[str]) -> bool:
    """Whether the first bytes are those of HDF5, ``.npy`` or ``.npz`` (a zip whose members are ``.npy``)."""
    import zipfile

    with Path(path).open("rb") as stream:
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


def open_features(path: str | os.PathLike[str]) -> Any:
    """A feature file of any kind, told apart by content, with the reading face of :class:`FeatureStore`.

    Raises:
        UnreadableInput: none of the kinds, or damaged.
    """
    path = require_readable(path)
    with path.open("rb") as stream:
        if stream.read(8) == HDF5_MAGIC:
            return FeatureStore.open(path)
    from kernelscope.features.arrays import open_arrays

    return open_arrays(path)


def _check(file: h5py.File, path: Path) -> None:
    """Everything a reader relies on, before anything is read."""
    if file.attrs.get("format") != FORMAT:
        raise UnreadableInput(f"{path} is HDF5 but no {FORMAT} file; write features with kernelscope extract")
    if file.attrs.get("format_version") != FORMAT_VERSION:
        raise UnreadableInput(f"{path} has format_version {file.attrs.get('format_version')}, expected 1; update")
    _hard_links_only(file, path)
    if file.attrs.get("status") != "complete":
        raise UnreadableInput(f"{path} is incomplete; run kernelscope extract again to resume it")
    ids = file["samples/id"]
    _stored_here(ids, path, rank=2, kinds="u")
    n = ids.shape[0]
    if "label" in file["samples"]:
        _stored_here(file["samples/label"], path, rank=1, kinds="i", rows=n)
    for key, group in file["layers"].items():
        _stored_here(group["features"], path, rank=2, kinds="f", rows=n)
        _stored_here(group["crc32"], path, rank=1, kinds="u", rows=-(-n // CHECKED_ROWS))
        if int(group["rows_done"][()]) != n:
            raise UnreadableInput(f"{path} layer {key} has {group['rows_done'][()]} of {n} rows; extract it again")


def _hard_links_only(file: h5py.File, path: Path) -> None:
    """No link leads out of the file: ``in`` and indexing would follow one."""
    expected = [
        file,
        *(file[name] for name in ("samples", "layers") if isinstance(file.get(name, getlink=True), h5py.HardLink)),
    ]
    for group in expected:
        for name in list(group)[:10_000]:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UnreadableInput(f"{path} holds a link that leads elsewhere ({name}); extract it again")
            inner = group[name]
            if group.name == "/layers" and not (
                isinstance(inner, h5py.Group)
                and all(isinstance(inner.get(key, getlink=True), h5py.HardLink) for key in inner)
            ):
                raise UnreadableInput(f"{path} holds a layer that is no plain group ({name}); extract it again")


def _stored_here(dataset: Any, path: Path, *, rank: int, kinds: str, rows: int | None = None) -> None:
    """A plain contiguous dataset whose bytes all lie in this file."""
    fine = (
        isinstance(dataset, h5py.Dataset)
        and not dataset.external
        and not dataset.is_virtual
        and dataset.chunks is None
        and dataset.ndim == rank
        and dataset.dtype.kind in kinds
        and (rows is None or dataset.shape[0] == rows)
        and dataset.id.get_storage_size() == dataset.nbytes
    )
    if fine and dataset.nbytes:
        offset = dataset.id.get_offset()
        fine = offset is not None and offset + dataset.nbytes <= path.stat().st_size
    if not fine:
        raise UnreadableInput(f"{path} holds {dataset.name} in a form kernelscope never writes; extract it again")


def _text(file: h5py.File, key: str) -> str | None:
    return str(file.attrs[key]) if key in file.attrs else None


def _close(file: h5py.File | None) -> None:
    if file is not None:
        file.close()
