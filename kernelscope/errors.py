"""Errors a caller can fix, each with the exit code the command line ends with.

A message reads ``WHAT WHERE; FIX``: one line, lower case, no full stop, with the numbers expected and found.
Every class also inherits the builtin a Python caller would expect to catch. Messages are written with the command
line's options; to a Python caller they name the keywords that these become.
"""

from __future__ import annotations

import functools
import math
import re

TYPE_CHECKING = False  # checkers take it for true; importing typing would delay what ends a Ctrl-C in one line
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

_OPTION = re.compile(
    r"(?<![\w-])(?<!install )--(?P<name>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)"
    r"(?: (?P<placeholder>[A-Z][A-Z0-9]*(?:=[A-Z]+)?)\b| (?P<word>ids|inner|all|blocked|auto|kmeans:\d+|grid:\w+)\b|"
    r" (?P<number>\d+(?:\.\d+)?)\b)?"
)
#: options without a value, and those whose keyword has another name
_FLAGS = {
    "centre",
    "normalize",
    "untrained",
    "skip-unreadable",
    "overwrite",
    "plan",
    "resume",
    "dry-run",
    "verify",
    "amp",
    "flip",
    "deterministic",
    "reproducible",
}
_KEYWORDS = {
    "max-memory": "memory_bytes",
    "max": "at_most",
    "min": "at_least",
    "reference": "references",
    "input": "shape",
}
_NEGATED = {"cache", "features", "accuracy_check"}  #: keywords whose options say no
_writes_options = False


def write_options(on: bool) -> None:
    """Whether messages name options, as the command line does, or keywords."""
    global _writes_options
    _writes_options = on


def with_keywords(text: str) -> str:
    """``text`` with ``split=`` for ``--split NAME``, ``centre=True`` for ``--centre``, ``x=False`` for ``--no-x``."""
    return _OPTION.sub(_keyword, text)


def _keyword(found: re.Match[str]) -> str:
    option = found["name"]
    if option.startswith("no-"):
        return f"{option[3:].replace('-', '_')}=False"
    name = _KEYWORDS.get(option, option.replace("-", "_"))
    if option in _FLAGS:
        return f"{name}=True"
    return f"{name}={found['number'] or (repr(found['word']) if found['word'] else '')}"


def option_of(keyword: str) -> str:
    """The option that becomes this keyword, to be named in a message."""
    option = next((name for name, named in _KEYWORDS.items() if named == keyword), keyword.replace("_", "-"))
    return f"--no-{option}" if keyword in _NEGATED else f"--{option}"


class KernelscopeError(Exception):
    """Base of everything a caller can fix."""

    exit_code = 1

    def __str__(self) -> str:
        text = super().__str__()
        return text if _writes_options else with_keywords(text)


class UsageError(KernelscopeError, ValueError):
    """The call itself is wrong: unknown option or layer, an output that exists (exit 2)."""

    exit_code = 2


class CallError(UsageError, TypeError):
    """Arguments by their place where they are taken by name (exit 2)."""


class UnreadableInput(KernelscopeError, OSError):
    """A file is missing, empty, corrupt, of another kind, or unsafe to read (exit 3)."""

    exit_code = 3


class Mismatch(KernelscopeError, ValueError):
    """Inputs do not belong to each other: rows, labels, keys, shapes (exit 4)."""

    exit_code = 4


class NumericalError(KernelscopeError, ArithmeticError):
    """NaN or Inf features, a kernel without a norm, a precision that was not reached (exit 5)."""

    exit_code = 5


class DegenerateKernel(NumericalError):
    """A kernel is zero where the quantity divides by its norm (exit 5)."""


class GateFailed(KernelscopeError):
    """A gate on a report's field did not pass (exit 6)."""

    exit_code = 6


class ResourceError(KernelscopeError, OSError):
    """Disk, memory or a lock is not available (exit 7)."""

    exit_code = 7


class Stopped(KeyboardInterrupt):
    """A signal ended the work after what was done had been saved (exit 130 or 143)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def by_name(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which tells whoever calls it with a teacher and a student by their place how it is called."""

    @functools.wraps(function)
    def called(*places: P.args, **names: P.kwargs) -> R:
        if places:
            name = function.__name__
            raise CallError(f"{name} takes a teacher and a student by name; call {name}(teacher=..., student=...)")
        return function(*places, **names)

    return called


def one_line(text: str, limit: int = 200) -> str:
    """``text`` on one line of at most ``limit`` characters, control characters stripped."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def encodable(text: str) -> str:
    r"""``text`` with what no encoding has, lone surrogates for bytes that were no text, as ``\xff``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # not of a file's name
        return text.encode("utf-8", "backslashreplace").decode()


def plain(text: object) -> str:
    """``text`` without control, direction and other invisible characters, which can forge what a reader sees."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def shown(path: object, limit: int = 100) -> str:
    """The end of a path, which names it better than its beginning, so that a line has room for what is wrong."""
    text = one_line(encodable(str(path)), 4096)
    return text if len(text) <= limit else f"…{text[1 - limit :]}"


def in_seconds(count: float) -> str:
    """``1.2 s``, ``3 min``, ``2.5 h``: a time in the unit that shows it best."""
    if count < 100:
        return f"{count:.2g} s" if count < 10 else f"{count:.0f} s"
    return f"{count / 60:.0f} min" if count < 100 * 60 else f"{count / 3600:.1f} h"


def in_bytes(count: float) -> str:
    """``1.5 MB``: a size in the unit that shows it best."""
    power = min(4, max(0, int(math.log10(max(count, 1)) / 3)))
    unit, number = ("bytes", "kB", "MB", "GB", "TB")[power], count / 1000**power
    return f"{number:,.0f} {unit}" if power == 0 or number >= 100 else f"{number:,.1f} {unit}"
