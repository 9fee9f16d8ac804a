"""Names of layers against a network: what each stands for, before anything runs."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from kernelscope.activations.layer_names import is_pattern, parts, pattern, split
from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

WORDS = ("embedding", "logits")  #: a module that bears one of these names is reached as ``logits:out``
OUTPUT = "output"  #: a word too, unless a module bears the name


@dataclass(frozen=True)
class Wanted:
    """One layer to capture: the name as asked, the module's path, which member, side (in, out, a word), and call."""

    name: str
    path: str
    member: str
    side: str
    call: int | None


def resolve_layers(net: nn.Module, layers: str | Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(names, notes)``: globs and ``re:`` opened up, every name checked before any data is read.

    ``None`` means the default, ``embedding,logits``; a default that does not exist is dropped with a note.

    Raises:
        UsageError: an unknown name, with the nearest ones.
    """
    if layers is None:
        if is_embedder(net):
            return ("embedding",), ()
        if any(isinstance(module, nn.Linear) for module in net.modules()):
            return WORDS, ()
        return ("logits",), ("no embedding: the network has no nn.Linear",)
    names: list[str] = []
    for word in split(layers):
        names += [name for name in _matches(net, word) if name not in names]
    if not names:
        raise UsageError("no layer named; give for example embedding,logits")
    return tuple(names), ()


def stands_for_a_layer(net: nn.Module, word: str) -> bool:
    """Whether a word names a layer of the network, or matches one."""
    try:
        return bool(_matches(net, word))
    except UsageError:
        return False


def may_be_passed_over(net: nn.Module, layers: str | Sequence[str] | None) -> frozenset[str]:
    """Names that nobody gave in full: of patterns, and the default embedding; they may turn out not to run."""
    if layers is None:
        return frozenset({"embedding"})
    words = split(layers)
    opened = {name for word in words if is_pattern(word) for name in _matches(net, word)}
    return frozenset(opened - {name for word in words if not is_pattern(word) for name in _matches(net, word)})


def is_embedder(net: nn.Module) -> bool:
    """Whether what a network returns is an embedding, as that of a sentence encoder is."""
    return bool(getattr(net, "output_is_embedding", False))


def wanted_layer(name: str, paths: Collection[str]) -> Wanted:
    """What to capture for a name that was resolved; a path that a module bears goes before its parts."""
    if name in paths and not _is_word(name, paths):
        return Wanted(name, name, "", "out", None)
    asked = parts(name)
    if _is_word(name, paths):
        return Wanted(name, asked.path, asked.member, "word", None)
    side = asked.side.removeprefix(":") or "out"
    return Wanted(name, asked.path, asked.member, side, int(asked.call[1:]) if asked.call else None)


def _is_word(name: str, paths: Collection[str]) -> bool:
    """Whether a name is one of the words, of which ``embedding`` is a single tensor."""
    asked = parts(name)
    if asked.side or asked.call or (asked.path == "embedding" and asked.member):
        return False
    return asked.path in WORDS or (asked.path == OUTPUT and OUTPUT not in paths)


def _matches(net: nn.Module, word: str) -> list[str]:
    """Names that ``word`` stands for."""
    paths = [path for path, _ in net.named_modules() if path]
    if _is_word(word, paths) or word in paths:
        return [word]
    asked, wanted = parts(word), pattern(word)
    found = [known for known in paths if wanted.fullmatch(known)]
    if not found:
        known = [*WORDS, *paths]
        near = difflib.get_close_matches(asked.path, known, n=3, cutoff=0.4) or known[:6]
        raise UsageError(f"unknown layer {one_line(word, 60)!r}; nearest: {', '.join(near)}")
    return [path + asked.ending for path in found] if is_pattern(word) else [word]
