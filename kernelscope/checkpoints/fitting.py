"""Putting weights into a network: every name, shape and kind of number compared first, both ways."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from kernelscope.errors import Mismatch, NumericalError, one_line
from kernelscope.networks import zoo

if TYPE_CHECKING:
    from collections.abc import Iterable

#: BatchNorm's counters: files from before torch 0.4.1 lack them, and in eval mode nothing reads them
COUNTER = "num_batches_tracked"
_PARAMETRIZED = re.compile(r"((?:.*\.)?)parametrizations\.([^.]+)\.original([01])$")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Tied = dict[str, list[str]]  #: names of a network's tensors that have several, each with the others


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
    require_finite(((key, value.to(expected[key].dtype)) for key, value in state_dict.items()), name)
    if any(value.is_meta for value in expected.values()):
        # nothing is left uninitialised: a built-in network has no buffer that its state dict lacks
        network = network.to_empty(device="cpu")
    network.load_state_dict(state_dict, strict=True)
    return network.eval()


def require_finite(tensors: Iterable[tuple[str, torch.Tensor]], name: str) -> None:
    """Refuse weights that are no numbers.

    Raises:
        NumericalError: naming the first.
    """
    for key, value in tensors:
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NumericalError(
                f"{name} holds NaN or infinite weights in {one_line(key, 60)}; take another checkpoint"
            )


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
    for key, others in tied(network).items():
        if not _equal(state_dict[key], state_dict[others[0]]):
            return f"holds different tensors as {key} and {others[0]}, which the network ties; check the architecture"
    for key, value in state_dict.items():
        same = value.dtype in FLOATS if expected[key].is_floating_point() else value.dtype == expected[key].dtype
        if not same:
            return (
                f"holds {key} as {_kind(value.dtype)}, expected "
                f"{_kind(expected[key].dtype)}; save the weights as float32"
            )
    return None


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a is b or (a.dtype == b.dtype and torch.equal(a, b))


def conversions(network: nn.Module, state_dict: dict[str, torch.Tensor]) -> list[str]:
    """Which kinds of floats become which, for the notes of a report."""
    expected = network.state_dict()
    changed = [(v.dtype, expected[key].dtype) for key, v in state_dict.items() if v.dtype != expected[key].dtype]
    kinds = Counter(f"{_kind(old)} tensors read as {_kind(new)}" for old, new in changed)
    return [f"{count} {words}" for words, count in sorted(kinds.items())]


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True, eq=False)
class Completed:
    """Weights with what a file may leave out, and remarks on what that was."""

    tensors: dict[str, torch.Tensor]
    remarks: tuple[str, ...] = ()


def completed(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tied: Tied) -> Completed:
    """As torch reads them: BatchNorm's counters at 0, the second name of a tied tensor, weight norm's former names.

    Where something else is missing, the weights are as they were found.
    """
    former = {before_parametrizations(key): key for key in expected}
    weights = {former.get(key, key) if key not in expected else key: value for key, value in found.items()}
    renamed = len(weights.keys() - found.keys())
    remarks = [f"{counted(renamed, 'tensor')} of weight norm under former names"] if renamed else []
    missing = [key for key in expected if key not in weights]
    filled = {key: weights[other] for key in missing for other in tied.get(key, ()) if other in weights}
    if filled:
        names = one_line(", ".join(filled), 60)
        remarks.append(
            f"{counted(len(filled), 'missing name')} filled by the tensor that the network ties to it ({names})"
        )
    counters = [key for key in missing if key not in filled and key.endswith(COUNTER)]
    if len(counters) + len(filled) < len(missing):
        return Completed(found)
    if counters:
        remarks.append(f"{counted(len(counters), 'missing BatchNorm counter')} set to 0")
    zeros = {key: torch.zeros((), dtype=torch.long) for key in counters}
    return Completed({**weights, **filled, **zeros}, tuple(remarks))


def tied(network: nn.Module) -> Tied:
    """Names that stand for one and the same tensor of a network, each with the others."""
    groups: dict[object, list[str]] = {}
    for name, value in network.state_dict(keep_vars=True).items():
        if (
            isinstance(value, torch.Tensor) and value.numel()
        ):  # without memory, tensors are known by their identity alone
            place = id(value) if value.is_meta else (value.data_ptr(), value.shape, value.stride(), value.dtype)
            groups.setdefault(place, []).append(name)
    shared = [group for group in groups.values() if len(group) > 1]
    return {name: [other for other in group if other != name] for group in shared for name in group}


def before_parametrizations(name: str) -> str:
    """``conv.weight_g`` for ``conv.parametrizations.weight.original0``: weight norm's names before torch 2.0."""
    return _PARAMETRIZED.sub(lambda found: f"{found[1]}{found[2]}_{'gv'[int(found[3])]}", name)


def counted(number: int, thing: str) -> str:
    """``1 tensor``, ``1,000 tensors``, ``2 classes``."""
    many = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else many}"
