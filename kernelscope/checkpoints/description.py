"""What a checkpoint or a network is, in numbers and words, for a reader who has not run it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kernelscope.checkpoints import containers, weights_file
from kernelscope.checkpoints.checkpoint import Checkpoint, checkpoint_in
from kernelscope.checkpoints.choice import Choice
from kernelscope.checkpoints.containers import MAX_NETWORKS, Place, Weights
from kernelscope.checkpoints.dense import owns_its_bytes, unlike_weights
from kernelscope.checkpoints.fitting import FLOATS, counted
from kernelscope.checkpoints.pretrained_folder import HUB, digest, stated_architecture
from kernelscope.checkpoints.recognition import MAX_TRIES, Known, recognise
from kernelscope.checkpoints.stubs import Stub
from kernelscope.errors import one_line
from kernelscope.file_parts import split
from kernelscope.networks.pretrained import stated_in
from kernelscope.networks.sentence_encoder import is_sentence_folder, parts_of

if TYPE_CHECKING:
    import os

    from kernelscope.checkpoints.weights_file import Contents

Description = dict[str, Any]  #: keys as :func:`describe` lists them
OF_TRANSFORMERS = " of transformers, as config.json says"
NOTHING_NEEDED = "it needs no --teacher-arch or --student-arch"
#: what a description repeats from a checkpoint, in this order
FIELDS = ("arch", "arch_kwargs", "layers", "input", "preprocess", "classes", "data", "metrics", "versions", "created")


def describe(path: str | os.PathLike[str]) -> Description:
    """What a file of weights holds, without building the network or running any of the file's code.

    Keys ``path kind bytes sha256 tensors values dtypes names`` always. Of our own checkpoints also the fields of the
    same name, and ``training`` without its history; of others ``file`` (its kind), ``container``, ``prefix``, ``fits``
    (architecture, arguments, place, stems that fit alike), ``others`` (other tensors), ``stubbed`` and ``remarks``; as
    ``choices`` what may follow ``FILE::``, with what it holds; and ``network``, what a folder says of itself,
    with the ``digest`` of it and its weights where the library is transformers.
    ``FILE::part`` is about that part alone.

    Raises:
        UnreadableInput: the file is damaged or of another kind. UsageError: it has no such part.
    """
    file, part = split(path)
    own = own_words(file) if part is None else None
    with weights_file.opened(parts_of(file)[0].folder if is_sentence_folder(file) else file) as contents:
        checkpoint = checkpoint_in(contents, file) if part is None else None
        if checkpoint is not None:
            return _of_ours(file, contents, checkpoint)
        described = _of_stranger(contents, Choice(str(file), part))
        if own is not None:
            described["network"] = own
            if own.endswith(OF_TRANSFORMERS):
                described["digest"] = digest(stated_in(file), contents.sha256)
        return described


def own_words(folder: Path) -> str | None:
    """What a folder that is its own architecture says it is; None for other folders and for files."""
    if is_sentence_folder(folder):
        return "sentence encoder of sentence-transformers, as modules.json says"
    stated = stated_architecture(folder)
    if stated is None:
        return None
    kind = stated_in(folder).kind if stated[0].startswith(HUB) else stated[0].partition(":")[2]
    return f"{one_line(kind, 60)}{OF_TRANSFORMERS if stated[0].startswith(HUB) else ' of timm, as config.json says'}"


def _of_ours(path: Path, contents: Contents, checkpoint: Checkpoint) -> Description:
    fields = {name: getattr(checkpoint, name) for name in FIELDS}
    fields["training"] = {
        key: value for key, value in checkpoint.training.items() if key not in ("history", "trajectory")
    }
    return _counted(path, contents, "kernelscope checkpoint", dict(checkpoint.state_dict)) | fields


def _counted(path: Path, contents: Contents, kind: str, weights: dict[str, torch.Tensor]) -> Description:
    return {
        "path": str(path),
        "kind": kind,
        "bytes": sum(file.stat().st_size for file in contents.paths),
        "sha256": contents.sha256,
        "tensors": len(weights),
        "values": sum(tensor.numel() for tensor in weights.values()),
        "dtypes": dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in weights.values())),
        "names": list(weights),
    }


def _of_stranger(contents: Contents, choice: Choice) -> Description:
    """The first place whose weights fit a network of ours, else the most usual one, and what else there is."""
    found = (
        containers.places(contents.document, choice.file) if choice.part is None else choice.places(contents.document)
    )
    fits = [(place, known) for place in found[:MAX_TRIES] for known in recognise(place)]
    if choice.part is not None:
        kept = choice.among([known.weights for _, known in fits] or [Weights(p.tensors, p.where, "") for p in found])
        fits = [(place, known) for place, known in fits if known.weights in kept]
    place = fits[0][0] if fits else found[0] if found else None
    tensors, kind = ({}, _kind(contents.document)) if place is None else (place.tensors, place.kind)
    if isinstance(contents.document, torch.Tensor):
        tensors = {"": contents.document}
    where = place.where if place is not None else ""
    others = [
        f"{other.where or 'the file itself'} ({counted(len(other.tensors), 'tensor')})"
        for other in found
        if other != place
    ]
    first = fits[0][1].weights if fits else None
    return _counted(Path(choice.name), contents, f"{kind} under {where!r}" if where else kind, tensors) | {
        "file": contents.kind,
        "container": where,
        "prefix": first.prefix if first else "",
        "fits": [(known.arch, known.arch_kwargs, known.weights.name, known.stems) for _, known in fits],
        "others": others,
        "choices": _choices(found, fits) if choice.part is None else [],
        "stubbed": contents.stubbed,
        "remarks": (*contents.remarks, *(first.remarks() if first else ()), *_oddities(tensors)),
    }


def _choices(found: list[Place], fits: list[tuple[Place, Known]]) -> list[tuple[str, str]]:
    """Parts of a file of several networks, each with what it holds and what it fits."""
    rows = []
    for place in found:
        known = [(known.weights.part, f", fits {known.words}") for at, known in fits if at is place]
        if known or "optimizer" not in place.where:
            size = counted(len(place.tensors), "tensor")
            rows += [(part, f"{size}{words}") for part, words in known or [(place.where, "")]]
    return rows if len(rows) > 1 else []


def _oddities(tensors: dict[str, torch.Tensor]) -> list[str]:
    """What keeps tensors from being weights, the first of each kind."""
    odd = {key: unlike_weights(value) for key, value in tensors.items()}
    found = [f"{key} is {kind}, not a dense tensor" for key, kind in odd.items() if kind is not None][:1]
    if not owns_its_bytes({key: value for key, value in tensors.items() if odd[key] is None}):
        return [*found, "its tensors share their bytes"]
    floats = ((key, value) for key, value in tensors.items() if odd[key] is None and value.dtype in FLOATS)
    wrong = (key for key, value in floats if not bool(torch.isfinite(value).all()))
    return [*found, *(f"{key} holds NaN or infinite values" for key in itertools.islice(wrong, 1))]


def _kind(document: object) -> str:
    name = document.name if isinstance(document, Stub) else type(document).__name__
    return "a tensor" if isinstance(document, torch.Tensor) else f"a {one_line(name, 60)}"


def lines(description: Description) -> list[str]:
    """A description for reading: one fact a line."""
    d = description
    dtypes = ", ".join(f"{count} {name}" for name, count in d["dtypes"].items())
    found = [
        f"{one_line(d['path'], 1000)}: {d['kind']}",
        f"{d['tensors']:,} tensors, {d['values']:,} values ({dtypes})" if d["tensors"] else "no tensors",
        f"{d['bytes']:,} bytes, sha256 {d['sha256']}",
    ]
    if "arch" not in d:
        return found + _lines_of_stranger(d)
    found.append(f"arch: {one_line(d['arch'])}{_pairs(d['arch_kwargs'], ' (', ')')}")
    facts = ("input", "data", "metrics", "training", "versions")
    found += [f"{name}: {_pairs(d[name])}" for name in facts if d[name]]
    if d["preprocess"]:
        found.append("preprocess: " + "; ".join(_pairs(operation) for operation in d["preprocess"]))
    if d["classes"]:
        found.append(f"classes: {len(d['classes'])} ({one_line(', '.join(d['classes']), 80)})")
    found.append(f"created: {one_line(d['created'])}")
    return found


def _lines_of_stranger(d: Description) -> list[str]:
    names = ", ".join(one_line(name, 60) for name in d["names"][:6])
    found = [f"read as: {d['file']}", f"names: {names}{', …' if len(d['names']) > 6 else ''}"]
    if d["stubbed"]:
        words = one_line(", ".join(d["stubbed"]), 300)
        found.append(f"not imported, read as inert stubs: {counted(len(d['stubbed']), 'class')}: {words}")
    if d["others"]:
        found.append(f"also in it: {one_line(', '.join(d['others'][:6]), 300)}{', …' if len(d['others']) > 6 else ''}")
    found += [one_line(remark) for remark in d["remarks"]]
    if d["choices"]:
        name = Path(d["path"]).name
        found += [f"choose {one_line(f'{name}::{part}', 120)}: {holds}" for part, holds in d["choices"][:MAX_NETWORKS]]
    if "network" in d:
        both = [f"sha256 of weights and configuration, as reports have it: {d['digest']}"] if "digest" in d else []
        return [*found, f"network: {d['network']}", *both, NOTHING_NEEDED]
    if not d["fits"]:
        return [*found, "it does not describe its network; pass --arch, to measure --teacher-arch or --student-arch"]
    for arch, options, name, stems in d["fits"]:
        alike = f", with stem {' or '.join(stems)} alike" if stems else ""
        found.append(f"fits: {arch}{_pairs(options, ' (', ')')} in {one_line(name, 60)}{alike}")
    arch, options, _, stems = d["fits"][0]
    if not stems and len({name for _, _, name, _ in d["fits"]}) > 1:
        return [*found, f"name the one you mean, as above, unless they are the same; {NOTHING_NEEDED}"]
    if not stems:
        return [*found, NOTHING_NEEDED]
    given = json.dumps({**options, "stem": stems[0]})
    return [*found, f"pass --teacher-arch {arch} --teacher-arch-kwargs '{given}', or the same with --student-arch"]


def _pairs(values: dict[str, object], before: str = "", after: str = "") -> str:
    text = ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)
    return f"{before}{one_line(text, 300)}{after}" if text else ""
