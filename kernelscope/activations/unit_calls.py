"""What every layer of a network takes in and puts out in a forward pass, copied, so that it can be run once more.

A layer is a module without children, or one with parameters of its own none of whose children ran inside of it (as in
``nn.MultiheadAttention``, which uses their weights alone). One that runs several times has a record of each call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from torch import nn


WHOLE = "(the network)"  #: in the place of a path, where it is a layer itself


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: its arguments and what it returned."""

    module: nn.Module
    given: tuple[tuple[Any, ...], dict[str, Any]]
    out: Any

    def tensors(self) -> list[torch.Tensor]:
        """The floating-point tensors that it returned."""
        return floats(self.out)


class UnitCalls:
    """Records the calls of a network's layers while open: ``calls[name, number]`` of the last forward pass.

    With ``meet`` nothing is kept: it is called with each layer's name and number and its call as soon as that ends, on
    the network's own tensors; layers that it runs are not heard.
    """

    def __init__(self, network: nn.Module, meet: Callable[[tuple[str, int], Call], None] | None = None) -> None:
        self._network, self._meet, self._meeting = network, meet, False
        self.calls: dict[tuple[str, int], Call] = {}
        self._handles: list[Any] = []
        self._open: list[tuple[str, Any, int]] = []
        self._counts: dict[str, int] = {}
        self._ran = 0

    def __enter__(self) -> UnitCalls:
        self._handles.append(self._network.register_forward_pre_hook(lambda module, args: self.clear()))
        for name, module in self._network.named_modules():
            own = next(module.parameters(recurse=False), None) is not None
            leaf = next(module.children(), None) is None
            if not leaf and not (own and name):
                continue
            before, after = self._hooks(name or WHOLE)
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            self._handles.append(module.register_forward_hook(after))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._open.clear()

    def clear(self) -> None:
        """Forget what was recorded, before the next forward pass."""
        self.calls.clear()
        self._counts.clear()
        self._open.clear()
        self._ran = 0

    def _hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self._meeting:
                keeps = self._meet is not None and not getattr(module, "inplace", False)
                self._open.append((name, (args, kwargs) if keeps else copied((args, kwargs)), self._ran))

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if self._meeting:
                return
            opened, given, ran = self._open.pop()
            assert opened == name
            if self._ran == ran:  # none of its children ran inside
                number = self._counts[name] = self._counts.get(name, 0) + 1
                self._take((name, number), Call(module, given, out))
            self._ran += 1

        return before, after

    def _take(self, key: tuple[str, int], call: Call) -> None:
        if self._meet is None:
            self.calls[key] = Call(call.module, call.given, copied(call.out))
            return
        self._meeting = True
        try:
            self._meet(key, call)
        finally:
            self._meeting = False


def mapped(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """The same value with every tensor in it changed: in tuples, lists, dicts and what is made like these."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple):
        parts = [mapped(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [mapped(part, change) for part in value]
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    return value


def copied(value: Any) -> Any:
    """A copy that in-place operations do not reach."""
    return mapped(value, lambda x: x.detach().clone())


def floats(value: Any) -> list[torch.Tensor]:
    """Every floating-point tensor in a value, in order."""
    found: list[torch.Tensor] = []

    def take(x: torch.Tensor) -> None:
        if x.is_floating_point():
            found.append(x)

    mapped(value, take)
    return found


def in_types_of(value: Any, like: Any) -> Any:
    """The same with floating-point tensors in the types, and on the devices, of those that stand in ``like``."""
    kinds = iter([(x.dtype, x.device) for x in floats(like)])

    def change(x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            return x
        dtype, device = next(kinds, (x.dtype, x.device))
        return x.to(device=device, dtype=dtype)

    return mapped(value, change)
