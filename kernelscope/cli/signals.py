"""Signals that end the program: one line and their exit code, whatever the code that they come upon makes of them."""

from __future__ import annotations

import signal
import threading

#: what a line says of each exit code, which is 128 and the signal's number
NAMES = {129: "hung up", 130: "interrupted", 143: "terminated"}

_received: list[int] = []


def install() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end the program, but for those it was started to ignore, as by ``nohup``."""
    _received.clear()
    _handle(_end, instead_of=(signal.SIG_DFL, signal.default_int_handler))


def uninstall() -> None:
    """Let them end it at once: what is left to do is to leave."""
    _handle(signal.SIG_DFL, instead_of=(_end,))


def exit_code(error: BaseException) -> int | None:
    """The code of the signal that ``error`` comes from; None if none came."""
    if _received:
        return 128 + _received[0]
    return 130 if isinstance(error, KeyboardInterrupt) else None


def _handle(handler: object, instead_of: tuple[object, ...]) -> None:
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        return
    for code in NAMES:
        number = code - 128
        if number in signal.valid_signals() and signal.getsignal(number) in instead_of:
            signal.signal(number, handler)  # type: ignore[arg-type]


class _Ended(KeyboardInterrupt):
    """A class of its own: after a bare KeyboardInterrupt in an ``exec``, Python kills itself though it was caught."""


def _end(number: int, frame: object) -> None:
    _received.append(number)
    raise _Ended
