"""Augmentation of a whole batch at once, drawn from a generator so that a run can be repeated."""

from __future__ import annotations

import torch
from torch.nn import functional


def shift_and_flip(x: torch.Tensor, generator: torch.Generator, pad: int, flip: bool) -> torch.Tensor:
    """Each image of ``(n, c, h, w)`` shifted by up to ``pad`` pixels (zeros come in), and mirrored half the time.

    The usual random crop after zero padding: 2 pad + 1 positions each way, independently per image. ``generator`` lives
    on the CPU, so that a run draws the same shifts on every device.
    """
    n, channels, height, width = x.shape
    if pad:
        down, right = torch.randint(0, 2 * pad + 1, (2, n, 1, 1), generator=generator)
        rows = down + torch.arange(height)[None, :, None]
        columns = right + torch.arange(width)[None, None, :]
        padded = functional.pad(x, (pad, pad, pad, pad))
        flat = (rows * (width + 2 * pad) + columns).view(n, 1, height * width).expand(n, channels, -1).to(x.device)
        x = padded.flatten(2).gather(2, flat).view(n, channels, height, width)
    if flip:
        mirrored = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        x = torch.where(mirrored.to(x.device), x.flip(-1), x)
    return x
