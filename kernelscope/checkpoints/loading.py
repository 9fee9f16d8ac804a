"""Where a network comes from: our checkpoint, bare weights with an architecture, or a module in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kernelscope.checkpoints import containers, fitting, recognition, weights_file
from kernelscope.checkpoints.checkpoint import Checkpoint, checkpoint_in, may_be_named
from kernelscope.checkpoints.choice import Choice, different
from kernelscope.checkpoints.dense import require_dense
from kernelscope.checkpoints.loaded import Loaded, loaded_module, weights_sha256
from kernelscope.checkpoints.pretrained_folder import HUB, load_pretrained, stated_architecture
from kernelscope.checkpoints.sentence_folder import load_sentence_encoder
from kernelscope.checkpoints.stated_sizes import stated_sizes
from kernelscope.errors import Mismatch, UnreadableInput, UsageError, one_line
from kernelscope.file_parts import split
from kernelscope.networks import libraries
from kernelscope.networks.sentence_encoder import is_sentence_folder


def load(
    path: str | os.PathLike[str] | Checkpoint,
    *,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    role: str | None = None,
) -> Loaded:
    """The network in a file.

    Examples:
        >>> import kernelscope as ks
        >>> path = ks.train(ks.recipe(arch="resnet8x0.25", epochs=1)).save("net.pt")
        >>> ks.load(path).arch
        'resnet8x0.25'

    Args:
        path: our checkpoint, or weights of any origin: a state dict, bare or inside other dicts, with or without
            prefixes; a pickled network, of which nothing is run; safetensors; a Hugging Face folder or a
            sentence-transformers folder, which need no architecture. ``FILE::part`` names one of several networks in a
            file, by the keys that lead to its weights or by the prefix of their names.
        arch: a built-in name, ``torchvision:NAME``, ``timm:NAME``, ``hf:DIR`` or ``pkg.mod:factory``. Needed where
            the file does not describe itself and none of the built-in ones fits; goes before what the file states.
            Sizes of torchvision's and timm's that are not said are those of the weights.
        arch_kwargs: arguments of that architecture; by default the file's own if it names the same one, and that is
            not the caller's own code.
        role: ``teacher`` or ``student``, to choose in a file that holds both.

    Raises:
        UnreadableInput: the file cannot be read, or holds several networks that fit.
        Mismatch: it does not fit the architecture that the caller named.
        UsageError: an unknown architecture, or arguments without one.
    """
    if isinstance(path, Checkpoint):
        return _described(path, path.path or "checkpoint")
    file, part = split(path)
    if arch is None and part is None:
        if is_sentence_folder(file):
            return load_sentence_encoder(file)
        if (stated := stated_architecture(file)) is not None:
            arch, arch_kwargs = stated[0], {**stated[1], **(arch_kwargs or {})}
    if arch is None and arch_kwargs:
        raise UsageError(f"arguments {arch_kwargs} were given for {path} without an architecture; name it as well")
    choice = Choice(str(file), part, role)
    with weights_file.opened(file) as contents:
        if arch is not None and arch.startswith(HUB):
            return load_pretrained(contents, Path(arch.removeprefix(HUB)), arch_kwargs or {}, choice)
        checkpoint = checkpoint_in(contents, file)
        if checkpoint is not None and arch == checkpoint.arch and not arch_kwargs and may_be_named(arch):
            arch = None  # the file knows its own arguments, but gives the caller's code none
        if checkpoint is not None and arch is None and part in (None, "", "state_dict"):
            return _described(checkpoint, str(path))
        if arch is None:
            fit = _recognised(contents.document, choice)
        else:
            fit = _asked_for(arch, arch_kwargs or {}, contents.document, choice)
    return _filled(fit, contents, checkpoint, choice)


def as_loaded(given: object, name: str) -> Loaded:
    """A network given as a checkpoint's path, as what :func:`load` gives, or as a module in memory.

    Raises:
        UsageError: it is none of these, or a module that cannot be run. UnreadableInput, Mismatch: see :func:`load`.
    """
    if isinstance(given, Loaded):
        return given
    if isinstance(given, nn.Module):
        return loaded_module(given, name=name)
    if not isinstance(given, (str, os.PathLike, Checkpoint)):
        raise UsageError(f"{name} is a {type(given).__name__}, expected a path, what ks.load gives, or a module")
    return load(given, role=name if name in ("teacher", "student") else None)


@dataclass(frozen=True, eq=False)
class _Fit:
    """An architecture and the weights in a file that fit it; ``taken`` is what nobody named."""

    arch: str
    network: nn.Module
    weights: containers.Weights
    taken: tuple[str, ...] = ()


def _described(checkpoint: Checkpoint, name: str) -> Loaded:
    sha256 = checkpoint.sha256 or weights_sha256(checkpoint.state_dict)
    return Loaded(checkpoint.network(), checkpoint, name, checkpoint.arch, sha256)


def _recognised(document: object, choice: Choice) -> _Fit:
    """The built-in architecture whose weights a file holds, by their names and shapes alone.

    Raises:
        UnreadableInput: none fits, several do, or the weights leave open which it is. UsageError: the part that is
            named is not there.
    """
    places = choice.places(document)[: recognition.MAX_TRIES]
    known = {id(found.weights): found for place in places for found in recognition.recognise(place)}
    if not known:
        choice.among([containers.Weights(place.tensors, place.where, "") for place in places])
        raise UnreadableInput(
            f"{choice.file} does not describe its network, nor does a built-in one fit; "
            "pass --teacher-arch or --student-arch NAME"
        )
    for found in known.values():
        require_dense(found.weights.tensors, choice.file)
    among = choice.among([found.weights for found in known.values()])
    chosen = known[id(choice.one_of(different(among)))]
    if chosen.stems:
        raise UnreadableInput(
            f"{choice.file} fits {chosen.words} with stem {' or '.join(chosen.stems)} alike; "
            "pass --teacher-arch or --student-arch and its arguments"
        )
    # looked for again, as a file of many places may hold another such network beyond the first few
    weights = choice.weights_for(chosen.outline, document)
    taken = f"taken for {chosen.words}, which its names and shapes fit completely"
    return _Fit(chosen.arch, chosen.outline, weights, (taken,))


def _asked_for(arch: str, arch_kwargs: dict[str, Any], document: object, choice: Choice) -> _Fit:
    """The architecture that the caller named; sizes that nobody named are those of the weights.

    Raises:
        As :func:`load`.
    """
    if ":" not in arch:
        network = fitting.outline(arch, arch_kwargs)
        return _Fit(arch, network, choice.weights_for(network, document))
    network = libraries.build(arch, arch_kwargs)
    try:
        return _Fit(arch, network, choice.weights_for(network, document))
    except Mismatch:
        sizes = stated_sizes(arch, arch_kwargs, document, choice)
        if sizes is None:
            raise
    network = libraries.build(arch, {**arch_kwargs, **sizes})
    taken = f"{', '.join(f'{name} {value}' for name, value in sizes.items())} taken from the weights"
    return _Fit(arch, network, choice.weights_for(network, document), (taken,))


def _filled(fit: _Fit, contents: weights_file.Contents, checkpoint: Checkpoint | None, choice: Choice) -> Loaded:
    """Outside the guard of the file: what goes wrong here goes wrong in the caller's own code."""
    module = fitting.filled(fit.network, fit.weights.tensors, choice.name)
    # one file with two networks has one digest, but their features must not be taken for each other's
    sha256 = contents.sha256 if fit.weights.alone else weights_sha256(fit.weights.tensors)
    notes = [*fit.taken, *_stubbed(contents), *contents.remarks, *fit.weights.remarks()] if checkpoint is None else []
    notes += fitting.conversions(module, fit.weights.tensors)
    short = Path(choice.file).name
    return Loaded(
        module, checkpoint, choice.name, fit.arch, sha256, tuple(one_line(f"{short}: {note}") for note in notes)
    )


def _stubbed(contents: weights_file.Contents) -> list[str]:
    if not contents.stubbed:
        return []
    names = one_line(", ".join(contents.stubbed), 100)
    return [f"{fitting.counted(len(contents.stubbed), 'class')} read as inert stubs ({names})"]
