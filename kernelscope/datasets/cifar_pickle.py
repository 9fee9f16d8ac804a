"""The pickles of CIFAR's Python version, read without running anything that a file names.

A pickle is a program. This reader knows the four names that these files use, under both spellings of NumPy's module,
and puts inert stand-ins in their place: an array is made from its bytes, by us, once the file is read.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, one_line
from kernelscope.pickles import program
from kernelscope.pickles.things import BYTES, Dialect, UnsafeProgram, operations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernelscope.pickles.things import Thing

LARGEST_FILE = 400_000_000  #: the largest published one has 155,249,918 bytes
MOST_SIDES = 32  #: of an array
_MAKES = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.dtype", BYTES)


def _require_harmless(call: str, arguments: tuple[Thing, ...]) -> None:
    """Arrays, their kinds and bytes are all that is made."""
    if call not in _MAKES:
        raise UnsafeProgram(f"a call of {call}")


#: what Python 2 and 3 write of these files in protocols 0 to 4
CIFAR = Dialect(
    operations=operations(
        "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT STRING "
        "BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
        "EMPTY_LIST EMPTY_DICT EMPTY_TUPLE LIST DICT TUPLE TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT MEMOIZE GET "
        "BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD APPEND APPENDS SETITEM SETITEMS"
    ),
    most=500_000,  # the largest published one holds 50,000 file names and 100,000 labels
    require_harmless=_require_harmless,
    names=frozenset({*_MAKES, "numpy.ndarray"}),
    flat=True,
    line=LARGEST_FILE,
    most_memo=1_000_000,
)


def read_pickle(path: Path) -> dict[str, Any]:
    """The dict in a file, its keys as text and its arrays as arrays.

    Raises:
        UnreadableInput: not such a file: damaged, too large, or one that names anything else than CIFAR's four.
        ResourceError: memory that is not there.
    """
    path = files.require_readable(path)
    if path.stat().st_size > LARGEST_FILE:
        raise UnreadableInput(f"{path} has {path.stat().st_size:,} bytes, more than any CIFAR file; download it again")
    try:
        content = path.read_bytes()
        program.survey(io.BytesIO(content), len(content), CIFAR)
        document = _Reader(content, path).load()
        if not isinstance(document, dict):
            raise ValueError(f"it holds a {type(document).__name__}")
        return {_key(key): _made(value) for key, value in document.items()}
    except KernelscopeError:
        raise
    except UnsafeProgram as error:
        raise UnreadableInput(f"{path} holds {error}, which no CIFAR file does; do not trust it") from error
    except MemoryError as error:
        raise ResourceError(f"{path} needs more memory than there is; free some") from error
    except Exception as error:  # the door to a stranger's file: damaged pickles fail in any way
        raise UnreadableInput(
            f"{path} is no readable CIFAR file ({one_line(f'{type(error).__name__}: {error}', 70)}); download it again"
        ) from error


class _Reader(pickle.Unpickler):
    """Resolves four names to stand-ins that are made anew for every file, and no other."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._path = path
        array, dtype, reconstruct, encode = _stand_ins()
        self._known: dict[tuple[str, str], Any] = {("_codecs", "encode"): encode}
        for package in ("numpy.core", "numpy._core"):
            self._known[f"{package}.multiarray", "_reconstruct"] = reconstruct
        self._known |= {("numpy", "ndarray"): array, ("numpy", "dtype"): dtype}

    def find_class(self, module: str, name: str) -> object:
        """Nothing is imported: a name is one of the four, or the file is refused."""
        found = self._known.get((module, name))
        if found is None:
            named = one_line(f"{_key(module)}.{_key(name)}", 60)
            raise UnreadableInput(f"{self._path} names {named}, which no CIFAR file does; do not trust it")
        return found

    def persistent_load(self, pid: object) -> object:
        """No CIFAR file refers to objects outside of it."""
        raise UnreadableInput(f"{self._path} refers to an object outside of it; do not trust it")


class Carried:
    """What stands for an array until the file is read: the state it was given, if that is one of bytes."""

    state: Any = None


def _stand_ins() -> tuple[type, type, Callable[..., Any], Callable[..., Any]]:
    class Array(Carried):
        def __setstate__(self, state: object) -> None:
            self.state = state

    class Kind:
        def __init__(self, name: object = None, *arguments: object) -> None:
            self.name = _key(name)

        def __setstate__(self, state: object) -> None:
            """Byte order and the like: single bytes have none."""

    def reconstruct(*arguments: object) -> object:
        return Array()

    def encode(text: object, codec: object = None) -> bytes:
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise ValueError("an encoding that no CIFAR file uses")
        return text.encode("latin-1")

    return Array, Kind, reconstruct, encode


def _made(value: object) -> object:
    """The array that a stand-in carries: whole bytes of the shape it states, row by row."""
    if not isinstance(value, Carried):
        return value
    _, shape, kind, by_columns, content = value.state
    if getattr(kind, "name", None) not in ("u1", "|u1") or not isinstance(content, bytes):
        raise ValueError("its data are no bytes")
    sides = shape if isinstance(shape, tuple) and len(shape) <= MOST_SIDES else (-1,)
    inside = all(type(side) is int and 0 <= side <= len(content) for side in sides)
    if by_columns or not inside or math.prod(sides) != len(content):
        raise ValueError(f"its {len(content):,} bytes do not fill the shape it states")
    return np.frombuffer(content, np.uint8).reshape(sides)


def _key(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
