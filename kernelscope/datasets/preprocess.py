"""Preprocessing as plain data: a closed list of operations that a checkpoint can carry and anyone can repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernelscope.errors import UnreadableInput

OPERATIONS = ("scale", "normalize")


def apply(operations: list[dict[str, Any]], raw: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Raw inputs ``(n, ...)`` as float32, through ``operations`` in order.

    ``{"op": "scale", "by": 0.0625}`` multiplies; ``{"op": "normalize", "mean": [...], "std": [...]}`` subtracts and
    divides per channel of ``(n, c, h, w)``.

    Raises:
        UnreadableInput: an operation outside the closed list, or one without its numbers.
    """
    x = torch.as_tensor(raw).to(torch.float32)
    for operation in operations:
        try:
            x = _step(operation, x)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnreadableInput(
                f"preprocessing {operation} cannot be applied to inputs of shape {tuple(x.shape)} ({error}); "
                "save the checkpoint again"
            ) from error
    return x


def _step(operation: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    match operation.get("op"):
        case "scale":
            return x * float(operation["by"])
        case "normalize":
            mean, std = (torch.tensor(operation[key], dtype=torch.float32) for key in ("mean", "std"))
            shape = (1, -1, *[1] * (x.ndim - 2))
            return (x - mean.view(shape)) / std.view(shape)
        case other:
            raise UnreadableInput(f"preprocessing {other!r} is not one of {', '.join(OPERATIONS)}; save it with those")
