"""The language of layer names, without a network: lists, sides, calls, globs and regular expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(layers: str | Sequence[str]) -> list[str]:
    """At commas, except those inside the brackets of a ``re:`` pattern; empty words are left out."""
    if not isinstance(layers, str):
        return list(filter(None, layers))
    words, depth = [""], 0
    for character in layers:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0:
            words.append("")
        else:
            words[-1] += character
    return [word.strip() for word in words if word.strip()]


def parts(name: str) -> tuple[str, str, str]:
    """Path, ``:in`` or ``:out`` or nothing, ``@`` and a number or nothing."""
    match = re.fullmatch(r"(.*?)(:in|:out|)(@\d+|)", name, flags=re.DOTALL)
    assert match is not None  # its parts may all be empty
    return match[1], match[2], match[3]


def pattern(word: str) -> re.Pattern[str]:
    """What the path of a word stands for: itself, a glob (a star stays within one level), or ``re:`` and a pattern.

    Raises:
        UsageError: a pattern that is no regular expression.
    """
    path = parts(word)[0]
    if path.startswith("re:"):
        text = path[3:]
    else:
        text = re.escape(path).replace(r"\*", "[^.]*").replace(r"\?", "[^.]")
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(
            f"layer pattern {word!r} is not a regular expression ({error}); write for example re:layer[12]"
        ) from error


def among(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that any of the words stands for, in the names' order."""
    asked = [(pattern(word), *parts(word)[1:]) for word in words]
    return [
        name
        for name in names
        if name in words or any(p.fullmatch(parts(name)[0]) and parts(name)[1:] == (s, c) for p, s, c in asked)
    ]
