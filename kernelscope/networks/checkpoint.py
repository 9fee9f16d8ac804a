"""Our self-describing checkpoint: a network that says what it is, what it takes, and what it was measured on.

Plain data in a ``torch.save`` file (format ``kernelscope.checkpoint``, version 1); it loads with
``weights_only=True``. The file may name built-in architectures only: a name from a file never becomes code.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kernelscope import files
from kernelscope.errors import NumericalError, UnreadableInput
from kernelscope.networks import weights_file, zoo

FORMAT = "kernelscope.checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds; see the fields of the same name in docs/checkpoint.md.

    ``data`` names the evaluation examples (name, split, n, seed, order_sha256), ``metrics`` what the network scored
    on them, ``training`` the recipe, history and teacher. ``path`` and ``sha256`` are set when read from a file.
    """

    arch: str
    arch_kwargs: dict[str, Any]
    state_dict: dict[str, torch.Tensor]
    layers: dict[str, Any]
    input: dict[str, Any]
    preprocess: list[dict[str, Any]]
    classes: list[str]
    data: dict[str, Any]
    metrics: dict[str, Any]
    training: dict[str, Any]
    versions: dict[str, Any]
    created: str
    path: str | None = None
    sha256: str | None = None

    def network(self) -> nn.Module:
        """The network on the CPU, in eval mode, every key and shape matched.

        Raises:
            UnreadableInput: keys missing, extra or misshapen, or an architecture that is not built in.
            NumericalError: NaN or infinite weights.
        """
        name = self.path or "checkpoint"
        if not zoo.is_built_in(self.arch):
            raise UnreadableInput(
                f"{name} wants architecture {self.arch!r}, which is not built in; pass --teacher-arch or --student-arch"
            )
        return fitted(lambda: zoo.build(self.arch, **self.arch_kwargs), self.state_dict, name)


#: field name -> annotation of everything that stands in the file
_STORED = {f.name: str(f.type) for f in dataclasses.fields(Checkpoint) if f.name not in ("path", "sha256")}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint, *, overwrite: bool = False) -> None:
    """Write the file whole or not at all.

    Raises:
        UsageError: ``path`` exists and may not be replaced.
        ResourceError: the disk is full.
    """
    files.refuse_existing(path, overwrite=overwrite)
    fields = {
        f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(Checkpoint) if f.name not in ("path", "sha256")
    }
    fields["state_dict"] = {key: value.detach().cpu().contiguous() for key, value in checkpoint.state_dict.items()}
    with files.whole_or_absent(path) as temporary:
        torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, **fields}, temporary)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote, without running any of its code.

    Raises:
        UnreadableInput: missing, empty, damaged, of another kind or of a newer version.
    """
    return from_document(weights_file.read(path), Path(path))


def from_document(document: Any, path: Path) -> Checkpoint:
    """The checkpoint in a loaded file.

    Raises:
        UnreadableInput: if it is another file's content or lacks fields.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UnreadableInput(f"{path} does not describe its network; pass --teacher-arch or --student-arch NAME")
    if document.get("format_version") != FORMAT_VERSION:
        raise UnreadableInput(
            f"{path} has format_version {document.get('format_version')!r}, expected {FORMAT_VERSION}; update"
        )
    missing = [name for name in _STORED if name not in document]
    if missing:
        raise UnreadableInput(f"{path} lacks {', '.join(missing)}; save the checkpoint again")
    kinds = {"str": str, "dict[str, Any]": dict, "dict[str, torch.Tensor]": dict}
    for name, annotation in _STORED.items():
        kind = kinds.get(annotation, list)
        if not isinstance(document[name], kind):
            raise UnreadableInput(f"{path} holds a {type(document[name]).__name__} as {name}, expected {kind.__name__}")
    return Checkpoint(**{name: document[name] for name in _STORED}, path=str(path), sha256=files.sha256(path))


def fitted(make: Any, state_dict: dict[str, Any], name: str) -> nn.Module:
    """The network ``make`` builds, with exactly these weights, in eval mode on the CPU.

    It is first built without memory (meta device) and every key and shape compared, both ways, so that a wrong or
    hostile file costs nothing.
    """
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in make().state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state_dict.items() if isinstance(value, torch.Tensor)}
    _require_same_shapes(expected, found, name)
    for key, value in state_dict.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NumericalError(f"{name} holds NaN or infinite weights in {key}; take another checkpoint")
    network: nn.Module = make()
    network.load_state_dict(state_dict, strict=True)
    return network.eval()


def _require_same_shapes(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], name: str) -> None:
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        first = [
            f"{len(keys)} {word} (first {keys[0]})" for keys, word in ((missing, "missing"), (extra, "extra")) if keys
        ]
        raise UnreadableInput(
            f"{name} does not fit the architecture: {', '.join(first)} keys; check architecture and file"
        )
    wrong = [key for key in expected if expected[key] != found[key]]
    if wrong:
        key = wrong[0]
        raise UnreadableInput(
            f"{name} does not fit the architecture: {len(wrong)} shapes differ, first {key} {found[key]} for "
            f"{expected[key]}; check its width and classes"
        )
