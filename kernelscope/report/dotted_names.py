"""Numbers of a pair by their dotted names, as gates and records name them: ``ladder.head``, ``null.p_value``."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator
from functools import cache

from kernelscope.errors import UsageError
from kernelscope.kernels.nystrom.bounds import NAMES
from kernelscope.report.fields import PairReport
from kernelscope.report.similarity_fields import key_of

Leaf = tuple[str, object, tuple[str | int, ...]]  #: its dotted name, its type, and the way to it


@cache
def values_by_name() -> dict[str, tuple[object, tuple[str | int, ...]]]:
    """Every value of a pair by its dotted name: its type, and the way to it."""

    def walk(kind: object, name: str, path: tuple[str | int, ...]) -> Iterator[Leaf]:
        if typing.get_origin(kind) in (types.UnionType, typing.Union):
            kind = next(each for each in typing.get_args(kind) if each is not types.NoneType)
        inner: dict[str, object] = {}
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            inner = typing.get_type_hints(kind)
        elif name == "paper.bounds":
            inner = dict.fromkeys(NAMES, typing.get_args(kind)[1])
        for key, hint in inner.items():
            yield from walk(hint, f"{name}.{key_of(key)}" if name else key, (*path, key))
        if name.endswith("_interval"):
            yield from ((f"{name}_{end}", float, (*path, i)) for i, end in enumerate(("low", "high")))
        elif not inner:
            yield name, kind, path

    return {name: (kind, path) for name, kind, path in walk(PairReport, "", ())}


def require_number(name: str) -> None:
    """Yes and no count as 1 and 0."""
    leaves = values_by_name()
    kind, _ = leaves.get(name, (None, ()))
    if kind in (int, float, bool):
        return
    if kind is None:
        numbers = [leaf for leaf, (each, _) in leaves.items() if each in (int, float, bool)]
        near = difflib.get_close_matches(name, numbers, n=3, cutoff=0.4)
        raise UsageError(f"a report has no number {name!r}; nearest: {', '.join(near) or 'see docs/report.md'}")
    raise UsageError(f"{name} is {'text' if kind is str else 'a list'}, not a number; gate one such as transfer_loss")


def value_of(pair: PairReport, field: str) -> float | None:
    """The number that a dotted field names; None where the pair does not have it."""
    value: object = pair
    for step in values_by_name()[field][1]:
        if value is None:
            return None
        if isinstance(step, int):
            value = value[step] if isinstance(value, tuple) else None
        else:
            value = value[step] if isinstance(value, dict) else getattr(value, step)
    return float(value) if isinstance(value, (bool, int, float)) else None
