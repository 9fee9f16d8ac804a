"""Augmentation of a whole batch at once, drawn from a generator so that a run can be repeated.

``generator`` lives on the CPU, so that a run draws the same numbers on every device.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  #: of the part that ``resized_crop`` cuts out, as in Szegedy et al. 2015


def shift_and_flip(x: torch.Tensor, generator: torch.Generator, pad: int, flip: bool) -> torch.Tensor:
    """Each image of ``(n, c, h, w)`` shifted by up to ``pad`` pixels (zeros come in), and mirrored half the time.

    The usual random crop after zero padding: 2 pad + 1 positions each way, independently per image.
    """
    n, channels, height, width = x.shape
    if pad:
        down, right = torch.randint(0, 2 * pad + 1, (2, n, 1, 1), generator=generator)
        rows = down + torch.arange(height)[None, :, None]
        columns = right + torch.arange(width)[None, None, :]
        padded = functional.pad(x, (pad, pad, pad, pad))
        flat = (rows * (width + 2 * pad) + columns).view(n, 1, height * width).expand(n, channels, -1).to(x.device)
        x = padded.flatten(2).gather(2, flat).view(n, channels, height, width)
    return _mirrored(x, generator) if flip else x


def resized_crop(x: torch.Tensor, generator: torch.Generator, flip: bool) -> torch.Tensor:
    """A part of 8 to 100 % of each image of ``(n, c, h, w)``, at 3 : 4 to 4 : 3, scaled to the whole, bilinear.

    A part that the drawn ratio would make longer than the image is cut to it.
    """
    n, _, height, width = x.shape
    draws = torch.rand(4, n, generator=generator)
    area = AREA[0] + (AREA[1] - AREA[0]) * draws[0]
    ratio = torch.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * draws[1])
    tall, wide = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    # in the coordinates of grid_sample the image reaches from -1 to 1: a part has its size as scale
    down, right = (1 - tall) * (2 * draws[2] - 1), (1 - wide) * (2 * draws[3] - 1)
    zero = torch.zeros(n)
    theta = torch.stack([torch.stack([wide, zero, right], 1), torch.stack([zero, tall, down], 1)], 1)
    grid = functional.affine_grid(theta.to(x.device), [n, 1, height, width], align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _mirrored(x, generator) if flip else x


def _mirrored(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    mirrored = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored.to(x.device), x.flip(-1), x)
