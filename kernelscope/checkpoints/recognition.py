"""Which of the built-in architectures a dict of weights belongs to, by names and shapes alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.checkpoints import containers, fitting
from kernelscope.errors import KernelscopeError
from kernelscope.networks.zoo.resnet import STAGES
from kernelscope.networks.zoo.shufflenet import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from kernelscope.checkpoints.containers import Place, Weights

#: shortest prefixes tried, of the first places of a file
MAX_TRIES = 8
_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.conv1\.weight")


@dataclass(frozen=True)
class Known:
    """Weights that are completely those of a built-in architecture.

    ``outline`` is its network without memory, ``stems`` those that fit alike, if no weight tells which it was; by
    default the first.
    """

    arch: str
    arch_kwargs: dict[str, object]
    outline: nn.Module
    weights: Weights
    stems: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The architecture and its arguments, for a message."""
        options = ", ".join(f"{key} {value}" for key, value in self.arch_kwargs.items())
        return f"{self.arch} ({options})"


def recognise(place: Place) -> Iterator[Known]:
    """The built-in architectures whose weights stand in a place, under different prefixes."""
    seen = set()
    for tensors in containers.spellings(place.tensors):
        for first, guesses in _GUESSES.items():
            for prefix in containers.prefixes_before(first, tensors)[:MAX_TRIES]:
                inner = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
                for arch, options in guesses(inner):
                    for outline, weights in _fitting(arch, options, place):
                        if weights.prefix not in seen:
                            seen.add(weights.prefix)
                            yield Known(arch, options, outline, weights, _alike(arch))
        if seen:
            return


def _fitting(arch: str, options: dict[str, object], place: Place) -> Iterator[tuple[nn.Module, Weights]]:
    try:
        outline = fitting.outline(arch, options)
    except KernelscopeError:  # shapes that no such network has
        return
    for weights in containers.under_prefixes(place, outline):
        if fitting.misfit(outline, weights.tensors) is None:
            yield outline, weights


def _residual(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, object]]]:
    """Networks with as many blocks in each stage, as wide as the first convolution."""
    stem, head = weights["conv1.weight"], weights.get("fc.weight")
    if head is None or head.ndim != 2 or stem.ndim != 4 or 0 in (*stem.shape, *head.shape):
        return
    blocks = Counter(int(match[1]) for key in weights if (match := _BLOCK.fullmatch(key)))
    for name, (expected, channels) in STAGES.items():
        if tuple(blocks[i + 1] for i in range(len(blocks))) == expected:
            options: dict[str, object] = {"num_classes": head.shape[0], "in_channels": stem.shape[1]}
            if stem.shape[2] == 7:
                options["stem"] = "imagenet"
            yield _wide(name, stem.shape[0] / channels), options


def _mlp(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, object]]]:
    first, head = weights["fc1.weight"], weights.get("fc.weight")
    if head is not None and first.ndim == head.ndim == 2 and 0 not in (*first.shape, *head.shape):
        yield "mlp", {"hidden": first.shape[0], "in_features": first.shape[1], "num_classes": head.shape[0]}


def _shuffled(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, object]]]:
    """Of the published widths or, as others end alike, the one of fewest digits that gives these stages."""
    names = ("conv1.0.weight", *(f"stage{i}.0.branch1.2.weight" for i in (2, 3, 4)), "conv5.0.weight", "fc.weight")
    found = [weights.get(name) for name in names]
    shapes = [tuple(tensor.shape) for tensor in found if tensor is not None]
    if [len(shape) for shape in shapes] != [4, 4, 4, 4, 4, 2]:
        return
    (_, in_channels, *_), *stages, (last, *_), (classes, _) = shapes
    halves = [shape[0] for shape in stages]
    options: dict[str, object] = {"num_classes": classes, "in_channels": in_channels}
    for width, channels in PUBLISHED.items():
        if channels == (*(2 * half for half in halves), last):
            yield _wide("shufflenetv2", width), options
            return
    pairs = list(zip(halves, PUBLISHED[1.0]))
    low, high = max((2 * half - 1) / single for half, single in pairs), min((2 * h + 1) / s for h, s in pairs)
    for digits in range(7):
        width = math.ceil(low * 10**digits) / 10**digits
        if low <= width <= high:
            yield _wide("shufflenetv2", width), options
            return


def _wide(name: str, width: float) -> str:
    return name if width == 1 else f"{name}x{width:.6f}".rstrip("0").rstrip(".")


def _alike(arch: str) -> tuple[str, ...]:
    """Stems that differ in stride and pooling alone."""
    return ("cifar", "imagenet") if arch.startswith("shufflenetv2") else ()


#: the first tensor of a family, and what the others say
_GUESSES = {"conv1.weight": _residual, "conv1.0.weight": _shuffled, "fc1.weight": _mlp}
