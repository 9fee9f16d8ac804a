"""Where a network comes from: our checkpoint, bare weights with an architecture, or a module in memory."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kernelscope import files
from kernelscope.errors import UnreadableInput, UsageError, one_line
from kernelscope.networks import fitting, weights_file
from kernelscope.networks.checkpoint import Checkpoint, from_document, is_described

CONTAINERS = ("state_dict", "model", "model_state_dict", "net", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network ready to run, and what is known of it; ``checkpoint`` is None unless its file described itself."""

    module: nn.Module
    checkpoint: Checkpoint | None
    name: str
    arch: str
    sha256: str


def load(
    path: str | os.PathLike[str] | Checkpoint, *, arch: str | None = None, arch_kwargs: dict[str, Any] | None = None
) -> Loaded:
    """The network in a file.

    Args:
        path: our checkpoint, or a file of weights (a state dict, or one inside a dict, with or without the prefixes
            that DataParallel and torch.compile leave).
        arch: a built-in name, or ``pkg.mod:factory`` (the working folder is importable). Needed where the file does
            not describe itself; wins over what the file says.
        arch_kwargs: arguments of that architecture; by default the file's own if it names the same one.

    Raises:
        UnreadableInput: the file cannot be read, or does not fit.
        UsageError: an unknown architecture, or arguments without one.
    """
    if isinstance(path, Checkpoint):
        return Loaded(
            path.network(), path, path.path or "checkpoint", path.arch, path.sha256 or weights_sha256(path.state_dict)
        )
    if arch is None and arch_kwargs:
        raise UsageError(f"arguments {arch_kwargs} were given for {path} without an architecture; name it as well")
    path = Path(path)
    document = weights_file.read(path)
    checkpoint = from_document(document, path) if arch is None or is_described(document) else None
    if checkpoint is not None and arch is None:
        return Loaded(checkpoint.network(), checkpoint, str(path), checkpoint.arch, checkpoint.sha256 or "")
    assert arch is not None
    options = arch_kwargs or {}
    if not options and checkpoint is not None and checkpoint.arch == arch:
        options = checkpoint.arch_kwargs  # the file knows the arguments of its own architecture
    module = _named_by_caller(arch, options, document, path)
    return Loaded(module, checkpoint, str(path), arch, files.sha256(path))


def _named_by_caller(arch: str, arch_kwargs: dict[str, Any], document: Any, path: Path) -> nn.Module:
    if ":" in arch:
        network = called(arch, arch_kwargs)
        return fitting.filled(network, _weights_for(network, document, path), str(path))
    weights = _weights_for(fitting.outline(arch, arch_kwargs), document, path)
    return fitting.built_in(arch, arch_kwargs, weights, str(path))


def loaded_module(module: nn.Module, *, name: str) -> Loaded:
    """A module in memory, identified by its weights."""
    return Loaded(module, None, name, type(module).__name__, weights_sha256(module.state_dict()))


def called(arch: str, arch_kwargs: dict[str, Any]) -> nn.Module:
    """What ``pkg.mod:factory`` makes; only a caller may name code, never a file. The working folder is importable.

    Raises:
        UsageError: a factory that cannot be imported or called, or that makes no network.
    """
    module_name, _, attribute = arch.partition(":")
    if module_name in ("torchvision", "timm", "hf"):
        raise UsageError(f"arch {arch} is not read here; pass pkg.mod:factory, such as torchvision.models:resnet18")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        make: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            make = getattr(make, part)
    except Exception as error:  # importing runs the caller's code, which may fail in any way
        raise UsageError(f"arch {arch} cannot be imported ({_in_words(error)}); write pkg.mod:factory") from error
    try:
        with torch.random.fork_rng(devices=[]):
            network = make(**arch_kwargs)
    except Exception as error:
        raise UsageError(
            f"arch {arch} cannot be called with {arch_kwargs} ({_in_words(error)}); mend its arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"arch {arch} makes a {type(network).__name__}, expected an nn.Module; name its factory")
    return network


def _in_words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 80)


def weights_sha256(state_dict: dict[str, torch.Tensor]) -> str:
    """Hex SHA-256 over names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(state_dict.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _weights_for(network: nn.Module, document: Any, path: Path) -> dict[str, torch.Tensor]:
    """The container and prefix under which the file fits the network completely; as it is if none does."""
    if not isinstance(document, dict):
        raise UnreadableInput(f"{path} holds a {type(document).__name__}, not weights; save a state_dict by torch.save")
    inner = [document[key] for key in CONTAINERS if isinstance(document.get(key), dict)]
    candidates = [c for c in [*inner, document] if any(isinstance(v, torch.Tensor) for v in c.values())]
    if not candidates:
        raise UnreadableInput(f"{path} holds no weights; save a state_dict by torch.save")
    expected = set(network.state_dict())
    for candidate in candidates:
        if not all(isinstance(key, str) for key in candidate):
            continue
        stripped = {key: value for key, value in candidate.items() if key != "n_averaged"}  # of AveragedModel
        while stripped:
            complete = fitting.with_counters(stripped, network)
            if set(complete) == expected:
                weights_file.require_dense(complete, path)
                return complete
            prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in stripped)), None)
            if prefix is None:
                break
            stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
    first: dict[str, torch.Tensor] = candidates[0]
    weights_file.require_dense(first, path)
    return first
