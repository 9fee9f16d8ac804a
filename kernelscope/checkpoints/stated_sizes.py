"""Sizes of a torchvision or timm network that nobody named and its weights state: classes, channels, positions.

The library is asked, not imitated: the network is built without memory for two values of a size, and where a shape
changes with it the file's own shape gives the value. It counts only if everything fits then.
"""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from kernelscope.checkpoints import containers, fitting
from kernelscope.errors import UsageError
from kernelscope.networks import libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from kernelscope.checkpoints.choice import Choice

Options = dict[str, Any]
#: options that decide which layers there are: what is tried, in this order
_LAYERS: dict[str, tuple[Options, ...]] = {
    "timm": ({}, {"num_classes": 0}),
    "torchvision": ({}, {"aux_loss": True}, {"aux_logits": False}),
}
#: sizes on which shapes depend linearly, with two values to try
_LINEAR = {"num_classes": (7, 11), "in_chans": (2, 5)}
_SIDE = {"timm": "img_size", "torchvision": "image_size"}  #: of an image, on which the number of positions depends


def stated_sizes(arch: str, given: Options, document: object, choice: Choice) -> Options | None:
    """What has to be said besides ``given`` so that the weights in a file fit; None if that is not found."""
    library = arch.partition(":")[0]
    for layers in _LAYERS.get(library, ()):
        outline = None if layers.keys() & given.keys() else _outline(arch, {**given, **layers})
        if outline is None:
            continue
        for place in choice.places(document):
            for weights in containers.under_prefixes(place, outline):
                sizes = _solved(arch, {**given, **layers}, outline, weights.tensors)
                if sizes is not None:
                    return {**layers, **sizes}
    return None


def _outline(arch: str, options: Options) -> nn.Module | None:
    """The network without memory, where it can be built so; None where the factory does not take the options."""
    for device in ("meta", "cpu"):
        with contextlib.suppress(UsageError), torch.device(device):
            return libraries.build(arch, options)
    return None


def _solved(arch: str, given: Options, outline: nn.Module, tensors: dict[str, torch.Tensor]) -> Options | None:
    """Sizes for which the weights fit, without those that the library would take by itself."""
    sizes: Options = {}
    for name, values in _LINEAR.items():
        networks = [None if name in given else _outline(arch, {**given, name: value}) for value in values]
        first, second = (network.state_dict() if network is not None else {} for network in networks)
        stated, usual = (_linear(values, first, second, shapes) for shapes in (tensors, outline.state_dict()))
        if stated != usual and stated is not None:
            sizes[name] = stated
    for more in ({}, *_sides(_SIDE[arch.partition(":")[0]], given, outline, tensors)):
        network = _outline(arch, {**given, **sizes, **more})
        if network is not None and fitting.misfit(network, tensors) is None:
            return {**sizes, **more}
    return None


def _linear(
    values: tuple[int, int],
    first: dict[str, torch.Tensor],
    second: dict[str, torch.Tensor],
    tensors: dict[str, torch.Tensor],
) -> int | None:
    """The size that gives the shapes of ``tensors`` wherever those of two networks of known size differ."""
    found = {
        values[0] + Fraction((stated - a) * (values[1] - values[0]), b - a)
        for key, one in first.items()
        for a, b, stated in zip(one.shape, second[key].shape, tensors[key].shape)
        if a != b
    }
    value = found.pop() if len(found) == 1 else Fraction(0)
    return int(value) if value > 0 and value.denominator == 1 else None


def _sides(name: str, given: Options, outline: nn.Module, tensors: dict[str, torch.Tensor]) -> Iterator[Options]:
    """Sides of square images that would give the file's number of positions."""
    patch = getattr(getattr(outline, "patch_embed", outline), "patch_size", None)
    patch = patch[0] if isinstance(patch, (tuple, list)) else patch
    expected = outline.state_dict()
    for key, value in tensors.items():
        if name in given or not isinstance(patch, int) or value.ndim != 3 or value.shape == expected[key].shape:
            continue
        for beside in (getattr(outline, "num_prefix_tokens", 1), 0):
            grid = math.isqrt(max(0, value.shape[1] - beside))
            if grid and grid**2 == value.shape[1] - beside:
                yield {name: grid * patch}
