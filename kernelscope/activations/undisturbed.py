"""Evaluation in the middle of training, without side effects on training state."""

from __future__ import annotations

import contextlib
import random
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from kernelscope.activations.batch import Batch, batch_length
from kernelscope.activations.capture import Capture
from kernelscope.activations.pooling import pool
from kernelscope.errors import Mismatch
from kernelscope.kernels.full_precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def traceless(network: nn.Module) -> Iterator[None]:
    """Whatever runs inside leaves random generators and buffers as they were.

    Generators are Python's, NumPy's global one, and torch's on the CPU and on the network's devices.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for device in _accelerators(network):
            stack.enter_context(torch.random.fork_rng(devices=[device], device_type=device.type))
        stack.callback(_restore_buffers, _buffers(network))
        yield


def _accelerators(network: nn.Module) -> set[torch.device]:
    return {x.device for x in chain(network.parameters(), network.buffers()) if x.device.type not in ("cpu", "meta")}


@contextlib.contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Whatever runs inside is :func:`traceless`, and finds no gradients and no autocast."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(traceless(network))
        for kind in {"cpu", *(device.type for device in _accelerators(network))}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(full_precision())
        # not inference_mode: what a layer caches there could not take part in the next backward pass
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # where something is compiled, other batch sizes must not compile it anew
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(_restore_forward, network, network.__dict__.get("forward"))
        if (own := network.__dict__.get("_original_forward")) is not None:
            network.forward = own  # the one in its place enters autocast: Hugging Face's accelerate does that
        yield


def rows_of(
    network: nn.Module, batches: Sequence[Batch], layers: Sequence[str], *, name: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Rows ``(n, d)`` in float32 of each layer, in eval mode, and warnings; the network is left as it was.

    Batches are taken to the network's device and, where they are no whole numbers, to the type of its weights. Rows
    are pooled as ``measure`` does it: maps and tokens averaged, those outside ``attention_mask`` left out.

    Raises:
        Mismatch: inputs it does not take, or a layer that gives no row for each of them.
        UsageError: an unknown layer, or one that did not run. ResourceError: the device's memory is full.
    """
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    capture = Capture(
        network, layers, name=name, keep=lambda layer, x, mask: pool(x, "auto", mask), device=_device(network)
    )
    with undisturbed(network), capture:
        with traceless(network):
            capture.try_out(batches[0])
        for number, batch in enumerate(batches):
            size, rows = batch_length(batch), capture.run(batch)
            if number == 0:
                capture.compare(rows)
            for layer, x in rows.items():
                if len(x) != size:
                    raise Mismatch(f"{name}: layer {layer} gives {len(x)} rows for {size} examples; choose another")
                found[layer].append(x.float().cpu())
    warnings = [f"{remark.layer}: {remark.text}" for remark in capture.remarks() if remark.code]
    return {layer: torch.cat(parts).numpy() for layer, parts in found.items()}, warnings


def _device(network: nn.Module) -> torch.device:
    """Where a network's inputs go."""
    return next((x.device for x in chain(network.parameters(), network.buffers())), torch.device("cpu"))


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
