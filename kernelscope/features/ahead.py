"""One block of rows read ahead, on a thread, of whoever reads a file forwards."""

from __future__ import annotations

import _thread
import os
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


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
