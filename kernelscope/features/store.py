"""FeatureStore: layer features of one network over one ordered set of examples, in one HDF5 file.

    /                        attrs format="kernelscope.features" format_version=1 status config config_sha256
                                   versions checkpoint_sha256 arch top1 notes outline_crc32
    /samples/id              (n, 16) u1     attrs order_sha256, source, crc32
    /samples/label           (n,) i8        attrs classes, crc32; absent without labels
    /samples/predicted       (n,) i8, and predicted_crc32: each example's class by the network; optional
    /layers/0000/features    (n, d) float32, contiguous     attrs name, pool, raw_shape, torch_dtype
    /layers/0000/crc32       (ceil(n / 4096),) u4, one per block of rows
    /layers/0000/rows_done   int64, flushed after its rows

Layer names live in attributes, never in paths. A store is written to ``NAME.partial`` under a lock of its own and
renamed when complete; see ``features/writing.py``. Reading believes nothing the file declares: a child process looks
inside (``features/opening.py``), rows are plain bytes of this file, every block's checksum verified when first read.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import ResourceError, UnreadableInput
from kernelscope.features.ahead import ForwardRows
from kernelscope.features.opening import outline_of, read_checked, read_rows
from kernelscope.features.outline import CHECKED_ROWS, FORMAT, FORMAT_VERSION
from kernelscope.files import reading, require_readable
from kernelscope.plain_file import OpenFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from kernelscope.features.header import Place

__all__ = ["CHECKED_ROWS", "FORMAT", "FORMAT_VERSION", "FeatureStore"]


class CheckedRows(ForwardRows):
    """Rows of one layer, or ids; a block's checksum is verified the first time it is read."""

    def __init__(self, where: str, file: OpenFile, data: Place, sums: np.ndarray) -> None:
        super().__init__((data.shape[0], data.shape[1]), data.dtype, CHECKED_ROWS)
        self.file = file
        self._where, self._data, self._sums = where, data, sums
        self._verified = np.zeros(len(self._sums), bool)
        self.instead: Callable[[], CheckedRows] | None = None  #: the same rows, should these not be readable any more

    def _block(self, number: int) -> np.ndarray:
        try:
            return super()._block(number)
        except UnreadableInput:
            if self.instead is None:
                raise
            return self.instead()._block(number)

    def _read(self, number: int) -> np.ndarray:
        first, last = self._span(number)
        try:
            with self.file.opened() as descriptor:
                block = read_rows(descriptor, self._data, first, last)
        except UnreadableInput:
            raise
        except (OSError, EOFError) as error:
            raise UnreadableInput(f"{self._where} cannot be read ({error}); check the disk") from error
        except MemoryError as error:
            raise ResourceError(f"{self._where} needs more memory than there is; free some") from error
        if not self._verified[number]:
            if zlib.crc32(block.data) != self._sums[number]:
                raise UnreadableInput(f"{self._where} is corrupt in rows {first} to {last - 1}; extract it again")
            self._verified[number] = True
        return block

    def verify(self) -> None:
        """Read everything and check every block."""
        for number in range(len(self._sums)):
            self._block(number)


class FeatureStore:
    """A complete feature file, open for reading. A context manager; closes with its last use otherwise.

    Examples:
        >>> import torch, kernelscope as ks
        >>> net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
        >>> store = ks.extract(net, torch.randn(40, 6), out="features.h5")
        >>> store.layers, store.n, store.features("embedding")[:2].shape
        (('embedding', 'logits'), 40, (2, 5))

    Attributes:
        path, layers, n, labels, classes, order_sha256, checkpoint_sha256, arch, top1: as in the layout above.
        ids: ``(n, 16)`` bytes, read as they are sliced: held, they would take as much memory as n is large.
    """

    def __init__(self, path: Path, outline: dict[str, Any]) -> None:
        self.path, self._file = str(path), OpenFile(path)
        samples, number = outline["samples"], self._file.number
        self.ids = _ids(f"{path} ids", self._file, samples["id"], samples["id_crc32"])
        self.order_sha256 = str(samples["order_sha256"])
        self.labels: np.ndarray | None = None
        if "label" in samples:
            self.labels = read_checked(number, samples["label"], samples["label_crc32"], f"{path} labels")
        self.classes: tuple[str, ...] = tuple(samples["classes"])
        self.checkpoint_sha256: str | None = outline["checkpoint_sha256"]
        self.arch: str | None = outline["arch"]
        self.config_sha256: str | None = outline["config_sha256"]
        self.top1: float | None = outline["top1"]
        self.notes: tuple[str, ...] = tuple(outline["notes"])
        self._stated = {str(layer["name"]): layer for layer in outline["layers"]}
        self._rows = {layer: self._layer(layer) for layer in self._stated}

    def _layer(self, layer: str) -> CheckedRows:
        outline, where = self._stated[layer], f"{self.path} layer {layer}"
        done = int(read_rows(self._file.number, outline["rows_done"]))
        if done != self.n:
            raise UnreadableInput(f"{where} has {done} of {self.n} rows; extract it again")
        return CheckedRows(where, self._file, outline["features"], read_rows(self._file.number, outline["crc32"]))

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, ours: bool = False) -> FeatureStore:
        """Open a feature file; ``ours`` if this process wrote it a moment ago, so that it needs no second look.

        Raises:
            UnreadableInput: missing, of another kind, incomplete, damaged or unsafe.
        """
        path = require_readable(path)
        try:
            with reading(path):
                outline = outline_of(path, ours=ours)
                if outline["status"] != "complete":
                    raise UnreadableInput(f"{path} is incomplete; run kernelscope extract again to resume it")
                return cls(path, outline)
        except EOFError as error:
            raise UnreadableInput(f"{path} is cut short ({error}); extract it again") from error

    kept = True

    def __repr__(self) -> str:
        return f"<FeatureStore {self.path}: {self.n:,} examples, layers {', '.join(self.layers)}>"

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self._stated)

    @property
    def n(self) -> int:
        return len(self.ids)

    def features(self, layer: str) -> CheckedRows:
        """The layer's rows ``(n, d)``, read from disk as they are sliced."""
        return self._rows[layer]

    def read_instead(self, make: Callable[[], FeatureStore]) -> None:
        """Read from what ``make`` gives, once asked for, what this file does not give any more: it is a cache."""
        made = functools.cache(make)
        for layer, rows in self._rows.items():
            rows.instead = lambda layer=layer: made().features(layer)
        self.ids.instead = lambda: made().ids

    def pool(self, layer: str) -> str | None:
        pool: str | None = self._stated[layer]["pool"]
        return pool

    def raw_shape(self, layer: str) -> list[int]:
        """Of the layer for one example, before it was pooled; empty where the file does not state it."""
        shape: list[int] = self._stated[layer]["raw_shape"]
        return shape

    def verify(self) -> bool:
        """Check every checksum; true where all fit.

        Raises:
            UnreadableInput: naming layer and rows.
        """
        for layer in self.layers:
            self.features(layer).verify()
        return True

    def close(self) -> None:
        for rows in self._rows.values():
            rows.wait()
        self._file.close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _ids(where: str, file: OpenFile, place: Place, crc32: int | None) -> CheckedRows:
    """Ids, whose one checksum is verified now, by blocks that later readings are held against.

    Raises:
        UnreadableInput: the file names a checksum that does not fit.
    """
    running, sums = 0, []
    for first in range(0, place.shape[0], CHECKED_ROWS):
        block = read_rows(file.number, place, first, min(first + CHECKED_ROWS, place.shape[0]))
        running = zlib.crc32(block.data, running)
        sums.append(zlib.crc32(block.data))
    if crc32 not in (None, running):
        raise UnreadableInput(f"{where} is corrupt; extract it again")
    return CheckedRows(where, file, place, np.array(sums))
