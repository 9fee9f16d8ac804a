"""Where a network comes from: our checkpoint, bare weights with an architecture, or a module in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from kernelscope.checkpoints import containers, fitting, recognition, weights_file
from kernelscope.checkpoints.checkpoint import Checkpoint, from_document, is_described, may_be_named
from kernelscope.checkpoints.loaded import Loaded, weights_sha256
from kernelscope.errors import UnreadableInput, UsageError, one_line
from kernelscope.networks import libraries as other_architectures


def load(
    path: str | os.PathLike[str] | Checkpoint,
    *,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    role: str | None = None,
) -> Loaded:
    """The network in a file.

    Args:
        path: our checkpoint, or weights of any origin: a state dict, bare or inside other dicts, with or without
            prefixes; a pickled network, of which nothing is run; safetensors; a Hugging Face folder.
        arch: a built-in name, ``torchvision:NAME``, ``timm:NAME``, ``hf:DIR`` or ``pkg.mod:factory``. Needed where
            the file does not describe itself and none of the built-in ones fits; wins over what the file says.
        arch_kwargs: arguments of that architecture; by default the file's own if it names the same one, and that is
            not the caller's own code.
        role: ``teacher`` or ``student``, to choose in a file that holds both.

    Raises:
        UnreadableInput: the file cannot be read, or holds several networks that fit.
        Mismatch: it does not fit the architecture that the caller named.
        UsageError: an unknown architecture, or arguments without one.
    """
    if isinstance(path, Checkpoint):
        return Loaded(
            path.network(), path, path.path or "checkpoint", path.arch, path.sha256 or weights_sha256(path.state_dict)
        )
    if arch is None and arch_kwargs:
        raise UsageError(f"arguments {arch_kwargs} were given for {path} without an architecture; name it as well")
    path = Path(path)
    contents = weights_file.read(path)
    document = contents.document
    described = is_described(document)
    checkpoint = from_document(document, path) if described else None
    if checkpoint is not None and arch == checkpoint.arch and not arch_kwargs and may_be_named(arch):
        arch = None  # the file knows its own arguments, but tells none to the caller's code
    if checkpoint is not None and arch is None:
        return Loaded(checkpoint.network(), checkpoint, str(path), checkpoint.arch, checkpoint.sha256 or "")
    taken: tuple[str, ...] = ()
    if arch is None:
        known = _recognised(document, path, role)
        arch, arch_kwargs = known.arch, known.arch_kwargs
        taken = (f"taken for {known.words}, which its names and shapes fit completely",)
    module, found = _named_by_caller(arch, arch_kwargs or {}, document, path, role)
    # one file with two networks has one digest, but their features must not be taken for each other's
    sha256 = contents.sha256 if found.alone else weights_sha256(found.tensors)
    notes = () if described else (*taken, *_stubbed(contents), *contents.remarks, *found.remarks())
    return Loaded(
        module,
        checkpoint,
        str(path),
        arch,
        sha256,
        tuple(one_line(f"{path.name}: {note}") for note in (*notes, *fitting.conversions(module, found.tensors))),
    )


def _recognised(document: Any, path: Path, role: str | None) -> recognition.Known:
    """The built-in architecture whose weights a file holds, told by their names and shapes alone.

    Raises:
        UnreadableInput: none fits, several do, or the weights leave open which it is.
    """
    with weights_file.door(path):
        places = containers.places_with_weights(document, str(path))[: recognition.MAX_TRIES]
        known = {id(found.weights): found for place in places for found in recognition.recognise(place)}
        if not known:
            raise UnreadableInput(
                f"{path} does not describe its network, nor does a built-in one fit; "
                "pass --teacher-arch or --student-arch NAME"
            )
        for found in known.values():
            weights_file.require_dense(found.weights.tensors, path)
        different = containers.different([found.weights for found in known.values()])
        chosen = known[id(containers.one_of(different, str(path), role))]
    if chosen.stems:
        raise UnreadableInput(
            f"{path} fits {chosen.words} with stem {' or '.join(chosen.stems)} alike; "
            "pass --teacher-arch or --student-arch and its arguments"
        )
    return chosen


def _stubbed(contents: weights_file.Contents) -> list[str]:
    if not contents.stubbed:
        return []
    names = one_line(", ".join(contents.stubbed), 100)
    return [f"{containers.counted(len(contents.stubbed), 'class')} read as inert stubs ({names})"]


def _named_by_caller(
    arch: str, arch_kwargs: dict[str, Any], document: Any, path: Path, role: str | None
) -> tuple[nn.Module, containers.Weights]:
    if ":" in arch:
        network = other_architectures.build(arch, arch_kwargs)
        with weights_file.door(path):
            found = containers.weights_for(network, document, str(path), role)
        return fitting.filled(network, found.tensors, str(path)), found
    outline = fitting.outline(arch, arch_kwargs)
    with weights_file.door(path):
        found = containers.weights_for(outline, document, str(path), role)
    return fitting.built_in(arch, arch_kwargs, found.tensors, str(path)), found
