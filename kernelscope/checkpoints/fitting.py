"""Putting weights into a network: every name, shape and kind of number compared first, both ways."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from kernelscope.errors import Mismatch, NumericalError, one_line
from kernelscope.networks import zoo

#: BatchNorm's counters: files from before torch 0.4.1 lack them, and in eval mode nothing reads them
COUNTER = "num_batches_tracked"
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def outline(arch: str, arch_kwargs: dict[str, object]) -> nn.Module:
    """A built-in architecture without memory (meta device): names, shapes and kinds of its weights.

    Weights are compared with it, so that a wrong or hostile file costs nothing; :func:`filled` makes it a network.

    Raises:
        UsageError: an unknown architecture or option.
    """
    with torch.device("meta"):
        return zoo.build(arch, **arch_kwargs)


def filled(network: nn.Module, state_dict: dict[str, torch.Tensor], name: str) -> nn.Module:
    """``network``, or an outline given memory, with weights that fit it, in eval mode; narrower floats are widened.

    Args:
        state_dict: for which :func:`misfit` is None.

    Raises:
        NumericalError: NaN or infinite weights, or too large for the network's kind of float, naming the first.
    """
    expected = network.state_dict()
    for key, value in state_dict.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.to(expected[key].dtype)).all()):
            raise NumericalError(
                f"{name} holds NaN or infinite weights in {one_line(key, 60)}; take another checkpoint"
            )
    if any(value.is_meta for value in expected.values()):
        # nothing is left uninitialised: a built-in network has no buffer that its state dict lacks
        network = network.to_empty(device="cpu")
    network.load_state_dict(state_dict, strict=True)
    return network.eval()


def require_fit(network: nn.Module, state_dict: dict[str, torch.Tensor], name: str) -> None:
    """The same names, shapes and kinds of numbers, both ways; never a partial fit.

    Raises:
        Mismatch: with how many differ and the first of each.
    """
    wrong = misfit(network, state_dict)
    if wrong is not None:
        raise Mismatch(f"{name} {wrong}")


def misfit(network: nn.Module, state_dict: dict[str, torch.Tensor]) -> str | None:
    """What keeps the weights from being this network's, in words; None if nothing does."""
    expected = network.state_dict()
    missing, extra = sorted(set(expected) - set(state_dict)), sorted(set(state_dict) - set(expected))
    if missing or extra:
        first = [
            f"{len(keys)} {word} (first {one_line(keys[0], 60)})"
            for keys, word in ((missing, "missing"), (extra, "extra"))
            if keys
        ]
        return f"does not fit the architecture: {', '.join(first)} keys; check architecture and file"
    wrong = [key for key in expected if expected[key].shape != state_dict[key].shape]
    if wrong:
        key = wrong[0]
        return (
            f"does not fit the architecture: {len(wrong)} shapes differ, first {key} "
            f"{tuple(state_dict[key].shape)} for {tuple(expected[key].shape)}; check its width, channels and classes"
        )
    for key, value in state_dict.items():
        same = value.dtype in FLOATS if expected[key].is_floating_point() else value.dtype == expected[key].dtype
        if not same:
            return (
                f"holds {key} as {_kind(value.dtype)}, expected "
                f"{_kind(expected[key].dtype)}; save the weights as float32"
            )
    return None


def conversions(network: nn.Module, state_dict: dict[str, torch.Tensor]) -> list[str]:
    """Which kinds of floats become which, for the notes of a report."""
    expected = network.state_dict()
    changed = [(v.dtype, expected[key].dtype) for key, v in state_dict.items() if v.dtype != expected[key].dtype]
    kinds = Counter(f"{_kind(old)} tensors read as {_kind(new)}" for old, new in changed)
    return [f"{count} {words}" for words, count in sorted(kinds.items())]


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def with_counters(state_dict: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, with BatchNorm's counters at 0 if they are all that it lacks."""
    missing = set(expected) - set(state_dict)
    if not missing or not all(key.endswith(COUNTER) for key in missing):
        return state_dict
    return {**state_dict, **{key: torch.zeros((), dtype=torch.long) for key in missing}}
