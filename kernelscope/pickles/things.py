"""Stand-ins for what a pickle makes, what programs one kind of file is made of, and how much of it there may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Python hashes a tuple by walking all of it, shared parts again and again, and by recursion in C
MAX_TUPLE_ITEMS, MAX_TUPLE_DEPTH = 1_000_000, 100
#: whole numbers beyond 64 bits can be chosen so that all of them fall on one place of a dict
MAX_LONGS = 1_000
#: so can others, with more trouble: no key but a text hashes to a place that its writer cannot choose
MAX_OTHER_KEYS = 10_000
#: longest key, module or class: two long equal texts are compared whenever one of them is looked up
MAX_NAME = 1_000
#: parts of what calls are given, shared ones counted again and again: a message that prints them walks over as many
MAX_PARTS, MAX_ALL_PARTS = 1_000_000, 4_000_000
BYTES = "_codecs.encode"  #: how bytes are made; they are written as text
TEXT_CODECS = {"latin1", "latin-1"}


class UnsafeProgram(ValueError):
    """A pickle that no honest file holds: unknown operations, or work without end."""


@dataclass(eq=False, slots=True)
class Thing:
    """A stand-in.

    Attributes:
        kind: ``value``, ``text``, ``name``, ``tuple``, ``list``, ``dict``, ``set`` or ``object``.
        origin: the name itself, or the one an object is made of.
        size, depth: of the tuples in it; a text counts one more for every thousand characters.
        value: a number; the beginning of a text, whose ``length`` is that of all of it.
        items: of tuples and lists; of dicts, keys and values in turn; of objects, what they were made of.
    """

    kind: str
    origin: str = ""
    size: int = 1
    depth: int = 0
    value: object = None
    length: int = 0
    items: Any = ()

    @property
    def is_key(self) -> bool:
        """Whether it is short text."""
        return self.kind == "text" and self.length <= MAX_NAME


@dataclass(frozen=True)
class Dialect:
    """What programs one kind of file is made of.

    Attributes:
        operations: by their names in ``pickletools``.
        most: operations.
        require_harmless: raises UnsafeProgram for a call, by its name, of arguments that it is not made with.
        names: all that may be named; None for any.
        of_text: calls of nothing but texts.
        flat: keys are texts, lists hold values alone, and dicts values, lists and objects.
        line: longest line in bytes.
        most_memo: largest place in the memo, as Python's own makes room for all below it.
    """

    operations: frozenset[str]
    most: int
    require_harmless: Callable[[str, tuple[Thing, ...]], None]
    names: frozenset[str] | None = None
    of_text: frozenset[str] = frozenset({BYTES})
    flat: bool = False
    line: int = MAX_NAME
    most_memo: int = 2**31


def operations(names: str) -> frozenset[str]:
    """Names of ``pickletools`` with spaces between them."""
    return frozenset(names.split())


@dataclass
class Survey:
    """What a pickle names, which of these it fills like a dict or a list, and how often it makes one."""

    globals: set[str] = field(default_factory=set)
    filled: dict[str, str] = field(default_factory=dict)
    made: int = 0
