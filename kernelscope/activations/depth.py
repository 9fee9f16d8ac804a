"""Blocks of a network, and layers in the order in which they ran."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from torch import nn

from kernelscope.activations.resolving import wanted_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.activations.example_rows import ForwardPass

SOME = 8  #: examples that are run to see the order


def blocks(net: nn.Module) -> list[str]:
    """Paths of modules that have parts and stand in an ``nn.Sequential`` or ``nn.ModuleList``, outermost ones alone.

    Of a network without such blocks, of its own modules those that have weights.
    """
    found: list[str] = []
    for path, module in net.named_modules():
        if not isinstance(module, (nn.Sequential, nn.ModuleList)) or _within(path, found):
            continue
        members = ((f"{path}.{name}".lstrip("."), member) for name, member in module.named_children())
        found += [name for name, member in members if next(member.children(), None) is not None]
    return found or [name for name, child in net.named_children() if next(child.parameters(), None) is not None]


def _within(path: str, blocks: Sequence[str]) -> bool:
    return any(path == block or path.startswith(f"{block}.") for block in blocks)


def in_running_order(forward: ForwardPass, layers: Sequence[str]) -> list[str]:
    """``layers`` as they ran, from one pass over a few examples; ``embedding`` and what the network returns last."""
    modules = dict(forward.network.named_modules())
    wanted = {name: wanted_layer(name, modules) for name in layers}
    clock, times = itertools.count(), defaultdict[tuple[str, str], list[int]](list)
    handles: list[Any] = []

    def listen(path: str, side: str) -> None:
        def note(*_: object) -> None:
            times[path, side].append(next(clock))

        module = modules[path]
        handles.append(module.register_forward_pre_hook(note) if side == "in" else module.register_forward_hook(note))

    for path, side in {(each.path, each.side) for each in wanted.values() if each.side != "word"}:
        listen(path, side)
    try:
        with forward:
            forward.run(0, min(SOME, forward.examples.n))
    finally:
        for handle in handles:
            handle.remove()

    def place(name: str) -> tuple[int, int]:
        each = wanted[name]
        if each.side == "word":
            return (1, int(each.path != "embedding"))
        return (0, times[each.path, each.side][-1 if each.call is None else each.call])

    return sorted(layers, key=place)
