"""Report values to and from JSON, and flat records of them."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from kernelscope.report.fields import PairReport
from kernelscope.report.similarity_fields import key_of

Scalar = float | str | bool | None  #: what a flat record holds; whole numbers count as float


def flat_fields(pair: PairReport) -> dict[str, Scalar]:
    """Dotted names and plain values of a pair; intervals become ``_low`` and ``_high``."""
    flat: dict[str, Scalar] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif prefix.endswith("_interval") or prefix.startswith("intervals."):
            flat[f"{prefix}_low"], flat[f"{prefix}_high"] = value if isinstance(value, tuple) else (None, None)
        elif value is None or isinstance(value, (bool, int, float, str)):
            flat[prefix] = value

    walk("", dataclasses.asdict(pair, dict_factory=by_key))
    return flat


def by_key(fields: list[tuple[str, object]]) -> dict[str, object]:
    """A dataclass's fields under their keys in JSON."""
    return {key_of(name): value for name, value in fields}


def build_pair(pair: dict[str, object]) -> PairReport:
    """A pair from JSON; a key that is not there is damage, unless the report is older than the key."""
    for known in dataclasses.fields(PairReport):
        if known.name not in pair and "later" not in known.metadata:
            raise KeyError(known.name)
    built: PairReport = build(PairReport, pair)
    return built


def build(kind: object, value: object) -> Any:
    """``value`` from JSON as the annotated type ``kind``: dataclasses, tuples, unions with None, plain values."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints, value = typing.get_type_hints(kind), _object(value)
        known = {name: value[key_of(name)] for name in hints if key_of(name) in value}
        return kind(**{name: build(hints[name], inner) for name, inner in known.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return build(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (Ellipsis not in arguments and len(value) != len(arguments)):
            raise ValueError(f"expected a list of {len(arguments)}, found {value!r}")
        return tuple(build(arguments[0], item) for item in value)
    if origin is dict:
        return {key: build(arguments[1], item) for key, item in _object(value).items()}
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"expected a number, found {value!r}")
        return float(value)
    if kind in (int, str, bool) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ValueError(f"expected {kind.__name__}, found {value!r}")
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {value!r}")
    return value
