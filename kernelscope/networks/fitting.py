"""Putting weights into a network: every name, shape and kind of number compared first, both ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kernelscope.errors import NumericalError, UnreadableInput, one_line
from kernelscope.networks import zoo

#: BatchNorm's counters: files from before torch 0.4.1 lack them, and in eval mode nothing reads them
COUNTER = "num_batches_tracked"
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def built_in(arch: str, arch_kwargs: dict[str, Any], state_dict: dict[str, torch.Tensor], name: str) -> nn.Module:
    """A built-in architecture with exactly these weights, in eval mode on the CPU.

    It is first built without memory (meta device) and compared, so that a wrong or hostile file costs nothing. The
    global random generator is left as it was.

    Raises:
        UsageError: an unknown architecture or option. UnreadableInput, NumericalError: see :func:`filled`.
    """
    require_fit(outline(arch, arch_kwargs), state_dict, name)
    with torch.random.fork_rng(devices=[]):
        network = zoo.build(arch, **arch_kwargs)
    return filled(network, state_dict, name)


def outline(arch: str, arch_kwargs: dict[str, Any]) -> nn.Module:
    """A built-in architecture without memory: names, shapes and kinds of its weights."""
    with torch.device("meta"):
        return zoo.build(arch, **arch_kwargs)


def filled(network: nn.Module, state_dict: dict[str, torch.Tensor], name: str) -> nn.Module:
    """``network`` with exactly these weights, in eval mode; narrower floats are widened.

    Raises:
        UnreadableInput: keys missing, extra, misshapen or of another kind of number.
        NumericalError: NaN or infinite weights, naming the first.
    """
    require_fit(network, state_dict, name)
    for key, value in state_dict.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NumericalError(f"{name} holds NaN or infinite weights in {key}; take another checkpoint")
    network.load_state_dict(state_dict, strict=True)
    return network.eval()


def require_fit(network: nn.Module, state_dict: dict[str, torch.Tensor], name: str) -> None:
    """The same names, shapes and kinds of numbers, both ways; never a partial fit.

    Raises:
        UnreadableInput: with how many differ and the first of each.
    """
    expected = network.state_dict()
    missing, extra = sorted(set(expected) - set(state_dict)), sorted(set(state_dict) - set(expected))
    if missing or extra:
        first = [
            f"{len(keys)} {word} (first {one_line(keys[0], 60)})"
            for keys, word in ((missing, "missing"), (extra, "extra"))
            if keys
        ]
        raise UnreadableInput(
            f"{name} does not fit the architecture: {', '.join(first)} keys; check architecture and file"
        )
    wrong = [key for key in expected if expected[key].shape != state_dict[key].shape]
    if wrong:
        key = wrong[0]
        raise UnreadableInput(
            f"{name} does not fit the architecture: {len(wrong)} shapes differ, first {key} "
            f"{tuple(state_dict[key].shape)} for {tuple(expected[key].shape)}; check its width, channels and classes"
        )
    for key, value in state_dict.items():
        same = value.dtype in FLOATS if expected[key].is_floating_point() else value.dtype == expected[key].dtype
        if not same:
            raise UnreadableInput(
                f"{name} holds {key} as {str(value.dtype).removeprefix('torch.')}, expected "
                f"{str(expected[key].dtype).removeprefix('torch.')}; save the weights as float32"
            )


def with_counters(state_dict: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict, with BatchNorm's counters at 0 if they are all that it lacks."""
    missing = set(network.state_dict()) - set(state_dict)
    if not missing or not all(key.endswith(COUNTER) for key in missing):
        return state_dict
    return {**state_dict, **{key: torch.zeros((), dtype=torch.long) for key in missing}}
