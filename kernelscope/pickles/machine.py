"""The small stack machine that a pickle is a program for, over stand-ins."""

from __future__ import annotations

import _compat_pickle
from typing import TYPE_CHECKING, Any

from kernelscope.errors import one_line
from kernelscope.pickles.things import (
    BYTES,
    MAX_ALL_PARTS,
    MAX_LONGS,
    MAX_NAME,
    MAX_OTHER_KEYS,
    MAX_PARTS,
    MAX_TUPLE_DEPTH,
    MAX_TUPLE_ITEMS,
    TEXT_CODECS,
    Thing,
    UnsafeProgram,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.pickles.things import Dialect, Survey

_FIXED = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY = {"EMPTY_LIST": "list", "EMPTY_DICT": "dict", "EMPTY_SET": "set"}
_CONSTANTS = {
    name: Thing("value", value=value) for name, value in (("NONE", None), ("NEWTRUE", True), ("NEWFALSE", False))
}


class Machine:
    """Follows one program."""

    def __init__(self, dialect: Dialect, survey: Survey, size: int) -> None:
        self.dialect, self.survey = dialect, survey
        self.stack: list[Thing] = []
        self.below: list[list[Thing]] = []
        self.memo: dict[int, Thing] = {}
        self.longs = self.other_keys = self.parts = 0
        self.text_left = size

    def step(self, name: str, argument: Any) -> None:
        """One operation; IndexError or KeyError where the program takes what is not there."""
        if name not in self.dialect.operations:
            raise UnsafeProgram(f"pickle operation {name}")
        _STEPS[name](self, name, argument)

    def _constant(self, name: str, argument: None) -> None:
        self.stack.append(_CONSTANTS[name])

    def _text(self, name: str, argument: str | bytes) -> None:
        length = len(argument)
        self.stack.append(Thing("text", size=1 + length // MAX_NAME, value=argument[:MAX_NAME], length=length))

    def _value(self, name: str, argument: float) -> None:
        self.longs += isinstance(argument, int) and abs(argument) >= 2**64
        if self.longs > MAX_LONGS:
            raise UnsafeProgram("thousands of whole numbers beyond 64 bits")
        self.stack.append(Thing("value", value=argument))

    def _get(self, name: str, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def _put(self, name: str, argument: int | None) -> None:
        place = len(self.memo) if argument is None else argument
        if not 0 <= place <= self.dialect.most_memo:
            raise UnsafeProgram(f"a memo of {place:,} places")
        self.memo[place] = self.stack[-1]

    def _mark(self, name: str, argument: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _empty(self, name: str, argument: None) -> None:
        self.stack.append(Thing(_EMPTY[name], items=[]))

    def _filled(self, name: str, argument: None) -> None:
        """LIST and DICT, which take all since the mark."""
        items = self._pop_mark()
        self.stack.append(Thing(name.lower(), items=[]))
        self._fill(items, by_key=name == "DICT")

    def _name(self, name: str, argument: str | None) -> None:
        if argument is None:
            named, module = self.stack.pop(), self.stack.pop()
            if not (named.is_key and module.is_key):
                raise UnsafeProgram("a name that is no short text")
            argument = f"{module.value} {named.value}"
        full = _present_name(*argument.partition(" ")[::2])
        if self.dialect.names is not None and full not in self.dialect.names:
            raise UnsafeProgram(f"the name {one_line(full, 60)}")
        self.survey.globals.add(full)
        self.stack.append(Thing("name", full))

    def _tuple(self, name: str, argument: None) -> None:
        count = _FIXED.get(name, 0)
        items = self._pop_mark() if name == "TUPLE" else [self.stack.pop() for _ in range(count)][::-1]
        size, depth = 1 + sum(item.size for item in items), 1 + max((item.depth for item in items), default=0)
        if size > MAX_TUPLE_ITEMS or depth > MAX_TUPLE_DEPTH:
            raise UnsafeProgram("tuples nested without end")
        self.stack.append(Thing("tuple", size=size, depth=depth, items=tuple(items)))

    def _make(self, name: str, argument: None) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self._call(maker, arguments)
        items = list(arguments.items)
        if maker.origin == BYTES and items:
            self.stack.append(Thing("text", BYTES, items[0].size, value=items[0].value, length=items[0].length))
        else:
            self.stack.append(Thing("object", maker.origin, size=arguments.size, items=items))
        self.survey.made += 1

    def _one(self, name: str, argument: None) -> None:
        """APPEND and SETITEM."""
        items = [self.stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        self._fill(items, by_key=name == "SETITEM")

    def _several(self, name: str, argument: None) -> None:
        """APPENDS and SETITEMS."""
        self._fill(self._pop_mark(), by_key=name == "SETITEMS")

    def _build(self, name: str, argument: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if target.kind != "object" or (self.dialect.flat and state.kind != "tuple"):
            raise UnsafeProgram("a state for what has none")
        if target.origin in _HASHING:
            self.count_keys(_firsts(state))
        self.survey.made += 1

    def _storage(self, name: str, argument: None) -> None:
        """``("storage", its class, key, device, length)``; old files say as much of a network's code."""
        thing = self.stack.pop()
        items = list(thing.items) if thing.kind == "tuple" else []
        if len(items) < 4 or not (items[0].is_key and items[2].is_key and items[3].kind == "text"):
            raise UnsafeProgram("a reference to no storage")
        self.require_small(thing)
        self.stack.append(items[1] if items[0].value == "module" else Thing("object", "a storage"))

    def _nothing(self, name: str, argument: object) -> None:
        """PROTO, FRAME and STOP."""

    def _call(self, maker: Thing, arguments: Thing) -> None:
        """A call takes what its files give it, and no more."""
        if arguments.kind != "tuple":
            raise UnsafeProgram(f"a call of {one_line(maker.origin, 40)} without a tuple")
        if maker.kind != "name":
            raise UnsafeProgram("a call of what is no name")
        call, items = maker.origin, arguments.items
        if call in self.dialect.of_text:
            self.text_left -= sum(item.length for item in items)
            texts = all(item.kind == "text" for item in items)
            if not texts or not {item.value for item in items[1:]} <= TEXT_CODECS:
                raise UnsafeProgram(f"a call of {call} on something else than text")
            if self.text_left < 0:
                raise UnsafeProgram("more bytes than it has text for")
        self.dialect.require_harmless(call, items)
        self.require_small(arguments)
        if call in _HASHING:
            for item in items:
                self.count_keys(_firsts(item) if call == _OF_PAIRS else keys_of(item))

    def _fill(self, items: list[Thing], *, by_key: bool) -> None:
        target = self.stack[-1]
        if target.kind not in ("dict" if by_key else "list", "object"):
            raise UnsafeProgram(f"items of a {target.kind}")
        if by_key:
            if len(items) % 2:
                raise ValueError("a key without a value")
            self.count_keys(items[::2])
        if self.dialect.flat:
            fine = ("value", "text", *(("list", "object") if by_key else ()))
            if target.kind == "object" or any(item.kind not in fine for item in items):
                raise UnsafeProgram("lists and dicts in one another")
        target.items += items
        if target.origin:
            self.survey.filled[target.origin] = "dict" if by_key else "list"

    def count_keys(self, keys: Any) -> None:
        """Keys are short text; of anything else there are few."""
        for key in keys:
            if not key.is_key:
                self.other_keys += key.size
                if self.dialect.flat or key.kind == "text" or self.other_keys > MAX_OTHER_KEYS:
                    raise UnsafeProgram("keys that are no short text")
        self._count_parts(len(keys))

    def require_small(self, thing: Thing) -> None:
        """Lists and dicts may be shared, and double with every level."""
        waiting, parts = [thing], 0
        while waiting:
            part = waiting.pop()
            parts += part.size if part.kind == "text" else 1 + len(part.items)
            if parts > MAX_PARTS:
                raise UnsafeProgram("lists nested without end")
            waiting += part.items
        self._count_parts(parts)

    def _count_parts(self, count: int) -> None:
        self.parts += count
        if self.parts > MAX_ALL_PARTS:
            raise UnsafeProgram("the same parts again and again")

    def _pop_mark(self) -> list[Thing]:
        items, self.stack = self.stack, self.below.pop()
        return items


#: what each operation does
_STEPS: dict[str, Callable[[Machine, str, Any], None]] = {
    name: step
    for step, names in (
        (Machine._constant, "NONE NEWTRUE NEWFALSE"),
        (Machine._value, "INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT"),
        (Machine._text, "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"),
        (Machine._text, "BINBYTES SHORT_BINBYTES BINBYTES8"),
        (Machine._put, "PUT BINPUT LONG_BINPUT MEMOIZE"),
        (Machine._get, "GET BINGET LONG_BINGET"),
        (Machine._mark, "MARK"),
        (Machine._tuple, "TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3"),
        (Machine._empty, "EMPTY_LIST EMPTY_DICT EMPTY_SET"),
        (Machine._filled, "LIST DICT"),
        (Machine._name, "GLOBAL STACK_GLOBAL"),
        (Machine._make, "REDUCE NEWOBJ"),
        (Machine._one, "APPEND SETITEM"),
        (Machine._several, "APPENDS SETITEMS"),
        (Machine._build, "BUILD"),
        (Machine._storage, "BINPERSID"),
        (Machine._nothing, "PROTO FRAME STOP"),
    )
    for name in names.split()
}


#: calls that hash what they are given
_OF_PAIRS = "collections.OrderedDict"
_HASHING = {"builtins.set", "builtins.frozenset", "collections.Counter", _OF_PAIRS}


def keys_of(thing: Thing) -> Any:
    """What is hashed when it is looped over."""
    return thing.items[::2] if thing.kind == "dict" else thing.items


def _firsts(thing: Thing) -> list[Thing]:
    """What ``dict`` takes for keys: those of a dict, or the first of each pair."""
    if thing.kind == "dict":
        return list(keys_of(thing))
    return [pair.items[0] for pair in thing.items if pair.items]


def _present_name(module: str, name: str) -> str:
    """Protocol 2 writes names of Python 2, which are translated: another name of a class is the same class."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"
