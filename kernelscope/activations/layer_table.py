"""Every module of a network, with the shape it puts out and how often it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.activations.outputs import member_of, the_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class LayerRow:
    """One module of a network: its path, its class, the shape it put out per example, and how often it ran."""

    path: str
    kind: str
    shape: tuple[int, ...] | None
    calls: int

    @property
    def width(self) -> int | None:
        """Features of a row, once positions are pooled: channels of a map, numbers of a token."""
        if self.shape is None or not self.shape:
            return None if self.shape is None else 1
        return self.shape[-1] if len(self.shape) == 2 else self.shape[0]


def layer_rows(network: nn.Module, shape: Sequence[int] | None) -> list[LayerRow]:
    """Every module of ``network`` as it ran on one example of zeros of ``shape``, in the order of their names.

    The network's mode and the global random generator are left as they were.

    Args:
        shape: None for networks that bring inputs of their own to try (``dummy_inputs``), as Hugging Face's do.
    """
    calls: Counter[str] = Counter()
    shapes: dict[str, tuple[int, ...]] = {}
    modes = {module: module.training for module in network.modules()}
    handles = []

    def hook(path: str, module: nn.Module) -> None:
        def after(module: nn.Module, inputs: object, output: object) -> None:
            calls[path] += 1
            if (found := the_tensor(output)) is not None:
                tensor: Any = member_of(output, found[0], path)
                shapes[path] = tuple(tensor.shape[1:])

        handles.append(module.register_forward_hook(after))

    named = [(path, module) for path, module in network.named_modules() if path]
    try:
        for path, module in named:
            hook(path, module)
        network.eval()
        parameter = next(network.parameters(), torch.empty(0))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            if shape is None:
                tried: Any = network.dummy_inputs
                network(**tried)
            else:
                network(torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return [LayerRow(path, type(module).__name__, shapes.get(path), calls[path]) for path, module in named]
