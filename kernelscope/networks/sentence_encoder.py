"""A sentence encoder as the sentence-transformers package lays it out: transformer, pooling, dense layers, normalising.

That package is not needed: of each module the folder has a small ``config.json``, and what it does is a line of torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUT = "modules.json"
MOST_MODULES = 32
#: in the order in which several are put side by side
POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls_token": lambda x, mask: x[:, 0],
    "max_tokens": lambda x, mask: x.masked_fill(mask == 0, -1e9).amax(1),
    "mean_tokens": lambda x, mask: (x * mask).sum(1) / mask.sum(1).clamp(min=1e-9),
    "mean_sqrt_len_tokens": lambda x, mask: (x * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt(),
    "weightedmean_tokens": lambda x, mask: _weighted(x, mask * _places(x)),
    "lasttoken": lambda x, mask: x[torch.arange(len(x), device=x.device), (mask * _places(x)).argmax(1)[:, 0]],
}
_SHORT = {name.removesuffix("_tokens").removesuffix("_token"): name for name in POOLINGS}
ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU, "Sigmoid": nn.Sigmoid}


def _places(x: torch.Tensor) -> torch.Tensor:
    return torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)[None, :, None]


def _weighted(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class Pooling(nn.Module):
    """Token embeddings ``(n, t, d)`` and their mask ``(n, t)`` to one row each, ways side by side."""

    def __init__(self, ways: list[str]) -> None:
        super().__init__()
        self.ways = ways

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        real = mask.to(x.device)[:, :, None].to(x.dtype)
        return torch.cat([POOLINGS[way](x, real) for way in self.ways], dim=1)


class Dense(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, inputs: int, outputs: int, bias: bool, activation: nn.Module) -> None:
        super().__init__()
        self.linear, self.activation_function = nn.Linear(inputs, outputs, bias=bias), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.activation_function(self.linear(x))
        return y


class Normalize(nn.Module):
    """Rows of length 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(x, dim=1)


class SentenceEncoder(nn.Module):
    """Tokens to sentence embeddings, which the layer name ``embedding`` then stands for."""

    output_is_embedding = True
    dummy_inputs: ClassVar[dict[str, torch.Tensor]] = {"input_ids": torch.ones(1, 4, dtype=torch.long)}

    def __init__(self, transformer: nn.Module, pooling: Pooling, *after: nn.Module) -> None:
        super().__init__()
        self.transformer, self.pooling, self.after = transformer, pooling, nn.Sequential(*after)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **named: torch.Tensor
    ) -> torch.Tensor:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        tokens = self.transformer(input_ids=input_ids, attention_mask=mask, **named)[0]
        embedding: torch.Tensor = self.after(self.pooling(tokens, mask))
        return embedding


@dataclass(frozen=True)
class Part:
    """A module of a folder: what it is, and where its own files lie."""

    kind: str
    folder: Path


def is_sentence_folder(path: Path) -> bool:
    """Whether a folder says of which modules a sentence encoder is made."""
    return (path / LAYOUT).is_file()


def parts_of(folder: Path) -> list[Part]:
    """The modules that ``modules.json`` lists, in order: a transformer, a pooling, and what comes after them.

    Raises:
        UnreadableInput: a file that is damaged, or modules of other kinds.
    """
    listed = _json(folder / LAYOUT)
    known = isinstance(listed, list) and 2 <= len(listed) <= MOST_MODULES
    if not known or not all(isinstance(each, dict) for each in listed):
        raise UnreadableInput(f"{folder / LAYOUT} lists no modules; name a sentence-transformers folder")
    parts = []
    for each in listed:
        inner = Path(str(each.get("path", "")))
        if inner.is_absolute() or ".." in inner.parts:
            raise UnreadableInput(f"{folder / LAYOUT} leads out of its folder; name a sentence-transformers folder")
        parts.append(Part(str(each.get("type", "")).rpartition(".")[2], folder / inner))
    kinds = [part.kind for part in parts]
    others = [kind for kind in kinds[2:] if kind not in ("Dense", "Normalize", "Dropout")]
    if kinds[:2] != ["Transformer", "Pooling"] or others:
        raise UnreadableInput(
            f"{folder} is made of {one_line(', '.join(kinds), 60)}, expected Transformer, Pooling, and Dense or "
            "Normalize; extract its embeddings and measure these"
        )
    return parts


def pooling_in(folder: Path) -> Pooling:
    """As its ``config.json`` says.

    Raises:
        UnreadableInput: a file that is damaged, or names no way that is known.
    """
    config = _config(folder)
    ways = [way for way in POOLINGS if config.get(f"pooling_mode_{way}") is True]
    named = config.get("pooling_mode")
    if not ways and isinstance(named, (str, list)):
        words = named.split("+") if isinstance(named, str) else [str(word) for word in named]
        ways = [_SHORT.get(word, word) for word in words]
    if not ways or any(way not in POOLINGS for way in ways):
        raise UnreadableInput(f"{folder} names no way of pooling that is known; extract the embeddings instead")
    return Pooling(ways)


def dense_in(folder: Path) -> Dense:
    """As its ``config.json`` says, without weights yet.

    Raises:
        UnreadableInput: a file that is damaged, or an activation that is not known.
    """
    config = _config(folder)
    sizes, bias = [config.get(key) for key in ("in_features", "out_features")], config.get("bias", True)
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    sound = all(isinstance(size, int) and 0 < size < 2**20 for size in sizes) and isinstance(bias, bool)
    if not sound or name not in ACTIVATIONS:
        raise UnreadableInput(f"{folder} has sizes or an activation ({one_line(name, 30)}) that are not known")
    with torch.random.fork_rng(devices=[]):
        return Dense(config["in_features"], config["out_features"], bias, ACTIVATIONS[name]())


def _config(folder: Path) -> dict[str, Any]:
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        raise UnreadableInput(f"{folder / 'config.json'} holds no settings; save the model again")
    return config


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(f"{type(error).__name__}: {error}", 60)
        raise UnreadableInput(f"{path} cannot be read ({reason}); save the model again") from error
