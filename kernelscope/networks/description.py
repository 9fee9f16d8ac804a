"""What a checkpoint or a network is, in numbers and words, for a reader who has not run it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kernelscope import files
from kernelscope.errors import one_line
from kernelscope.networks import weights_file
from kernelscope.networks.checkpoint import from_document, is_described
from kernelscope.networks.containers import CONTAINERS
from kernelscope.networks.tap import first_tensor

#: what a description repeats from a checkpoint, in this order
FIELDS = ("arch", "arch_kwargs", "layers", "input", "preprocess", "classes", "data", "metrics", "versions", "created")


@dataclass(frozen=True)
class LayerRow:
    """One module of a network: its path, its class, the shape it put out per example, and how often it ran."""

    path: str
    kind: str
    shape: tuple[int, ...] | None
    calls: int


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file of weights holds, without building the network or running any of the file's code.

    Keys ``path kind bytes sha256 tensors values dtypes names`` always; of our own checkpoints also the fields of the
    same name, and ``training`` without its history.

    Raises:
        UnreadableInput: the file is damaged or of another kind.
    """
    path = Path(path)
    document = weights_file.read(path).document
    described = is_described(document)
    weights, kind = _weights(document)
    fields: dict[str, Any] = {}
    if described:
        checkpoint = from_document(document, path)
        weights, kind = dict(checkpoint.state_dict), "kernelscope checkpoint"
        fields = {name: getattr(checkpoint, name) for name in FIELDS}
        fields["training"] = {
            key: value for key, value in checkpoint.training.items() if key not in ("history", "trajectory")
        }
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in weights.values())
    return {
        "path": str(path),
        "kind": kind,
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
        "tensors": len(weights),
        "values": sum(tensor.numel() for tensor in weights.values()),
        "dtypes": dict(dtypes),
        "names": list(weights),
        **fields,
    }


def lines(description: dict[str, Any]) -> list[str]:
    """A description for reading: one fact a line."""
    d = description
    dtypes = ", ".join(f"{count} {name}" for name, count in d["dtypes"].items())
    found = [
        f"{one_line(d['path'], 1000)}: {d['kind']}",
        f"{d['tensors']:,} tensors, {d['values']:,} values ({dtypes})" if d["tensors"] else "no tensors",
        f"{d['bytes']:,} bytes, sha256 {d['sha256']}",
    ]
    if "arch" not in d:
        names = ", ".join(one_line(name, 60) for name in d["names"][:6])
        return [
            *found,
            f"names: {names}{', …' if len(d['names']) > 6 else ''}",
            "it does not describe its network; pass --teacher-arch or --student-arch",
        ]
    found.append(f"arch: {one_line(d['arch'])}{_pairs(d['arch_kwargs'], ' (', ')')}")
    for name in ("input", "data", "metrics", "training", "versions"):
        if d[name]:
            found.append(f"{name}: {_pairs(d[name])}")
    if d["preprocess"]:
        found.append("preprocess: " + "; ".join(_pairs(operation) for operation in d["preprocess"]))
    if d["classes"]:
        found.append(f"classes: {len(d['classes'])} ({one_line(', '.join(d['classes']), 80)})")
    found.append(f"created: {one_line(d['created'])}")
    return found


def layer_rows(network: nn.Module, shape: Sequence[int]) -> list[LayerRow]:
    """Every module of ``network`` as it ran on one example of zeros of ``shape``, in the order of their names.

    The network's mode and the global random generator are left as they were.
    """
    calls: Counter[str] = Counter()
    shapes: dict[str, tuple[int, ...]] = {}
    modes = {module: module.training for module in network.modules()}
    handles = []

    def listen(path: str, module: nn.Module) -> None:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[path] += 1
            said = first_tensor(output)
            if said is not None:
                shapes[path] = tuple(said.shape[1:])

        handles.append(module.register_forward_hook(after))

    named = [(path, module) for path, module in network.named_modules() if path]
    try:
        for path, module in named:
            listen(path, module)
        network.eval()
        parameter = next(network.parameters(), torch.empty(0))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return [LayerRow(path, type(module).__name__, shapes.get(path), calls[path]) for path, module in named]


def _weights(document: Any) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of a foreign file and what it is."""
    if isinstance(document, torch.Tensor):
        return {"": document}, "a tensor"
    if not isinstance(document, dict):
        return {}, f"a {type(document).__name__}"
    for key in CONTAINERS:
        inner = document.get(key)
        if isinstance(inner, dict) and any(isinstance(value, torch.Tensor) for value in inner.values()):
            return _tensors(inner), f"state dict under {key!r}"
    found = _tensors(document)
    return found, "state dict" if found else "a dict"


def _tensors(document: dict[Any, Any]) -> dict[str, torch.Tensor]:
    return {str(key): value for key, value in document.items() if isinstance(value, torch.Tensor)}


def _pairs(values: dict[str, Any], before: str = "", after: str = "") -> str:
    text = ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)
    return f"{before}{one_line(text, 300)}{after}" if text else ""
