"""Activations as rows: maps and tokens pooled to one row per example, or every position a row of its own."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from kernelscope.activations.units import POOLS, Grid, require_known
from kernelscope.errors import Mismatch, UsageError


def pool(x: torch.Tensor, how: str = "auto", mask: torch.Tensor | None = None) -> torch.Tensor:
    """A layer's tensor as rows ``(n, d)``, one per example; ``(n, d)`` is left as it is.

    Args:
        x: ``(n, d)``, maps ``(n, c, h, w)`` (or any number of positions last), or tokens ``(n, t, d)``.
        how: ``avg`` and ``mean`` (which ``auto`` is) average positions, ``max`` takes their maximum, ``flatten`` keeps
            them side by side; of tokens ``cls`` takes the first and ``last`` the last.
        mask: ``(n, t)``, 0 where a token is padding; such tokens count in no average, maximum or last place.

    Raises:
        UsageError: an unknown way, or one that tokens have and maps do not.
        Mismatch: a tensor without a row per example, or a mask of other positions.
    """
    if how not in POOLS:
        require_known(how)
    if x.ndim == 0:
        raise Mismatch("a layer gives a single number, expected a row per example; choose another layer")
    if x.ndim == 1:
        return x[:, None]
    if x.ndim == 2:
        return x
    if how == "flatten":
        return x.flatten(1)
    if not x.is_floating_point():  # token numbers, say: there is no mean of whole numbers
        x = x.float()
    if x.ndim == 3:
        return _of_tokens(x, how, mask)
    if how in ("cls", "last"):
        raise UsageError(f"pooling {how} is for tokens (n, t, d), and a layer gives {tuple(x.shape)}; use avg or max")
    positions = tuple(range(2, x.ndim))
    return x.amax(positions) if how == "max" else x.mean(positions)


def _of_tokens(x: torch.Tensor, how: str, mask: torch.Tensor | None) -> torch.Tensor:
    if how == "cls":
        return x[:, 0]
    if mask is None:
        return x[:, -1] if how == "last" else x.amax(1) if how == "max" else x.mean(1)
    real = _of_positions(mask, x)
    if how == "last":
        places = torch.arange(x.shape[1], device=x.device)
        return x[torch.arange(len(x), device=x.device), (real * places).argmax(1)]
    if how == "max":
        return x.masked_fill(~real[:, :, None], -torch.inf).amax(1)
    return x.masked_fill(~real[:, :, None], 0).sum(1) / real.sum(1, keepdim=True)


def positions(
    x: torch.Tensor, mask: torch.Tensor | None = None, grid: Grid | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every position a row: rows ``(N, d)`` of tokens or of places in a map, and the example each belongs to, ``(N,)``.

    Args:
        x: tokens ``(n, t, d)`` or maps ``(n, c, h, w)``.
        mask: ``(n, t)``, 0 where a token is padding; such tokens are no rows.
        grid: of what a map is averaged down to first, see :func:`on_grid`.

    Raises:
        Mismatch: a layer without positions, a mask of other positions, or a map smaller than the grid.
    """
    if x.ndim < 3:
        raise Mismatch(f"a layer gives {tuple(x.shape)}, which has no positions; name other layers, or pool them")
    if grid is not None:
        if mask is not None:
            raise Mismatch("a mask leaves out tokens, which have no places on a grid; use the pooling token")
        x = on_grid(x, grid)
    tokens = x if x.ndim == 3 else x.flatten(2).transpose(1, 2)
    example = torch.arange(len(x), device=x.device)[:, None].expand(tokens.shape[:2])
    if mask is None or x.ndim > 3:
        return tokens.flatten(0, 1), example.flatten()
    real = _of_positions(mask, tokens)
    return tokens[real], example[real]


def on_grid(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """A map ``(n, c, H, W)``, every cell the average of what a map ``(n, c, h, w)`` holds there.

    Tokens ``(n, t, d)`` that fill a square lie row by row in it; one more is a class token, which is left out.

    Raises:
        Mismatch: tokens that fill no square, or a map with fewer places than cells along a side.
    """
    if x.ndim == 3:
        side = math.isqrt(x.shape[1])
        if side**2 not in (x.shape[1], x.shape[1] - 1):
            raise Mismatch(f"a layer gives {x.shape[1]} tokens, which fill no square; use the pooling token or avg")
        x = x[:, x.shape[1] - side**2 :].transpose(1, 2).unflatten(2, (side, side))
    if x.ndim != 4:
        raise Mismatch(f"a layer gives {tuple(x.shape)}, which is no map; use the pooling patch or avg")
    height, width = x.shape[2:]
    if height < grid.height or width < grid.width:
        finest = f"grid:{min(height, grid.height)}x{min(width, grid.width)}"
        raise Mismatch(f"a layer's map is {height} x {width}, smaller than the grid; pass --pool {finest} or coarser")
    return functional.adaptive_avg_pool2d(x, grid)


def _of_positions(mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The mask as booleans beside the tokens; every example keeps one token at least."""
    if tuple(mask.shape) != tuple(tokens.shape[:2]):
        raise Mismatch(
            f"the attention mask has shape {tuple(mask.shape)} and a layer's tokens {tuple(tokens.shape[:2])}; "
            "use the pooling cls or flatten, or another layer"
        )
    real = mask.to(tokens.device).bool()
    if not bool(real.any(1).all()):
        raise Mismatch("the attention mask leaves an example without any token; drop that example")
    return real
