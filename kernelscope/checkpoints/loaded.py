"""A network ready to run, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from kernelscope.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network ready to run, and what is known of it.

    Attributes:
        checkpoint: None unless its file described itself.
        sha256: of its file; of its weights where it has no file, or one file holds several such networks.
        notes: what was done to read it: container and prefix found, classes stubbed, numbers converted.
    """

    module: nn.Module
    checkpoint: Checkpoint | None
    name: str
    arch: str
    sha256: str
    notes: tuple[str, ...] = ()


def loaded_module(module: nn.Module, *, name: str) -> Loaded:
    """A module in memory, identified by its weights; taken out of DataParallel, DDP and torch.compile."""
    module = unwrapped(module)
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


def weights_sha256(state_dict: dict[str, torch.Tensor]) -> str:
    """Hex SHA-256 over names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(state_dict.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
