"""The pickles of CIFAR's Python version, read without running anything that a file names.

A pickle is a program. This reader knows the four names that these files use, under both spellings of NumPy's module,
and puts inert stand-ins in their place: an array is made from its bytes, by us, once the file is read.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST_FILE = 400_000_000  #: the largest published one has 155,249,918 bytes
MOST_OPERATIONS = 2_000_000  #: the largest published one holds 50,000 file names and 100,000 labels
MOST_MEMO = 1_000_000  #: a memo of n entries costs 16 n bytes, whatever it holds
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


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
        _look_through(content, path)
        document = _Reader(content, path).load()
        if not isinstance(document, dict):
            raise ValueError(f"it holds a {type(document).__name__}")
        return {_key(key): _made(value) for key, value in document.items()}
    except KernelscopeError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path} needs more memory than there is; free some") from error
    except Exception as error:  # the door to a stranger's file: damaged pickles fail in any way
        raise UnreadableInput(
            f"{path} is no readable CIFAR file ({one_line(f'{type(error).__name__}: {error}', 70)}); download it again"
        ) from error


def _look_through(content: bytes, path: Path) -> None:
    """Count what the program does before it runs: it may not make much out of little."""
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if number > MOST_OPERATIONS or (operation.name in _MEMO and int(argument or 0) > MOST_MEMO):
            raise UnreadableInput(f"{path} does more than any CIFAR file needs to; download it again")


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
    if by_columns or not all(type(side) is int and side >= 0 for side in shape) or math.prod(shape) != len(content):
        raise ValueError(f"its data do not fill {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _key(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
