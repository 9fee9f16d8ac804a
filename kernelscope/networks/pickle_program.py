"""What a pickle would do, found out without doing it: the classes it names, how it fills them, and what it costs.

A pickle is a program for a small stack machine. It is followed here over stand-ins, with exactly the operations that
``torch.load(weights_only=True)`` knows, so that what is about to be loaded is known beforehand.
"""

from __future__ import annotations

import pickle
import pickletools
from dataclasses import dataclass, field
from typing import Any, BinaryIO

#: more operations than any real checkpoint has; torch runs about a million of them in a second
MAX_OPERATIONS = 5_000_000
#: Python hashes a tuple by walking all of it, shared parts again and again, and by recursion in C
MAX_TUPLE_ITEMS, MAX_TUPLE_DEPTH = 1_000_000, 100
#: whole numbers beyond 64 bits can be chosen so that all of them fall on one place of a dict
MAX_LONGS = 1_000
#: torch looks a refused class up in a list of all of them, each time one is made
MAX_LOOKUPS = 20_000_000

_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as protocol 2 writes them
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
    """A stand-in: ``origin`` names the class it is made of, size and depth count the tuples in it."""

    origin: str = ""
    size: int = 1
    depth: int = 0


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
            stack.append(_LEAF)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            module, _, qualified = argument.partition(" ")
            full = f"{_OLD_NAMES.get(module, module)}.{qualified}"
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
        items = self._pop_mark() if name == "TUPLE" else [self.stack.pop() for _ in range(_FIXED.get(name, 0))]
        size, depth = 1 + sum(item.size for item in items), 1 + max((item.depth for item in items), default=0)
        if size > MAX_TUPLE_ITEMS or depth > MAX_TUPLE_DEPTH:
            raise UnsafeProgram("tuples nested without end")
        self.stack.append(_Thing(size=size, depth=depth))

    def _object(self, name: str) -> None:
        if name in ("REDUCE", "NEWOBJ"):
            self.stack.pop()
            maker = self.stack.pop()
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
            self.stack[-1] = _LEAF
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


class _Bounded:
    """A stream that is never asked for more than there is: a program may claim text of any length."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size, self.readline = stream, size, stream.readline

    def read(self, length: int) -> bytes:
        if length > self.size:
            raise ValueError(f"{length} bytes claimed of {self.size}")
        return self.stream.read(length)


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
