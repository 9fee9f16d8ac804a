"""Plain bytes of a file that stays open, and stays as it was opened.

Nothing is mapped into memory: a mapped file that somebody cuts short ends the process by a signal.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UnreadableInput, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class OpenFile:
    """A file that stays as it was when it was opened; its descriptor closes with its last user."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, os.open(path, os.O_RDONLY)
        self._released = False
        self._state = _state(self.number)
        self.size = self._state[0]
        self._close = weakref.finalize(self, close_number, self.number)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of it, for one reading.

        Raises:
            UnreadableInput: the file was written, or another one put in its place, since it was opened.
        """
        number = os.open(self.path, os.O_RDONLY) if self._released else self.number
        try:
            yield number
        finally:
            state = _state(number)
            if self._released:
                close_number(number)
            if state != self._state:
                raise UnreadableInput(f"{shown(self.path)} changed while it was read; run again when nothing writes it")

    def read_at(self, offset: int, count: int) -> np.ndarray:
        """``count`` bytes from ``offset`` on.

        Raises:
            UnreadableInput: the file was written since it was opened. EOFError: it is shorter.
        """
        with self.opened() as number:
            return read_at(number, offset, count)

    def release(self) -> None:
        """Give the descriptor back: each reading then opens the file anew, so that many files can be read from."""
        self._released = True
        self.close()

    def close(self) -> None:
        self.number = -1  # not a number that the next file to be opened may get
        self._close()


def _state(number: int) -> tuple[int, int, int, int]:
    found = os.fstat(number)
    return found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino


def close_number(number: int) -> None:
    """Close a descriptor that was read from, or whose file nobody will look for."""
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


def write_at(file: int, offset: int, content: Any) -> None:
    """All of ``content`` from ``offset`` on."""
    view = memoryview(content).cast("B")
    while view:
        done = os.pwrite(file, view, offset)
        view, offset = view[done:], offset + done
