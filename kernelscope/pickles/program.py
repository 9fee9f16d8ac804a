"""What a pickle would do, found out without doing it: the names it uses, how it fills them, and what it costs.

A pickle is a program for a small stack machine. It is followed here over stand-ins, with exactly the operations that
one kind of file is made of, so that what is about to be loaded is known beforehand. What Python walks over in C, where
no signal stops it, must have an end: hashes of keys and texts of messages, and so must what it keeps.
"""

from __future__ import annotations

import codecs
import pickle
import pickletools
from typing import TYPE_CHECKING, Any, BinaryIO

from kernelscope.errors import one_line
from kernelscope.pickles.machine import Machine, keys_of
from kernelscope.pickles.things import Survey, UnsafeProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.pickles.things import Dialect


class _Bounded:
    """A stream that is never asked for more than there is: a program may claim text of any length."""

    def __init__(self, stream: BinaryIO, size: int, line: int) -> None:
        self.stream, self.size, self.line = stream, size, line

    def read(self, length: int) -> bytes:
        if length > self.size:
            raise ValueError(f"{length} bytes claimed of {self.size}")
        return self.stream.read(length)

    def readline(self) -> bytes:
        return self.stream.readline(self.line)


def _quoted(stream: _Bounded) -> bytes:
    """The text of STRING, which Python 2 wrote for any bytes; ``pickletools`` reads those of ASCII alone."""
    line = stream.readline().strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
        raise ValueError("a text without quotes")
    return codecs.escape_decode(line[1:-1])[0]


_BY_CODE = {operation.code.encode("latin-1"): operation for operation in pickletools.opcodes}


def _operations(stream: Any) -> Iterator[tuple[str, Any]]:
    """Name and argument of each operation, to the end of one program."""
    while True:
        operation = _BY_CODE.get(stream.read(1))
        if operation is None:
            raise ValueError("no operation")
        name = operation.name
        if operation.arg is None:
            yield name, None
        else:
            yield name, _quoted(stream) if name == "STRING" else operation.arg.reader(stream)
        if name == "STOP":
            return


def survey(stream: BinaryIO, size: int, dialect: Dialect, *, before: int = 0, after: int = 0) -> Survey:
    """Follow the next programs in a stream of ``size`` bytes.

    Args:
        before, after: how many small ones there are around the one that makes the document.

    Raises:
        UnsafeProgram: saying what is in it that has no place there. UnpicklingError: it is damaged.
    """
    found, done = Survey(), 0
    bounded = _Bounded(stream, size, dialect.line)
    try:
        for number in range(before + 1 + after):
            machine = Machine(dialect, found, size)
            for name, argument in _operations(bounded):
                done += 1
                if done > dialect.most:
                    raise UnsafeProgram(f"more than {dialect.most:,} pickle operations")
                machine.step(name, argument)
            result = machine.stack[-1]
            if number != before:
                machine.require_small(result)
                machine.count_keys(keys_of(result))  # what is looked up in a table
    except UnsafeProgram:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:  # it takes what is not there, or is no program
        raise pickle.UnpicklingError(one_line(str(error), 200)) from error
    return found
