"""Untrusted HDF5 files: a child process reads the outline, this one reads plain bytes at the places it reports.

What the child reports (``isolated.py``) is checked against the file once more, so that no array reaches beyond its end.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import isolated
from kernelscope.errors import UnreadableInput, one_line
from kernelscope.features import outline as outlines
from kernelscope.features.header import Place
from kernelscope.plain_file import read_at

if TYPE_CHECKING:
    from pathlib import Path

FIX = "extract it again"
TYPES = {np.dtype(f"<{kind}").str for kind in ("f2", "f4", "f8", "u4", "i8", "u1")}


def outline_of(path: Path, *, ours: bool = False) -> dict[str, Any]:
    """What the file holds, see ``outline.py``, its places as :class:`Place`.

    Args:
        ours: this process wrote it a moment ago, so that no child is needed.

    Raises:
        UnreadableInput: damaged, of another kind, or in a form kernelscope never writes.
    """
    return with_places(path, _told_here(path) if ours else _told_by_child(path))


def with_places(path: Path, outline: dict[str, Any]) -> dict[str, Any]:
    """The outline with a :class:`Place` for each array, inside the file whatever the child reported."""
    try:
        size, samples = path.stat().st_size, outline["samples"]
        for owner, keys in (
            (samples, ("id", "label", "predicted", "predicted_crc32")),
            *((layer, ("features", "crc32", "rows_done")) for layer in outline["layers"]),
        ):
            owner.update({key: _place(owner[key], size) for key in keys if key in owner})
        return outline
    except Exception as error:  # a library that was made to lie tells anything, and types alone fail in many ways
        reason = one_line(f"{type(error).__name__}: {error}", 60)
        raise UnreadableInput(f"{path} has an outline that cannot be ({reason}); extract it again") from error


def _told_here(path: Path) -> dict[str, Any]:
    try:
        return outlines.read_outline(path)
    except isolated.Refused as reason:
        raise UnreadableInput(f"{path} {reason}") from reason
    except Exception as error:  # h5py raises a dozen kinds, all mean the same
        raise UnreadableInput(
            f"{path} is no readable feature file ({type(error).__name__}); extract it again"
        ) from error


def _told_by_child(path: Path) -> dict[str, Any]:
    return answered(path, *isolated.ask(outlines.__file__, path, fix=FIX))


def answered(path: Path, code: int, out: bytes, err: bytes) -> dict[str, Any]:
    """The outline from a child that ended with ``code``.

    Raises:
        UnreadableInput: it refused the file, or died of it.
    """
    outline: dict[str, Any] = isolated.answered("outline", path, code, out, err, fix=FIX)
    return outline


def _place(stated: list[Any], size: int) -> Place:
    offset, shape, kind = stated
    if kind not in TYPES:
        raise ValueError(f"type {kind}")
    place = Place(int(offset), tuple(int(length) for length in shape), np.dtype(kind))
    if offset < 0 or min(shape, default=1) < 1 or offset + place.nbytes > size:
        raise ValueError(f"{kind} {tuple(shape)} at {offset}")
    return place


def read_rows(descriptor: int, place: Place, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Rows ``start:stop`` of an array; the whole of it by default."""
    if not place.shape:
        (value,) = read_at(descriptor, place.offset, place.nbytes).view(place.dtype)
        return np.asarray(value)
    stop = place.shape[0] if stop is None else stop
    content = read_at(descriptor, place.offset + start * place.row_bytes, (stop - start) * place.row_bytes)
    return content.view(place.dtype).reshape(stop - start, *place.shape[1:])


def read_checked(descriptor: int, place: Place, crc32: int | None, where: str) -> np.ndarray:
    """The whole array.

    Raises:
        UnreadableInput: its checksum, if the file names one, does not fit.
    """
    rows = read_rows(descriptor, place)
    if crc32 is not None and zlib.crc32(rows.data) != crc32:
        raise UnreadableInput(f"{where} is corrupt; extract it again")
    return rows
