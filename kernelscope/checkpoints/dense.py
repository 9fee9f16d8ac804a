"""What weights from a file must be: ordinary tensors, over bytes that the file really holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    import os


def require_dense(state_dict: dict[Any, Any], path: str | os.PathLike[str]) -> None:
    """Every value of a file's state dict is an ordinary tensor that the file really holds.

    A tensor may declare any shape over a few bytes (stride 0), no bytes at all (meta), or an inconsistent sparse
    layout on which the next product crashes the process.

    Raises:
        UnreadableInput: naming the first that is not.
    """
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UnreadableInput(
                f"{path} holds a {type(value).__name__} as {one_line(str(key), 60)!r} among its weights; "
                "save tensors by name only"
            )
        kind = unlike_weights(value)
        if kind is not None:
            raise UnreadableInput(f"{path} holds {one_line(key, 60)} {kind}, expected a dense tensor; save it dense")
    if not owns_its_bytes(state_dict):
        raise UnreadableInput(f"{path} holds many large tensors over the same bytes; save them without sharing")


def unlike_weights(value: torch.Tensor) -> str | None:
    """How a tensor differs from a plain one, in words."""
    if value.device.type != "cpu":
        return f"on device {value.device.type}"
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return str(value.layout).removeprefix("torch.")
    if value.is_quantized:
        return "quantized"
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return f"of {value.numel():,} values over {value.untyped_storage().nbytes():,} bytes"
    return None


def owns_its_bytes(tensors: dict[str, torch.Tensor]) -> bool:
    """Weights may be tied, but a thousand large tensors over the bytes of one are a way to fill the memory."""
    claimed = sum(value.nbytes for value in tensors.values())
    held = {s.data_ptr(): s.nbytes() for s in (value.untyped_storage() for value in tensors.values())}
    return claimed <= max(2**28, 4 * sum(held.values()))
