"""A few examples run ahead of the first batch: what moves with their number, what depends on more than them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from kernelscope.activations.batch_axis import found_axis
from kernelscope.activations.layer_names import parts
from kernelscope.errors import Mismatch, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.activations.batch import Batch

FEW = 4  #: examples of a trial: enough for batch statistics, and next to nothing beside a batch
ROUNDING = 1e-3  #: of a row's norm, which float32 stays below by far whatever the batch, in deep networks too
UNITS_OF_ROUNDING = 20  #: the same in units of narrower types


@dataclass
class Trial:
    """What layers gave for ``m`` examples, as they gave it; empty where the network takes no other number of them.

    Attributes:
        batch: those examples; the last of the first batch, where it has so many.
        tensors: of the layers, until the first batch is held against them.
        shapes: of the same, call by call; an axis is found at the first.
        mask: of their tokens.
        refused: what the network said to this number of examples.
    """

    batch: Batch
    m: int
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    shapes: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    mask: torch.Tensor | None = None
    refused: str = ""

    def axis(self, layer: str, shape: tuple[int, ...], n: int) -> int:
        """Along which axis of a layer's tensor its n examples lie, see :func:`found_axis`.

        Where no trial tells, the first axis of this length.
        """
        other = self._shape(layer, n)
        if other is None:
            return shape.index(n) if n in shape else 0
        return found_axis(layer, shape, n, other, self.m)

    def require_axis(self, layer: str, shape: tuple[int, ...], n: int, axis: int) -> None:
        """Refuse an axis that the number of examples does not move.

        Raises:
            Mismatch: with what it holds.
        """
        other = self._shape(layer, n)
        if other is not None and axis < min(len(shape), len(other)) and shape[axis] * self.m != other[axis] * n:
            raise Mismatch(
                f"layer {one_line(layer, 50)} has {shape[axis]} entries along axis {axis} for {n} examples and "
                f"{other[axis]} for {self.m}, so they do not lie along it; name another axis"
            )

    def _shape(self, layer: str, n: int) -> tuple[int, ...] | None:
        """That of the trial, where it tells."""
        known = [] if self.refused or self.m == n else self.shapes.get(layer, [])
        # any linear layer of the trial may have been the last; of the batch that one alone is captured
        return known[-1 if parts(layer).path == "embedding" else 0] if known else None


def few_of(batch: Batch, n: int) -> tuple[Batch, int]:
    """The last examples of a batch; of one or two all, and the first twice, as a single one may be squeezed away."""
    m = min(FEW, n - 1) if n > 2 else n + 1

    def few(x: torch.Tensor) -> torch.Tensor:
        return x[-m:] if m < n else torch.cat([x[:1], x])

    if isinstance(batch, dict):
        return {key: few(x) for key, x in batch.items()}, m
    return (tuple(map(few, batch)) if isinstance(batch, tuple) else few(batch)), m


def tolerance(network: nn.Module, rows: Mapping[str, torch.Tensor]) -> float:
    """How far rows of the same examples may differ by rounding, relative to their norm."""
    types = {x.dtype for x in (*network.parameters(), *network.buffers(), *rows.values()) if x.is_floating_point()}
    return max([ROUNDING, *(UNITS_OF_ROUNDING * torch.finfo(kind).eps for kind in types if kind.itemsize < 4)])


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest distance of two rows, relative to the root mean square of the rows' norms; they end alike."""
    k = min(len(one), len(other))
    if k == 0 or one.shape[1:] != other.shape[1:]:
        return 0.0
    X, Y = (x[len(x) - k :].detach().to("cpu", torch.float64) for x in (one, other))
    norm = float(((X.square().sum(1) + Y.square().sum(1)) / 2).mean().sqrt())
    return float((X - Y).norm(dim=1).max()) / norm if norm > 0 else 0.0


def differences(rows: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor], limit: float) -> dict[str, float]:
    """Layers whose rows differ by more than rounding, and by how much; what is not finite is told elsewhere."""
    found = {layer: difference(x, others[layer]) for layer, x in rows.items() if layer in others}
    return {layer: size for layer, size in found.items() if limit < size < float("inf")}
