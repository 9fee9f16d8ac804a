"""Rows put aside in a temporary file without a name, which the system frees with its last user, however that ends."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope.files import require_space, writing
from kernelscope.plain_file import OpenFile, close_number, write_at

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spool(OpenFile):
    """A file in the system's folder for temporary ones (``$TMPDIR``), written and read at any place.

    Raises:
        ResourceError: no such folder, or no room there for ``needed_bytes``.
    """

    def __init__(self, needed_bytes: int) -> None:
        with writing("the folder for temporary files"):
            folder = Path(tempfile.gettempdir())
        self.path = folder / "rows in a temporary file"
        require_space(folder, needed_bytes)
        with writing(self.path):
            self.number = _without_name(folder)
        self.size, self._released = 0, False
        self._close = weakref.finalize(self, close_number, self.number)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Its descriptor; nobody else can write the file."""
        yield self.number

    def write_at(self, offset: int, content: Any) -> None:
        """All of ``content`` from ``offset`` on.

        Raises:
            ResourceError: the disk is full, or fails.
        """
        with writing(self.path):
            write_at(self.number, offset, content)
        self.size = max(self.size, offset + memoryview(content).nbytes)


def _without_name(folder: Path) -> int:
    """A descriptor of a new file that nobody else finds."""
    if kind := getattr(os, "O_TMPFILE", 0):
        with contextlib.suppress(OSError):  # not every file system has them
            return os.open(folder, kind | os.O_RDWR, 0o600)
    number, name = tempfile.mkstemp(dir=folder)
    Path(name).unlink()
    return number
