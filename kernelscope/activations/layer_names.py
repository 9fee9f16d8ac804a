"""The language of layer names, without a network: lists, members, sides, calls, axes, globs, regular expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEMBERS = r"(?:\[[^\[\]]*\])*"
_NAME = re.compile(rf"(.*?)({_MEMBERS})(:in|:out|)({_MEMBERS})(@\d+|)(#\d+|)", re.DOTALL)
#: of a regular expression brackets are its own, unless they follow a side
_EXPRESSION = re.compile(rf"(re:.*?)()(?:(:in|:out)({_MEMBERS})|()())(@\d+|)(#\d+|)", re.DOTALL)


@dataclass(frozen=True)
class LayerName:
    """``path[member]:side@call#axis``; every part but the path may be empty.

    Attributes:
        member: of several tensors, which one: ``[1]``, ``[out]``, ``[1][0]``.
        side: ``:in``, ``:out`` or nothing, which is ``:out``.
        call: which of several in one forward pass; nothing for the last.
        axis: along which the tensor's examples lie; nothing where that is to be found.
    """

    path: str
    member: str = ""
    side: str = ""
    call: str = ""
    axis: str = ""

    @property
    def ending(self) -> str:
        """All but the path."""
        return self.member + self.side + self.call + self.axis


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


def parts(name: str) -> LayerName:
    """A name taken apart."""
    match = (_EXPRESSION if name.startswith("re:") else _NAME).fullmatch(name)
    assert match is not None  # all parts but the path may be empty, and the path is anything
    if name.startswith("re:"):
        path, _, side, member, _, _, call, axis = match.groups(default="")
        return LayerName(path, member, side, call, axis)
    path, before, side, after, call, axis = match.groups()
    return LayerName(path, before + after, side, call, axis)


def member_keys(member: str) -> list[str]:
    """``[1][out]`` as its keys, ``1`` and ``out``."""
    return re.findall(r"\[([^\[\]]*)\]", member)


def is_pattern(word: str) -> bool:
    """Whether a word may stand for several layers."""
    path = parts(word).path
    return path.startswith("re:") or "*" in path or "?" in path


def pattern(word: str) -> re.Pattern[str]:
    """What the path of a word stands for: itself, a glob (a star stays within one level), or ``re:`` and a pattern.

    Raises:
        UsageError: a pattern that is no regular expression.
    """
    path = parts(word).path
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
    asked = [(pattern(word), parts(word).ending) for word in words]
    known = {name: parts(name) for name in names}
    return [
        name
        for name, of_name in known.items()
        if name in words or any(p.fullmatch(of_name.path) and of_name.ending == ending for p, ending in asked)
    ]
