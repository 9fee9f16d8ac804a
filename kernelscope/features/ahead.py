"""Rows that are read forwards, a block at a time, and the next block on a thread meanwhile."""

from __future__ import annotations

import _thread
import contextlib
import os
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_BYTES = 1 << 20  #: a block that takes longer to read than a thread to start


class Ahead:
    """Block ``number``, being read while its reader is busy with the one before; the thread ends with the block.

    Reading and checksums leave the interpreter to others, as arithmetic does.

    Raises:
        RuntimeError: no thread can be started.
    """

    def __init__(self, read: Callable[[int], np.ndarray], number: int) -> None:
        self._number, self._process = number, os.getpid()
        self._block: Future[np.ndarray] = Future()
        # not threading.Thread, whose start() waits for the thread: that takes longer than a block does to be read
        _thread.start_new_thread(self._run, (read,))

    def _run(self, read: Callable[[int], np.ndarray]) -> None:
        try:
            self._block.set_result(read(self._number))
        except BaseException as error:  # whatever it is, it belongs to who asks for the block
            self._block.set_exception(error)

    def holds(self, number: int) -> bool:
        """Whether it is that block, and comes: in a process forked meanwhile nobody reads it."""
        return number == self._number and os.getpid() == self._process

    def block(self) -> np.ndarray:
        """The block once it is there, or what went wrong, raised here."""
        return self._block.result()

    def wait(self) -> None:
        """Until the thread needs the file no more."""
        if os.getpid() == self._process:
            self._block.exception()


class ForwardRows(ABC):
    """Rows of a file in blocks of ``block_rows``.

    The last block stays in memory, so that reading forwards in smaller steps reads every byte once, and the next one is
    read meanwhile.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, block_rows: int) -> None:
        self.shape, self.dtype, self.block_rows = shape, dtype, block_rows
        self._kept: tuple[int, np.ndarray] = (-1, np.empty(0))
        self._ahead: Ahead | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step < 1 or stop <= start:
            return np.empty((0, *self.shape[1:]), self.dtype) if step > 0 else self[:][rows]
        first, last = start // self.block_rows, (stop - 1) // self.block_rows
        blocks = [self._block(number) for number in range(first, last + 1)]
        whole = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        offset = first * self.block_rows
        return whole[start - offset : stop - offset : step]

    def _block(self, number: int) -> np.ndarray:
        """Read-only, as the next reader may be given the same memory."""
        if self._kept[0] == number:
            return self._kept[1]
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.holds(number):
            block = ahead.block()
        else:
            if ahead is not None:  # one reads at a time
                ahead.wait()
            block = self._read(number)
        block.flags.writeable = False
        blocks = -(-self.shape[0] // self.block_rows)
        if number == self._kept[0] + 1 < blocks - 1 and block.nbytes >= AHEAD_BYTES:
            with contextlib.suppress(RuntimeError):  # without a thread it is read when it is asked for
                self._ahead = Ahead(self._read, number + 1)
        self._kept = (number, block)
        return block

    @abstractmethod
    def _read(self, number: int) -> np.ndarray:
        """The ``number``-th block, from the file."""

    def _span(self, number: int) -> tuple[int, int]:
        """The rows of a block."""
        return number * self.block_rows, min((number + 1) * self.block_rows, self.shape[0])

    def wait(self) -> None:
        """Until no thread reads the file."""
        if self._ahead is not None:
            self._ahead.wait()

    def let_go(self) -> None:
        """Keep no block."""
        self.wait()
        self._kept, self._ahead = (-1, np.empty(0)), None
