"""A network ready to run, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network ready to run, and what is known of it.

    Attributes:
        checkpoint: None unless its file described itself.
        sha256: of its file; of its weights where it has no file, or one file holds several such networks.
        notes: what was done to read it: container and prefix found, classes stubbed, numbers converted.
    """

    module: nn.Module = field(repr=False)
    checkpoint: Checkpoint | None = field(repr=False)
    name: str
    arch: str
    sha256: str
    notes: tuple[str, ...] = ()


def loaded_module(module: nn.Module, *, name: str) -> Loaded:
    """A module in memory, identified by its weights; taken out of DataParallel, DDP and torch.compile.

    Raises:
        UsageError: a program, or a network whose sizes are not known before it has run.
    """
    module = unwrapped(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{name} is TorchScript, whose layers cannot be heard; give the module that it was made of, or what it "
            "puts out as an array"
        )
    if any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers()))):
        raise UsageError(f"{name} has lazy layers, whose sizes are not known yet; run it once on a batch before")
    return Loaded(module, None, name, type(module).__name__, weights_sha256(module.state_dict()))


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside wrappers, whose layers then have the names its author gave them."""
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def weights_sha256(state_dict: Mapping[str, Any]) -> str:
    """Hex SHA-256 over names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(state_dict.items()):
        _add(digest, key, value)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, key: str, value: Any) -> None:
    """A tensor; or what quantised layers keep in its place: tuples of them, types and numbers."""
    if isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            _add(digest, f"{key}.{i}", part)
    elif not isinstance(value, torch.Tensor):
        digest.update(f"{key} {value!r}".encode())
    else:
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        plain = value.detach().cpu()
        plain = plain.dequantize() if plain.is_quantized else plain
        digest.update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().data)
