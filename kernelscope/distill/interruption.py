"""SIGINT, SIGTERM and SIGHUP while networks train: the step is finished and the run saved before the program ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from kernelscope.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def deferred_signals() -> Iterator[Callable[[], int | None]]:
    """Signals are deferred until polled; a second one acts as it would have before.

    In other threads than the main one signals are left alone, and so are those that are ignored, as by ``nohup``.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def note(number: int, frame: object) -> None:
        received.append(number)
        _restore(before)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        _restore(before)


def stopped(number: int, message: str) -> Stopped:
    """The error to leave with after signal ``number``."""
    return Stopped(message, 128 + number)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)
