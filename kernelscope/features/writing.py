"""Writing a feature store so that a kill, a full disk or a second writer costs at most the last block.

``NAME.partial`` with a lock of its own; contiguous datasets created at full size; rows, checksum and counter flushed
block by block; synced and renamed when complete. A run with the same configuration goes on where the last one stopped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kernelscope import files
from kernelscope.errors import Mismatch, ResourceError, UnreadableInput
from kernelscope.features.store import CHECKED_ROWS, FORMAT, FORMAT_VERSION, FeatureStore


class FeatureWriter:
    """Appends rows of several layers in step; use :func:`feature_writer`."""

    def __init__(self, file: h5py.File, n: int, dtype: str) -> None:
        self._file, self._n, self._dtype = file, n, dtype
        self._layers: dict[str, h5py.Group] = {}
        for group in file["layers"].values() if "layers" in file else ():
            self._layers[str(group["features"].attrs["name"])] = group

    @property
    def rows_done(self) -> int:
        """Rows that every layer holds already."""
        return min((int(group["rows_done"][()]) for group in self._layers.values()), default=0)

    @property
    def laid_out(self) -> bool:
        """Whether the layers exist, from this run or the one before."""
        return bool(self._layers)

    def create_layers(self, described: dict[str, dict[str, Any]]) -> None:
        """Lay out every layer at full size: ``{name: {"width", "pool", "raw_shape", "torch_dtype"}}``.

        Raises:
            ResourceError: if the disk cannot take them.
        """
        item = np.dtype(self._dtype).itemsize
        files.require_space(
            Path(self._file.filename).parent, sum(self._n * d["width"] * item for d in described.values())
        )
        for number, (name, d) in enumerate(described.items()):
            group = self._file.create_group(f"layers/{number:04d}")
            data = group.create_dataset("features", (self._n, d["width"]), self._dtype)
            data.attrs.update(
                name=name, pool=d["pool"], raw_shape=json.dumps(d["raw_shape"]), torch_dtype=d["torch_dtype"]
            )
            group.create_dataset("crc32", (-(-self._n // CHECKED_ROWS),), "u4")
            group.create_dataset("rows_done", (), "i8")
            self._layers[name] = group
        self._file.flush()

    def write(self, start: int, rows: dict[str, np.ndarray]) -> None:
        """Rows ``start:…`` of every layer, flushed before they are counted."""
        for name, block in rows.items():
            data = self._layers[name]["features"]
            if block.shape[1] != data.shape[1]:
                raise Mismatch(
                    f"layer {name} gives {block.shape[1]} features from row {start} on and {data.shape[1]} before; "
                    "use inputs of one size"
                )
            data[start : start + len(block)] = block
        self._file.flush()
        for name, block in rows.items():
            group = self._layers[name]
            stop = start + len(block)
            self._sum_blocks(group, start, stop)
            group["rows_done"][()] = stop
        self._file.flush()

    def _sum_blocks(self, group: h5py.Group, start: int, stop: int) -> None:
        """Checksums of the blocks that ``start:stop`` completes."""
        for number in range(start // CHECKED_ROWS, -(-stop // CHECKED_ROWS)):
            last = min((number + 1) * CHECKED_ROWS, self._n)
            if last <= stop:
                group["crc32"][number] = zlib.crc32(group["features"][number * CHECKED_ROWS : last])

    def note(self, **attributes: Any) -> None:
        """Attributes of the file; None leaves one out."""
        self._file.attrs.update({key: value for key, value in attributes.items() if value is not None})


@contextlib.contextmanager
def feature_writer(
    out: str | os.PathLike[str],
    *,
    config: dict[str, Any],
    ids: np.ndarray,
    order_sha256: str,
    source: str,
    labels: np.ndarray | None,
    classes: tuple[str, ...],
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
    config_text = json.dumps(config, sort_keys=True)
    with files.lock(out.with_name(out.name + ".lock")), _disk_errors(out):
        file = _open_partial(partial, config_text, overwrite)
        try:
            if "samples" not in file:
                file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, status="partial", config=config_text)
                samples = file.create_group("samples")
                samples.create_dataset("id", data=ids).attrs.update(order_sha256=order_sha256, source=source)
                if labels is not None:
                    samples.create_dataset("label", data=labels.astype("i8")).attrs["classes"] = json.dumps(
                        list(classes)
                    )
                file.create_group("layers")
            yield FeatureWriter(file, len(ids), dtype)
            file.attrs["status"] = "complete"
        finally:
            file.close()
        files.sync(partial)
        partial.replace(out)
        files.sync_folder(out.parent)


def _open_partial(partial: Path, config: str, overwrite: bool) -> h5py.File:
    """The unfinished file of an earlier run with the same configuration, or a new one."""
    if partial.exists() and not overwrite:
        try:
            file = h5py.File(partial, "r+")
        except OSError:
            partial.unlink()  # killed before its first flush: nothing in it can be used
        else:
            if file.attrs.get("config") == config:
                return file
            known = "config" in file.attrs
            file.close()
            if known:
                raise Mismatch(f"{partial} was begun with other settings; delete it or pass --overwrite")
    return h5py.File(partial, "w")


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"disk full while writing {out}; free some space and run again to go on") from error
        raise


def reopen(out: str | os.PathLike[str]) -> FeatureStore:
    """The finished store."""
    try:
        return FeatureStore.open(out)
    except UnreadableInput as error:  # we wrote it a moment ago: the disk, not a stranger
        raise ResourceError(f"{out} cannot be read back ({error}); check the disk") from error
