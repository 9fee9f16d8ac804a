"""The notation ``NAME[@LAYER][(key=value,...)]``, in which methods and data sets are named; a sum joins terms by ``+``.

A value is a number, a word, a text in quotes, true, false, none (or Python's True, False, None), or a list of values in
square brackets. A word is anything without spaces, quotes and round brackets: ``class-means``, ``uniform:20``,
``running[:5]``, ``layer*.1``; a regular expression, ``re:layer(1|2)``, may have brackets.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXAMPLES = {"method": "kda(weight=0.04)", "data set": "shapes(classes=100,n=6400)"}
CONSTANTS = {"true": True, "false": False, "none": None}
_NAME = re.compile(r"[\w.\-]+(?::[\w.]+)?")
_WORD = re.compile(r"""re:\S+|[^\s"'(\[{][^\s"'()]*""")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_QUOTED = {quote: re.compile(rf"{quote}(?:\\.|[^{quote}\\])*{quote}", re.DOTALL) for quote in "\"'"}
MAX_LENGTH = 10_000  #: in characters; a file may name a data set
MAX_DEPTH = 20  #: of lists in lists, each level of which is looked through once more


@dataclass(frozen=True)
class Term:
    """One name with its layer and its options; ``text`` is how it was written."""

    name: str
    layer: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The notation again: parsing it gives an equal term."""
        layer = "" if self.layer is None else f"@{self.layer}"
        options = ",".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.name}{layer}({options})" if options else f"{self.name}{layer}"


def parse_term(text: str, kind: str = "method") -> Term:
    """A single term; ``kind`` is what it names, for messages.

    Raises:
        UsageError: it is written otherwise, or gives an option twice; with the character where that shows.
    """
    return _Parser(text, kind).term(0, len(text))


def parse_sum(text: str, kind: str = "method") -> tuple[Term, ...]:
    """Terms joined by ``+``.

    Raises:
        UsageError: see :func:`parse_term`.
    """
    parser = _Parser(text, kind)
    # a layer may be a regular expression, so that before the options only round brackets count
    return tuple(parser.term(start, end) for start, end in parser.split("+", 0, len(text), brackets="("))


class _Parser:
    """A text and what it names. Its methods take the part ``text[start:end]``."""

    def __init__(self, text: str, kind: str) -> None:
        self.text, self.kind = text, kind
        if len(text) > MAX_LENGTH:
            raise self.error(f"more than {MAX_LENGTH:,} characters", MAX_LENGTH)

    def term(self, start: int, end: int) -> Term:
        opening = self.text.find("(", start, end)
        options = {} if opening < 0 else self.options(opening, end)
        name, at, layer = self.text[start : end if opening < 0 else opening].partition("@")
        if not _NAME.fullmatch(name.strip()):
            raise self.error(f"no name but {one_line(name, 20)!r}", start)
        if at and not layer.strip():
            raise self.error("no layer after @", start + len(name))
        return Term(name.strip(), layer.strip() if at else None, options, self.text[start:end].strip())

    def options(self, opening: int, end: int) -> dict[str, object]:
        closing = self.closing(opening, end)
        if rest := self.text[closing + 1 : end].strip():
            raise self.error(f"{one_line(rest, 20)!r} after the bracket", closing + 1)
        options: dict[str, object] = {}
        for start, stop in self.split(",", opening + 1, closing):
            part = self.text[start:stop]
            key, equals, value = part.partition("=")
            if not part.strip():
                continue  # as after a last comma
            if not equals or not key.strip().isidentifier() or not value.strip():
                raise self.error(f"option {one_line(part, 20)!r} is not key=value", start)
            if key.strip() in options:
                raise self.error(f"option {one_line(key, 20)!r} is given twice", start)
            options[key.strip()] = self.value(start + len(key) + 1, stop)
        return options

    def value(self, start: int, end: int, depth: int = 0) -> object:
        written = self.text[start:end].strip()
        if written in CONSTANTS:
            return CONSTANTS[written]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a text with a backslash, which Python takes as it is
                return ast.literal_eval(written)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # nested beyond what Python reads, too
            pass
        if written.startswith("[") and written.endswith("]"):
            opening = self.text.index("[", start)
            items = self.split(",", opening + 1, self.closing(opening, end))
            if depth == MAX_DEPTH:
                raise self.error("lists nested too deep", start)
            return [self.value(first, last, depth + 1) for first, last in items if self.text[first:last].strip()]
        if not _WORD.fullmatch(written):
            raise self.error(f"{one_line(written, 20)!r} is not a number, a word, a quoted text or a list", start)
        return written

    def split(self, separator: str, start: int, end: int, brackets: str = "([{") -> Iterator[tuple[int, int]]:
        """The parts between separators that stand in no bracket and no quotes."""
        begin = at = start
        while at < end:
            if self.text[at] == separator:
                yield begin, at
                begin = at + 1
            at = self.closing(at, end) + 1 if self.text[at] in brackets else self.past(at, end)
        yield begin, end

    def closing(self, opening: int, end: int) -> int:
        """Where the bracket at ``opening`` is closed."""
        waiting, at = [], opening
        while at < end:
            character = self.text[at]
            if character in _BRACKETS:
                waiting.append(_BRACKETS[character])
            elif character in _BRACKETS.values():
                if character != waiting.pop():
                    raise self.error(f"{character} closes no bracket", at)
                if not waiting:
                    return at
            at = self.past(at, end)
        raise self.error(f"the {self.text[opening]} is not closed", opening)

    def past(self, at: int, end: int) -> int:
        """Behind the character at a place, the one that a backslash protects, or the text that its quotes hold."""
        character = self.text[at]
        if character not in _QUOTED:
            return at + 2 if character == "\\" else at + 1
        quoted = _QUOTED[character].match(self.text, at, end)
        if quoted is None:
            raise self.error(f"the {character} is not closed", at)
        return quoted.end()

    def error(self, what: str, at: int) -> UsageError:
        notation = "NAME(key=value,...)" if self.kind == "data set" else "NAME[@LAYER][(key=value,...)]"
        return UsageError(
            f"{self.kind} {one_line(self.text, 40)!r} is not {notation}: {what} at character {at + 1}; "
            f"write for example {EXAMPLES[self.kind]}"
        )
