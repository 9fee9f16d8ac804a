"""A look at a network in the middle of its training, after which training goes on as if nobody had looked."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from kernelscope.activations.pooling import pool
from kernelscope.activations.tap import Tap
from kernelscope.errors import KernelscopeError, Mismatch, ResourceError, one_line

if TYPE_CHECKING:
    from kernelscope.datasets.examples import Batch

MASK = "attention_mask"  #: of a batch that is a dict, as Hugging Face names it


@contextlib.contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Whatever runs inside finds no gradients and no autocast, and leaves random generators and buffers as they were.

    Generators are Python's, NumPy's global one, and torch's on the CPU and on the network's devices.
    """
    devices = {x.device for x in chain(network.parameters(), network.buffers()) if x.device.type not in ("cpu", "meta")}
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for device in devices:
            stack.enter_context(torch.random.fork_rng(devices=[device], device_type=device.type))
        for kind in {"cpu", *(device.type for device in devices)}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        # not inference_mode: what a layer caches there could not take part in the next backward pass
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # where something is compiled, other batch sizes must not compile it anew
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(_restore_buffers, _buffers(network))
        stack.callback(_restore_forward, network, network.__dict__.get("forward"))
        if (own := network.__dict__.get("_original_forward")) is not None:
            network.forward = own  # the one in its place enters autocast: Hugging Face's accelerate does that
        yield


def heard(network: nn.Module, batches: Sequence[Batch], layers: Sequence[str], *, name: str) -> dict[str, np.ndarray]:
    """Rows ``(n, d)`` in float32 of each layer, in eval mode; the network is left as it was, also by an exception.

    Batches are taken to the network's device and, where they are no whole numbers, to the type of its weights. Rows
    are pooled as ``measure`` does it: maps and tokens averaged, those outside ``attention_mask`` left out.

    Raises:
        Mismatch: inputs it does not take, or a layer that gives no row for each of them.
        UsageError: an unknown layer, or one that did not run. ResourceError: the device's memory is full.
    """
    mask: torch.Tensor | None = None

    def rows(layer: str, x: torch.Tensor) -> torch.Tensor:
        return pool(x, "auto", mask)

    said: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    device, kind = _place(network)
    with undisturbed(network), Tap(network, layers, training=False, keep=rows) as tap:
        for batch in batches:
            named = batch if isinstance(batch, dict) else {"": batch}
            named = {key: _suited(x, device, kind) for key, x in named.items()}
            mask = named.get(MASK)
            _forward(network, named, name)
            size = len(next(iter(named.values())))
            for layer, x in tap.features.items():
                if len(x) != size:
                    raise Mismatch(f"{name}: layer {layer} gives {len(x)} rows for {size} examples; choose another")
                said[layer].append(x.float().cpu())
    return {layer: torch.cat(parts).numpy() for layer, parts in said.items()}


def _forward(network: nn.Module, batch: dict[str, torch.Tensor], name: str) -> None:
    try:
        if "" in batch:
            network(batch[""])
        else:
            network(**batch)
    except KernelscopeError:
        raise
    except torch.OutOfMemoryError as error:
        raise ResourceError(f"the device's memory is too small to look at {name}; lower batch_size") from error
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        shapes = one_line(", ".join(f"{key} {tuple(x.shape)}".strip() for key, x in batch.items()), 50)
        raise Mismatch(
            f"{name} does not take inputs of shape {shapes} ({one_line(str(error), 80)}); check data"
        ) from error


def _place(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a network's inputs go, and their type."""
    for x in chain(network.parameters(), network.buffers()):
        if x.is_floating_point():
            return x.device, x.dtype
    return torch.device("cpu"), torch.float32


def _suited(x: torch.Tensor, device: torch.device, kind: torch.dtype) -> torch.Tensor:
    return x.to(device, kind) if x.is_floating_point() else x.to(device)


def _buffers(network: nn.Module) -> list[tuple[dict[str, Any], str, torch.Tensor, torch.Tensor]]:
    """Of each buffer the dict that holds it, its name, itself, and a copy."""
    return [
        (module._buffers, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]


def _restore_buffers(buffers: list[tuple[dict[str, Any], str, torch.Tensor, torch.Tensor]]) -> None:
    """Eval mode leaves most alone; layers that count their calls do not look at the mode."""
    for held, name, buffer, before in buffers:
        held[name] = buffer
        if not torch.equal(buffer, before):
            buffer.copy_(before)


def _restore_forward(network: nn.Module, before: Any) -> None:
    if before is not None:
        network.forward = before
