"""stdout and stderr as any system has them: closed, a pipe that ended, a full disk, an encoding with few letters."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import time
import unicodedata
from typing import TextIO

#: signs that are not in every encoding, in those that are; letters and raised figures follow from their names
PLAIN = {
    "‖": "||", "−": "-", "–": "-", "—": "-", "×": "x", "·": "*", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+/-",
    "→": "->", "←": "<-", "√": "sqrt", "Σ": "sum ", "Δ": "d", "∞": "inf", "⟨": "<", "⟩": ">", "’": "'", "‘": "'",
    "“": '"', "”": '"', "°": " degrees", "•": "*", "─": "-", "━": "-", "│": "|", "┃": "|", "╸": "-", "╺": "-",
    "…": "...",
}  # fmt: skip
HANDLER = "kernelscope.plain"


def install() -> None:
    """Make both streams write whatever they are given, if they are the process's own."""
    codecs.register_error(HANDLER, _plainly)
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would get its number, and what is printed
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _lasting(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__, 2)


def flush() -> None:
    """Write what waits.

    Raises:
        OSError: stdout takes no more, and not because its reader has had enough.
    """
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Descriptor) and raw.failed is not None:
        raise raw.failed


def say(text: object = "", *, err: bool = False) -> None:
    """Print at once; not by ``click.echo``, which writes UTF-8 to streams that have only ASCII."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


class EveryMinute:
    """Says a line on stderr at most once a minute: progress where stderr is no terminal."""

    SECONDS = 60.0

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, line: str) -> None:
        if (now := time.monotonic()) - self._said >= self.SECONDS:
            self._said = now
            say(line, err=True)


def say_json(document: str) -> None:
    """Print a JSON document, with JSON's own escapes where the stream lacks letters."""
    try:
        document.encode(sys.stdout.encoding or "utf-8")
    except UnicodeError:
        document = re.sub("[^\\x00-\\x7f]", lambda found: json.dumps(found[0])[1:-1], document)
    say(document)


class _Descriptor(io.FileIO):
    """Writes to a descriptor until that fails, and then nowhere: the work goes on, and its exit code stands."""

    failed: OSError | None = None
    _ended = False

    def write(self, content: object, /) -> int:
        if not self._ended:
            try:
                return super().write(content)  # type: ignore[arg-type]
            except BrokenPipeError:
                self._ended = True
            except OSError as error:
                error.filename = "<stdout>"
                self._ended, self.failed = True, error
        return memoryview(content).nbytes  # type: ignore[arg-type]


def _lasting(stream: TextIO | None, own: TextIO | None, number: int) -> TextIO:
    if stream is not own:  # redirected within the process
        return stream or io.StringIO()
    if sys.platform == "win32" and stream is not None and stream.isatty():  # a console is no file
        return stream
    encoding = "utf-8" if stream is None else stream.encoding
    if stream is not None:
        stream.flush()
    raw = io.BufferedWriter(_Descriptor(number, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding, HANDLER, line_buffering=number == 2 or os.isatty(number), newline=None)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(letter: str) -> str:
    """``||``, ``^2``, ``lambda``, ``e`` for ``é``; else the letter's number."""
    if letter in PLAIN:
        return PLAIN[letter]
    if base := unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode():
        kind = unicodedata.decomposition(letter).partition(">")[0]
        return {"<super": "^", "<sub": "_"}.get(kind, "") + base
    name = unicodedata.name(letter, "").lower()
    return name.split()[-1] if name.startswith("greek") else letter.encode("ascii", "backslashreplace").decode()
