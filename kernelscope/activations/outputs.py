"""Which tensor is meant of what a module takes in or puts out: alone, or in any nesting of lists, dicts and records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from kernelscope.activations.layer_names import member_keys
from kernelscope.activations.pooling import pool
from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 6  #: nesting that is looked into; what refers to itself ends there
LAST_LINEAR = "what the last linear layer put out"


def tensors_in(value: object) -> dict[str, torch.Tensor]:
    """Every tensor in ``value`` by its member's name (``[out]``, ``[1][0]``; nothing where it is one), in order.

    Single numbers, such as a loss beside logits, are left out where there are others.
    """
    found = dict(_walk(value, "", 0))
    rows = {member: x for member, x in found.items() if x.ndim}
    return rows or found


def _walk(value: object, member: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield member, value
    elif depth < DEEPEST:
        for key, part in _parts(value):
            yield from _walk(part, f"{member}[{key}]", depth + 1)


def _parts(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value)
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
    elif isinstance(value, SimpleNamespace):
        yield from vars(value).items()


def member_of(value: Any, member: str, layer: str) -> object:
    """What stands in ``value`` under ``[key][key]…``: a key, an attribute or a place.

    Raises:
        UsageError: nothing does, with what there is.
    """
    part = value
    for key in member_keys(member):
        try:
            part = _at(part, key)
        except (LookupError, AttributeError, ValueError, TypeError) as error:
            there = ", ".join(name or "one tensor" for name in tensors_in(value)) or "no tensor"
            raise UsageError(
                f"layer {one_line(layer, 50)} is not there: what comes out is {one_line(there, 90)}; name one of these"
            ) from error
    return part


def _at(value: Any, key: str) -> object:
    if isinstance(value, Mapping):
        for known, part in value.items():
            if str(known) == key:
                return part
    named = isinstance(value, tuple) and key in getattr(value, "_fields", ())
    if named or not isinstance(value, (Sequence, Mapping, torch.Tensor)):
        return getattr(value, key)
    if isinstance(value, torch.Tensor):
        raise TypeError
    return list(value.values())[int(key)] if isinstance(value, Mapping) else value[int(key)]


def logits_by_name(value: object) -> str | None:
    """The member that is called logits, if one is."""
    held = value.get("logits") if isinstance(value, Mapping) else getattr(value, "logits", None)
    inside = tensors_in(held) if held is not None else {}
    return f"[logits]{next(iter(inside))}" if inside else None


def the_tensor(value: object, last_linear: torch.Tensor | None = None) -> tuple[str, str] | None:
    """The member that is meant where none is named, and why; None where there is no tensor.

    In this order: the only one; the one called logits; the one that the last linear layer put out; the first.
    """
    found = tensors_in(value)
    if (called := logits_by_name(value)) is not None:
        return called, ""
    if len({id(x) for x in found.values()}) < 2:
        return next(((member, "") for member in found), None)
    several = f"of {len(found)} tensors ({one_line(', '.join(found), 80)})"
    for member, x in found.items():
        if last_linear is not None and is_same(x, last_linear):
            return member, f"output {member} {several}, which is {LAST_LINEAR}"
    return next(iter(found)), f"the first {several}"


def is_same(x: torch.Tensor, put_out: torch.Tensor) -> bool:
    """Whether ``x`` is what a layer put out: in the same storage, or of equal numbers."""
    if x.untyped_storage().data_ptr() == put_out.untyped_storage().data_ptr():
        return True
    return x.shape == put_out.shape and torch.equal(x, put_out.to(x.device, x.dtype))


def follows(x: torch.Tensor, put_out: torch.Tensor) -> bool:
    """Whether ``x`` is made row by row of what a layer put out: that, its mean over positions, or a rising function.

    A softmax, its logarithm, a temperature and other rising functions leave every row's order as it is.
    """
    both = [tensor.detach().to("cpu", torch.float64) for tensor in (x, put_out)]
    for one, other in (both, list(map(pool, both))):
        if one.numel() == other.numel():
            one, other = one.reshape(len(one), -1, one.shape[-1]), other.reshape(len(one), -1, one.shape[-1])
            if one.shape[-1] == 1:  # a single number for each example: a rising function keeps their order
                one, other = one.reshape(1, -1), other.reshape(1, -1)
            rising = other.gather(-1, one.argsort(-1)).diff(dim=-1)
            slack = 1e-4 * (other.amax(-1, keepdim=True) - other.amin(-1, keepdim=True))
            if torch.allclose(one, other, rtol=1e-3, atol=1e-5) or bool((rising >= -slack).all()):
                return True
    return False
