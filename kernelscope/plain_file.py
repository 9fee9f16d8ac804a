"""Plain bytes of a file that stays open, and stays as it was opened.

Nothing is mapped into memory: a mapped file that somebody cuts short ends the process by a signal.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import UnreadableInput, shown

if TYPE_CHECKING:
    from pathlib import Path


class OpenFile:
    """A descriptor that closes with its last user."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, os.open(path, os.O_RDONLY)
        self._state = self.size, _ = self._stated()
        self._close = weakref.finalize(self, _close, self.number)

    def read_at(self, offset: int, count: int) -> np.ndarray:
        """``count`` bytes from ``offset`` on.

        Raises:
            UnreadableInput: the file was written since it was opened. EOFError: it is shorter.
        """
        try:
            return read_at(self.number, offset, count)
        finally:
            self.require_unchanged()

    def require_unchanged(self) -> None:
        """Refuse a file that was written since it was opened."""
        if self._stated() != self._state:
            raise UnreadableInput(f"{shown(self.path)} changed while it was read; run again when nothing writes it")

    def close(self) -> None:
        self.number = -1  # not a number that the next file to be opened may get
        self._close()

    def _stated(self) -> tuple[int, int]:
        found = os.fstat(self.number)
        return found.st_size, found.st_mtime_ns


def _close(number: int) -> None:
    with contextlib.suppress(OSError):  # nothing was written that could be lost
        os.close(number)


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
