"""Built-in architectures by name: ``resnet8``, ``resnet18x0.5`` (half the channels)."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

from torch import nn

from kernelscope.errors import UsageError
from kernelscope.networks.zoo.resnet import STAGES, resnet


def architectures() -> tuple[str, ...]:
    """Base names; each also takes a width, as in ``resnet18x0.5``."""
    return tuple(STAGES)


def is_built_in(arch: str) -> bool:
    """Whether ``arch`` names one of ours, with or without a width."""
    match = re.fullmatch(r"(.+?)(?:x(\d+(?:\.\d+)?))?", arch)
    return match is not None and match[1] in STAGES


def build(arch: str, **options: Any) -> nn.Module:
    """A fresh network that returns logits.

    Args:
        arch: ``NAME`` or ``NAMExWIDTH``.
        options: ``num_classes``, ``in_channels``, ``stem``.

    Raises:
        UsageError: an unknown name (with the nearest ones), width or option.
    """
    match = re.fullmatch(r"(.+?)(?:x(\d+(?:\.\d+)?))?", arch)
    if match is None or match[1] not in STAGES:
        near = difflib.get_close_matches(arch, STAGES, n=3, cutoff=0.5)
        raise UsageError(
            f"unknown architecture {arch!r}; {'nearest' if near else 'there are'}: {', '.join(near or STAGES)}"
        )
    width = float(match[2] or 1)
    if not 0 < width <= 16 or not math.isfinite(width):
        raise UsageError(f"width {width:g} of {arch!r} is outside 0 … 16; write for example {match[1]}x0.5")
    try:
        return resnet(match[1], width, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{arch} cannot be built with {options} ({error}); check the options") from error
