"""Our self-describing checkpoint: a network with what it is, what it takes, and what it was measured on.

Plain data in a ``torch.save`` file (format ``kernelscope.checkpoint``, version 1); it loads with
``weights_only=True``. The file may name built-in architectures and those of torchvision and timm: a name from a file
never becomes code.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from kernelscope import files
from kernelscope.checkpoints import fitting, weights_file
from kernelscope.checkpoints.dense import require_dense
from kernelscope.errors import Mismatch, UnreadableInput, UsageError, one_line
from kernelscope.networks import libraries, zoo

if TYPE_CHECKING:
    import os

    from kernelscope.checkpoints.weights_file import Contents

FORMAT = "kernelscope.checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        arch: a built-in architecture, as ``zoo.build`` takes it, or ``torchvision:NAME`` or ``timm:NAME``, with
            ``arch_kwargs``.
        state_dict: dense CPU tensors by name.
        layers: what ``embedding`` and ``logits`` are in this network.
        input: ``shape`` of one example and its ``layout``.
        preprocess: operations from raw examples to that input, see ``datasets/preprocess.py``.
        classes: their names, in the order of the logits.
        data: the evaluation examples: name, split, n, seed, order_sha256.
        metrics: what the network scored on them.
        training: recipe, history, trajectory, the teacher's sha256.
        versions: of kernelscope, python, torch, numpy.
        created: ISO 8601.
        path, sha256: set when read from a file.
    """

    arch: str
    arch_kwargs: dict[str, Any]
    state_dict: dict[str, torch.Tensor] = field(repr=False)
    layers: dict[str, Any]
    input: dict[str, Any]
    preprocess: list[dict[str, Any]]
    classes: list[str]
    data: dict[str, Any]
    metrics: dict[str, Any]
    training: dict[str, Any] = field(repr=False)
    versions: dict[str, Any]
    created: str
    path: str | None = None
    sha256: str | None = None

    def network(self) -> nn.Module:
        """The network on the CPU, in eval mode, every key, shape and kind of number matched.

        Raises:
            UnreadableInput: keys missing, extra or misshapen, or an architecture that is not built in.
            NumericalError: NaN or infinite weights.
        """
        name = self.path or "checkpoint"
        if zoo.is_built_in(self.arch):
            return self._built_in(name)
        if not may_be_named(self.arch):
            raise UnreadableInput(
                f"{name} wants arch {one_line(self.arch, 60)!r}, which is not built in; "
                "pass --teacher-arch or --student-arch"
            )
        return self._of_library(name)

    def _built_in(self, name: str) -> nn.Module:
        try:
            outline = fitting.outline(self.arch, self.arch_kwargs)
        except Exception as error:  # arguments come from the file, so whatever they break is the file's fault
            raise UnreadableInput(
                f"{name} names {self.arch} with arguments that cannot be built ({one_line(str(error), 80)}); "
                "save the checkpoint again"
            ) from error
        self._require_fit(outline, name)
        return fitting.filled(outline, self.state_dict, name)

    def _require_fit(self, network: nn.Module, name: str) -> None:
        try:
            fitting.require_fit(network, self.state_dict, name)
        except Mismatch as error:  # the file names both, so it contradicts itself
            raise UnreadableInput(str(error)) from error

    def _of_library(self, name: str) -> nn.Module:
        """A network of torchvision or timm with sizes as its only arguments: others name files, or what to download."""
        if not all(key in SIZES and isinstance(v, int) and 0 < v <= 100_000 for key, v in self.arch_kwargs.items()):
            given = one_line(str(self.arch_kwargs), 60)
            raise UnreadableInput(
                f"{name} gives {one_line(self.arch, 40)} the arguments {given}, but a file may give "
                f"{' and '.join(SIZES)} alone; pass --teacher-arch or --student-arch"
            )
        outline = None
        with contextlib.suppress(UsageError), torch.device("meta"):  # where it can be built without memory
            outline = libraries.build(self.arch, self.arch_kwargs)
        if outline is not None:
            self._require_fit(outline, name)
        try:  # anew, and not from the outline: it may make buffers for itself that no file holds
            network = libraries.build(self.arch, self.arch_kwargs)
        except UsageError as error:
            raise UnreadableInput(one_line(f"{name}: {error}")) from error
        if outline is None:
            self._require_fit(network, name)
        return fitting.filled(network, self.state_dict, name)


#: what a file may tell a library's network
SIZES = ("num_classes", "in_chans")
#: field name -> annotation of everything that stands in the file
_STORED = {f.name: str(f.type) for f in dataclasses.fields(Checkpoint) if f.name not in ("path", "sha256")}
#: what ``data`` may say, each None where it is not known
_DATA = {"name": str, "split": str, "n": int, "seed": int, "order_sha256": str}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint, *, overwrite: bool = False) -> None:
    """Write the file whole or not at all; equal checkpoints give equal bytes.

    Raises:
        UsageError: ``path`` exists and may not be replaced, or a field holds more than plain data (NumPy numbers
            become Python's).
        ResourceError: the disk is full, or fails.
    """
    files.refuse_existing(path, overwrite=overwrite)
    document: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    document |= {name: _plain(getattr(checkpoint, name), name) for name in _STORED if name != "state_dict"}
    document["state_dict"] = {key: _compact(value) for key, value in checkpoint.state_dict.items()}
    files.require_space(Path(path).parent, sum(value.nbytes for value in document["state_dict"].values()))
    # to a stream, as from a path torch keeps the path's name in the file
    files.write_by(path, lambda stream: torch.save(document, stream))


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote, without running any of its code.

    Raises:
        UnreadableInput: missing, empty, damaged, of another kind or of a newer version.
    """
    with weights_file.opened(path) as contents:
        checkpoint = checkpoint_in(contents, Path(path))
    if checkpoint is None:
        raise UnreadableInput(f"{path} does not describe its network; pass --teacher-arch or --student-arch NAME")
    return checkpoint


def may_be_named(arch: str) -> bool:
    """Whether a file may name this architecture: a built-in one, or one of a library; never somebody's own code."""
    return zoo.is_built_in(arch) or arch.partition(":")[0] in libraries.LIBRARIES


def checkpoint_in(contents: Contents, path: Path) -> Checkpoint | None:
    """Our checkpoint in an opened file; None if it does not claim to be one.

    Raises:
        UnreadableInput: it lacks fields or holds something else in them.
    """
    document = contents.document
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    _require_fields(document, path)
    fields = {name: document[name] for name in _STORED if name != "state_dict"}
    try:
        plain = {name: _plain(value, name) for name, value in fields.items()}
    except UsageError as error:
        raise UnreadableInput(f"{path} holds more than plain data: {error}") from error
    return Checkpoint(**plain, state_dict=document["state_dict"], path=str(path), sha256=contents.sha256)


def _require_fields(document: dict[object, Any], path: Path) -> None:
    if document.get("format_version") != FORMAT_VERSION:
        raise UnreadableInput(
            f"{path} has format_version {_brief(document.get('format_version'))}, "
            f"expected {FORMAT_VERSION}; update kernelscope"
        )
    missing = [name for name in _STORED if name not in document]
    if missing:
        raise UnreadableInput(f"{path} lacks {', '.join(missing)}; save the checkpoint again")
    _require_small({name: document[name] for name in _STORED if name != "state_dict"}, path)
    for name, annotation in _STORED.items():
        kind = {"str": str, "list[str]": list, "list[dict[str, Any]]": list}.get(annotation, dict)
        _require_kind(document[name], kind, name, path)
        for item in document[name] if kind is list else ():
            _require_kind(item, str if annotation == "list[str]" else dict, f"{name} item", path)
    for key, data_kind in _DATA.items():
        if document["data"].get(key) is not None:
            _require_kind(document["data"][key], data_kind, f"data {key}", path)
    top1 = document["metrics"].get("top1")
    if top1 is not None and not (isinstance(top1, (int, float)) and 0 <= top1 <= 1):
        raise UnreadableInput(f"{path} states a top1 of {_brief(top1)}, expected a share from 0 to 1")
    require_dense(document["state_dict"], path)


def _require_kind(value: object, kind: type, what: str, path: Path) -> None:
    if not isinstance(value, kind):
        raise UnreadableInput(f"{path} holds a {type(value).__name__} as {what}, expected {kind.__name__}")


def _brief(value: object) -> str:
    """A number or text; of anything else its class, as lists may double with every level and print without end."""
    return one_line(repr(value), 40) if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"


def _require_small(fields: object, path: Path) -> None:
    """Refuse what is nested without end, or grows without end by sharing its parts (which costs a file nothing)."""
    waiting, seen = [(fields, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1 + len(value) // 1_000 if isinstance(value, (str, bytes)) else 1
        if depth > 50 or seen > 1_000_000:
            raise UnreadableInput(f"{path} nests or repeats its fields beyond a million items; save it again")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(item, depth + 1) for item in value]


def _plain(value: object, where: str) -> Any:
    """``value`` as numbers, text, lists, tuples and dicts alone: what loads without any class.

    Subclasses lose their class: ``np.float64`` becomes float, torch's version becomes str.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        return _plain(value.item(), where)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UsageError(f"{where} has the key {one_line(repr(key), 40)}, expected text; use str keys")
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise UsageError(
        f"{one_line(where, 60)} is a {type(value).__name__}, expected plain data; use numbers, text, lists and dicts"
    )


def _compact(value: torch.Tensor) -> torch.Tensor:
    """On the CPU and alone in its storage: torch.save would write all of a view's storage."""
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
