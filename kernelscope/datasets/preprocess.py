"""Preprocessing as plain data: a closed list of operations that a checkpoint can carry and anyone can repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernelscope.errors import UnreadableInput, one_line

OPERATIONS = ("scale", "normalize")


def apply(operations: list[dict[str, Any]], raw: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Raw inputs ``(n, ...)`` as float32, through ``operations`` in order; always a copy, never a view of ``raw``.

    ``{"op": "scale", "by": 0.0625}`` multiplies; ``{"op": "normalize", "mean": [...], "std": [...]}`` subtracts and
    divides per channel of ``(n, c, ...)``, one number for each.

    Raises:
        UnreadableInput: an operation outside the closed list, without its numbers, or for other channels.
    """
    if isinstance(raw, torch.Tensor):
        x = raw.to(torch.float32, copy=True)
    else:
        x = torch.from_numpy(np.array(raw, dtype=np.float32, order="C"))
    for operation in operations:
        try:
            x = _step(operation, x)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UnreadableInput(
                f"preprocessing {one_line(str(operation), 60)} does not suit inputs of shape {tuple(x.shape)} "
                f"({one_line(str(error), 60)}); save the checkpoint again"
            ) from error
    return x


def _step(operation: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    match operation.get("op"):
        case "scale":
            return x * _numbers([operation["by"]]).to(x.device)
        case "normalize":
            mean, std = (_numbers(operation[key]) for key in ("mean", "std"))
            if x.ndim < 2 or not len(mean) == len(std) == x.shape[1]:  # torch would broadcast one channel to three
                raise ValueError(f"{len(mean)} means, {len(std)} stds")
            if not bool((std > 0).all()):
                raise ValueError("a std is not positive")
            shape = (1, -1, *[1] * (x.ndim - 2))
            return (x - mean.to(x.device).view(shape)) / std.to(x.device).view(shape)
        case other:
            raise UnreadableInput(
                f"preprocessing {one_line(repr(other), 40)} is not one of {', '.join(OPERATIONS)}; save it with those"
            )


def _numbers(values: Any) -> torch.Tensor:
    """A list of finite numbers as float32, shape ``(k,)``."""
    numbers = torch.tensor([float(value) for value in values], dtype=torch.float32)
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError("a number is not finite")
    return numbers
