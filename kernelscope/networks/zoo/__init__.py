"""Built-in architectures by name: ``resnet8``, ``resnet18x0.5`` (half the channels), ``shufflenetv2``, ``mlp``."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError, one_line
from kernelscope.networks.zoo.resnet import STAGES, resnet
from kernelscope.networks.zoo.shufflenet import shufflenet
from kernelscope.networks.zoo.small import mlp

if TYPE_CHECKING:
    from torch import nn


def architectures() -> tuple[str, ...]:
    """Base names; each also takes a width, as in ``resnet18x0.5``."""
    return (*STAGES, "shufflenetv2", "mlp")


def is_built_in(arch: str) -> bool:
    """Whether ``arch`` names one of ours, with or without a width."""
    return _name_and_width(arch) is not None


def build(arch: str, **options: Any) -> nn.Module:
    """A fresh network that returns logits.

    Args:
        arch: ``NAME`` or ``NAMExWIDTH``.
        options: ``num_classes``, ``in_channels``; of all but ``mlp`` ``stem`` (``cifar`` or ``imagenet``), of ``mlp``
            ``hidden`` and ``in_features``.

    Raises:
        UsageError: an unknown name (with the nearest ones), width or option.
    """
    found = _name_and_width(arch)
    if found is None:
        near = difflib.get_close_matches(arch, architectures(), n=3, cutoff=0.5)
        known = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(architectures())}"
        raise UsageError(f"unknown architecture {one_line(arch, 60)!r}; {known}")
    name, width = found
    if not 0 < width <= 16:
        raise UsageError(f"width {width:g} of {name} is outside 0 … 16; write for example {name}x0.5")
    for option in ("num_classes", "in_channels", "in_features", "hidden"):
        value = options.get(option, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} was given {option} {one_line(repr(value), 20)}; give a whole number from 1")
    try:
        match name:
            case "mlp":
                return mlp(width, **options)
            case "shufflenetv2":
                return shufflenet(width, **options)
            case _:
                return resnet(name, width, **options)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        given = one_line(str(options), 60)
        raise UsageError(
            f"{name} cannot be built with {given} ({one_line(str(error), 80)}); give other options"
        ) from error


def _name_and_width(arch: str) -> tuple[str, float] | None:
    match = re.fullmatch(r"(.+?)(?:x(\d{1,6}(?:\.\d{1,6})?))?", arch)
    return (match[1], float(match[2] or 1)) if match is not None and match[1] in architectures() else None
