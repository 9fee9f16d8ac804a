"""Where a network comes from: our checkpoint, bare weights with an architecture, or a module in memory."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kernelscope import files
from kernelscope.errors import UnreadableInput, UsageError
from kernelscope.networks import weights_file, zoo
from kernelscope.networks.checkpoint import FORMAT, Checkpoint, fitted, from_document

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
        arch_kwargs: arguments of that architecture.

    Raises:
        UnreadableInput: the file cannot be read, or does not fit.
        UsageError: an unknown architecture.
    """
    if isinstance(path, Checkpoint):
        return Loaded(
            path.network(), path, path.path or "checkpoint", path.arch, path.sha256 or weights_sha256(path.state_dict)
        )
    path = Path(path)
    document = weights_file.read(path)
    described = isinstance(document, dict) and document.get("format") == FORMAT
    if arch is None:
        checkpoint = from_document(document, path)
        return Loaded(checkpoint.network(), checkpoint, str(path), checkpoint.arch, checkpoint.sha256 or "")
    make = factory(arch, arch_kwargs or {})
    module = fitted(make, _state_dict_for(make, document, path), str(path))
    return Loaded(module, from_document(document, path) if described else None, str(path), arch, files.sha256(path))


def loaded_module(module: nn.Module, *, name: str) -> Loaded:
    """A module in memory, identified by its weights."""
    return Loaded(module, None, name, type(module).__name__, weights_sha256(module.state_dict()))


def factory(arch: str, arch_kwargs: dict[str, Any]) -> Callable[[], nn.Module]:
    """What builds ``arch``; only a caller may name code, never a file.

    Raises:
        UsageError: an unknown name, or a factory that cannot be imported.
    """
    if ":" not in arch:
        return lambda: zoo.build(arch, **arch_kwargs)
    module_name, _, attribute = arch.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"architecture {arch!r} cannot be imported ({error}); write pkg.mod:factory") from error
    return lambda: make(**arch_kwargs)


def weights_sha256(state_dict: dict[str, torch.Tensor]) -> str:
    """Hex SHA-256 over names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(state_dict.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _state_dict_for(make: Callable[[], nn.Module], document: Any, path: Path) -> dict[str, torch.Tensor]:
    """The container and prefix under which the file fits the architecture completely; as it is if none does."""
    with torch.device("meta"):
        expected = set(make().state_dict())
    inner = [document[key] for key in CONTAINERS if isinstance(document, dict) and isinstance(document.get(key), dict)]
    candidates = [
        c for c in [*inner, document] if isinstance(c, dict) and any(isinstance(v, torch.Tensor) for v in c.values())
    ]
    if not candidates:
        raise UnreadableInput(f"{path} holds no weights; give a state_dict saved by torch.save")
    for candidate in candidates:
        stripped = candidate
        while stripped:
            if set(stripped) == expected:
                return stripped
            prefix = next((p for p in PREFIXES if all(str(key).startswith(p) for key in stripped)), None)
            if prefix is None:
                break
            stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
    return {key: value for key, value in candidates[0].items() if isinstance(value, torch.Tensor)}
