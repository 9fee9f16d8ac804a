"""What a network is called with, a batch at a time."""

from __future__ import annotations

import torch

MASK = "attention_mask"  #: of a batch that is a dict, as Hugging Face names it

#: ``net(x)``, ``net(*xs)`` or ``net(**xs)``
Batch = torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


def batch_length(batch: Batch) -> int:
    """How many examples a batch holds."""
    if isinstance(batch, dict):
        return len(next(iter(batch.values())))
    return len(batch[0]) if isinstance(batch, tuple) else len(batch)


def tensors_of(batch: Batch) -> list[torch.Tensor]:
    """The tensors of a batch, in their order."""
    if isinstance(batch, dict):
        return list(batch.values())
    return list(batch) if isinstance(batch, tuple) else [batch]
