"""Along which axis of a layer's tensor the examples lie: the one that another number of examples moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.activations.layer_names import parts
from kernelscope.errors import Mismatch, UsageError, one_line

if TYPE_CHECKING:
    import torch


def named_axis(layer: str) -> int | None:
    """The axis that a layer's name gives (``lstm#1``), if it gives one."""
    axis = parts(layer).axis
    return int(axis[1:]) if axis else None


def found_axis(layer: str, shape: tuple[int, ...], n: int, other: tuple[int, ...], m: int) -> int:
    """The axis of ``shape``, which n examples gave, that had m in ``other``, which m examples gave.

    Raises:
        Mismatch: none or several moved, or one that holds more than examples, such as heads or windows of each.
    """
    moved = [axis for axis, (of_n, of_m) in enumerate(zip(shape, other)) if of_n != of_m]
    name = one_line(layer, 50)
    if len(shape) != len(other) or len(moved) > 1:
        raise Mismatch(
            f"layer {name} gives {shape} for {n} examples and {other} for {m}; "
            f"name the axis of the examples, as {name}#0, or another layer"
        )
    if not moved:
        raise Mismatch(f"layer {name} gives {shape} for {n} examples as for {m}, so no row for each; name another")
    (axis,) = moved
    if (shape[axis], other[axis]) != (n, m):
        apart = f"if they are side by side name it as {name}#{axis}, else" if shape[axis] % n == 0 else "name"
        raise Mismatch(
            f"layer {name} gives {shape}, whose axis {axis} holds {shape[axis]} for {n} examples; {apart} another layer"
        )
    return axis


def batch_first(layer: str, x: torch.Tensor, axis: int, n: int) -> torch.Tensor:
    """The tensor with its n examples along the first axis.

    An axis of k n entries, k of each example side by side (heads, windows, frames), is taken apart: these are then
    positions, of ``(k n, d)`` and ``(k n, t, d)`` as tokens, of ``(k n, c, …)`` as places of a map.

    Raises:
        UsageError: there is no such axis. Mismatch: it does not hold the examples.
    """
    if axis >= x.ndim:
        raise UsageError(f"layer {one_line(layer, 50)} gives {tuple(x.shape)}, which has no axis {axis}")
    x = x.movedim(axis, 0)
    if len(x) == n or len(x) == 0 or len(x) % n:
        if len(x) != n:
            raise Mismatch(f"layer {one_line(layer, 50)} has {len(x)} entries along axis {axis} for {n} examples")
        return x
    x = x.unflatten(0, (n, len(x) // n))
    if x.ndim == 4:
        return x.flatten(1, 2)
    return x if x.ndim == 3 else x.movedim(1, 2)
