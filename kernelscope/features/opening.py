"""Untrusted HDF5 files: a child process reads the outline, this one reads plain bytes at the places it reports.

The HDF5 library, which crashes or hangs on some damaged files, meets them only in the child, under limits of time and
memory. What the child reports is checked against the file once more, so that no array reaches beyond its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kernelscope.errors import ResourceError, UnreadableInput
from kernelscope.features import outline as outlines
from kernelscope.features.header import Place

WAIT_SECONDS = 60  #: for the child on a busy machine; the processor time it may take is far less
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
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableInput(f"{path} has an outline that cannot be (of {error}); extract it again") from error


def _told_here(path: Path) -> dict[str, Any]:
    try:
        return outlines.read_outline(path)
    except outlines.Refused as reason:
        raise UnreadableInput(f"{path} {reason}") from reason
    except Exception as error:  # h5py raises a dozen kinds, all mean the same
        raise UnreadableInput(
            f"{path} is no readable feature file ({type(error).__name__}); extract it again"
        ) from error


def _told_by_child(path: Path) -> dict[str, Any]:
    # where this process finds its modules the child finds them too; -P: not beside outline.py
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-W", "ignore", str(Path(outlines.__file__)), str(path.absolute())]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableInput(f"{path} took longer than {WAIT_SECONDS} s to read; extract it again") from error
    except (OSError, MemoryError) as error:
        raise ResourceError(f"no process can look into {path} ({error}); free some memory") from error
    return answered(path, child.returncode, child.stdout, child.stderr)


def answered(path: Path, code: int, out: bytes, err: bytes) -> dict[str, Any]:
    """The outline from a child that ended with ``code``.

    Raises:
        UnreadableInput: it refused the file, or died of it.
    """
    if code < 0:
        raise UnreadableInput(f"{path} makes the HDF5 library crash or hang; extract it again")
    try:
        answer = json.loads(out)
        if "refused" in answer:
            raise UnreadableInput(f"{path} {answer['refused']}")
        outline: dict[str, Any] = answer["outline"]
        return outline
    except (ValueError, KeyError, TypeError) as error:
        reason = err.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
        raise UnreadableInput(f"{path} cannot be looked into ({reason[0][:80]}); extract it again") from error


def _place(stated: list[Any], size: int) -> Place:
    offset, shape, kind = stated
    place = Place(int(offset), tuple(int(length) for length in shape), np.dtype(kind))
    if kind not in TYPES or offset < 0 or min(shape, default=1) < 1 or offset + place.nbytes > size:
        raise ValueError(f"{kind} {tuple(shape)} at {offset}")
    return place


def read_at(descriptor: int, offset: int, count: int) -> np.ndarray:
    """``count`` bytes from ``offset`` on.

    Raises:
        EOFError: the file is shorter.
    """
    content = np.empty(count, np.uint8)
    view, done = memoryview(content.data), 0
    while done < count:
        got = os.preadv(descriptor, [view[done:]], offset + done)
        if got == 0:
            raise EOFError(f"file ends at byte {offset + done}, expected {offset + count}")
        done += got
    return content


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
