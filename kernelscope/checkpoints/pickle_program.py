"""What a pickle would do, found out without doing it: the classes it names, how it fills them, and what it costs.

A pickle is a program for a small stack machine. It is followed here over stand-ins, with exactly the operations that
``torch.load(weights_only=True)`` knows, so that what is about to be loaded is known beforehand.
"""

from __future__ import annotations

import _compat_pickle
import pickle
import pickletools
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from kernelscope.errors import one_line

#: more operations than checkpoints have; a million of them take about three seconds
MAX_OPERATIONS = 2_000_000
#: Python hashes a tuple by walking all of it, shared parts again and again, and by recursion in C
MAX_TUPLE_ITEMS, MAX_TUPLE_DEPTH = 1_000_000, 100
#: whole numbers beyond 64 bits can be chosen so that all of them fall on one place of a dict
MAX_LONGS = 1_000
#: longest module or class, in bytes
MAX_NAME = 1_000
#: torch looks a refused class up in a list of all of them, each time one is made
MAX_LOOKUPS = 5_000_000

#: what torch lets a pickle call, and what is made of arguments alone: these must be plain, as a set of a tensor that
#: claims a terabyte would take all its values, one by one
_OF_PLAIN = {
    "builtins.set", "builtins.complex", "collections.Counter", "collections.OrderedDict", "torch.Size", "torch.device",
    "torch.serialization._get_layout", "builtins.bytearray", "_codecs.encode",
}  # fmt: skip
_BYTES = "_codecs.encode"  #: how bytes are made
#: bytes are written as text; of a number, or through another codec, a few of them would become gigabytes
_OF_TEXT = {"builtins.bytearray", _BYTES}
_TEXT_CODECS = {"latin1", "latin-1"}
#: calls that make memory out of a number, or convert whole tensors, which no file of plain weights needs
_FORBIDDEN = re.compile(
    r"torch\.(\w+\.)?\w*(Tensor|Storage)|torch\._utils\._rebuild_(device_tensor_from_\w+|qtensor|nested_tensor)"
)
_REBUILD = "torch._utils._rebuild_"

_LEAVES = {
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "LONG1",
    "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET",
}  # fmt: skip
_FIXED = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class UnsafeProgram(ValueError):
    """A pickle that no ``torch.save`` of weights writes: unknown operations, or work without end."""


@dataclass
class Survey:
    """What a pickle names, which of these it fills like a dict or a list, and how often it makes one."""

    globals: set[str] = field(default_factory=set)
    filled: dict[str, str] = field(default_factory=dict)
    made: int = 0


@dataclass(frozen=True, slots=True)
class _Thing:
    """A stand-in: ``origin`` names the class it is made of, size and depth count the tuples in it.

    ``value`` is that of numbers and text, ``items`` those of tuples.
    """

    origin: str = ""
    size: int = 1
    depth: int = 0
    value: object = None
    items: tuple[_Thing, ...] | None = None


_LEAF = _Thing()


class _Machine:
    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.stack: list[_Thing] = []
        self.below: list[list[_Thing]] = []
        self.memo: dict[int, _Thing] = {}
        self.longs = 0

    def step(self, name: str, argument: Any) -> None:
        """One operation; IndexError or KeyError where the program takes what is not there."""
        stack = self.stack
        if name in _LEAVES:
            self._count_longs(argument) if name == "LONG1" else None
            stack.append(_LEAF if argument is None else _Thing(value=argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            full = _present_name(*argument.partition(" ")[::2])
            self.survey.globals.add(full)
            stack.append(_Thing(full))
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name in ("TUPLE", "EMPTY_TUPLE", *_FIXED):
            self._tuple(name)
        else:
            self._object(name)

    def _tuple(self, name: str) -> None:
        count = _FIXED.get(name, 0)
        items = self._pop_mark() if name == "TUPLE" else [self.stack.pop() for _ in range(count)][::-1]
        size, depth = 1 + sum(item.size for item in items), 1 + max((item.depth for item in items), default=0)
        if size > MAX_TUPLE_ITEMS or depth > MAX_TUPLE_DEPTH:
            raise UnsafeProgram("tuples nested without end")
        self.stack.append(_Thing(size=size, depth=depth, items=tuple(items)))

    def _object(self, name: str) -> None:
        if name in ("REDUCE", "NEWOBJ"):
            arguments, maker = self.stack.pop(), self.stack.pop()
            _require_harmless(maker.origin, arguments.items)
            self.stack.append(_Thing(maker.origin))
            self.survey.made += 1
        elif name in ("APPEND", "SETITEM", "BUILD"):
            for _ in range(2 if name == "SETITEM" else 1):
                self.stack.pop()
            self._fill(name)
        elif name in ("APPENDS", "SETITEMS"):
            self._pop_mark()
            self._fill(name)
        elif name == "BINPERSID":
            self.stack[-1] = _Thing("a storage")
        elif name not in ("PROTO", "STOP"):
            raise UnsafeProgram(f"pickle operation {name}")

    def _fill(self, name: str) -> None:
        target = self.stack[-1].origin
        if name == "BUILD":
            self.survey.made += 1
        elif target:
            self.survey.filled[target] = "list" if name.startswith("APPEND") else "dict"

    def _pop_mark(self) -> list[_Thing]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _count_longs(self, value: int) -> None:
        self.longs += abs(value) >= 2**64
        if self.longs > MAX_LONGS:
            raise UnsafeProgram("thousands of whole numbers beyond 64 bits")


def _present_name(module: str, name: str) -> str:
    """Protocol 2 writes names of Python 2, which torch translates: another name of a class is the same class."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def _require_harmless(call: str, arguments: tuple[_Thing, ...] | None) -> None:
    """A call that torch would make takes what ``torch.save`` gives it, and no more."""
    if arguments is None:
        raise UnsafeProgram(f"a call of {one_line(call, 40)} without a tuple")
    if call == "torch._tensor._rebuild_from_type_v2":  # calls its first argument
        call = arguments[0].origin
        if not call.startswith(_REBUILD):
            raise UnsafeProgram(f"a tensor made by {one_line(call, 40)}")
    if (found := _FORBIDDEN.fullmatch(call)) is not None:
        kinds = {"qtensor": "a quantized tensor", "nested_tensor": "a nested tensor"}
        raise UnsafeProgram(kinds.get(found[3] or "", f"a call of {one_line(call, 60)}"))
    if call in _OF_PLAIN and any(item.origin not in ("", _BYTES) for item in arguments):
        raise UnsafeProgram(f"a call of {call} on an object")
    if call in _OF_TEXT:
        texts = all(isinstance(item.value, str) or item.origin == _BYTES for item in arguments)
        if not texts or not {item.value for item in arguments[1:]} <= _TEXT_CODECS:
            raise UnsafeProgram(f"a call of {call} on something else than text")


class _Bounded:
    """A stream that is never asked for more than there is: a program may claim text of any length."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size

    def read(self, length: int) -> bytes:
        if length > self.size:
            raise ValueError(f"{length} bytes claimed of {self.size}")
        return self.stream.read(length)

    def readline(self) -> bytes:
        return self.stream.readline(MAX_NAME)


def survey(stream: BinaryIO, size: int, pickles: int = 1) -> Survey:
    """Follow the next ``pickles`` programs in a stream of ``size`` bytes.

    Raises:
        UnsafeProgram: saying what is in it that has no place there. UnpicklingError: it is damaged.
    """
    found, operations = Survey(), 0
    bounded: Any = _Bounded(stream, size)
    try:
        for _ in range(pickles):
            machine = _Machine(found)
            for operation, argument, _ in pickletools.genops(bounded):
                operations += 1
                if operations > MAX_OPERATIONS:
                    raise UnsafeProgram(f"more than {MAX_OPERATIONS:,} pickle operations")
                machine.step(operation.name, argument)
    except UnsafeProgram:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:  # it takes what is not there, or is no program
        raise pickle.UnpicklingError(str(error)) from error
    if found.made * len(found.globals) > MAX_LOOKUPS:
        raise UnsafeProgram(f"{len(found.globals):,} classes in {found.made:,} objects")
    return found
