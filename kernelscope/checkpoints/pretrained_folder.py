"""A Hugging Face folder, whose ``config.json`` says what the network is: every name in it accounted for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kernelscope.checkpoints import fitting, tensor_files
from kernelscope.checkpoints.dense import require_dense
from kernelscope.checkpoints.fitting import counted
from kernelscope.checkpoints.loaded import Loaded, weights_sha256
from kernelscope.errors import Mismatch, UnreadableInput, one_line, shown
from kernelscope.files import is_folder
from kernelscope.networks import pretrained

if TYPE_CHECKING:
    from kernelscope.checkpoints.choice import Choice
    from kernelscope.checkpoints.weights_file import Contents
    from kernelscope.networks.pretrained import Account, Stated

HUB = "hf:"
#: a number that masks were once filled with, saved by earlier releases for classes that no longer list it
_FORMER = re.compile(r"(^|\.)(attn|attention)\.masked_bias$")


def stated_architecture(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """What the ``config.json`` of a folder says its network is, as ``--teacher-arch`` takes it; None if it does not.

    Raises:
        UnreadableInput: it is no JSON object.
    """
    if not is_folder(folder) or not (folder / pretrained.CONFIG).exists():
        return None
    content = pretrained.stated_in(folder).content
    if "model_type" in content:
        return f"{HUB}{folder}", {}
    if isinstance(content.get("architecture"), str):  # as timm's own folders have it
        sizes = {"num_classes": content["num_classes"]} if isinstance(content.get("num_classes"), int) else {}
        return f"timm:{content['architecture']}", sizes
    return None


def load_pretrained(contents: Contents, folder: Path, changes: dict[str, Any], choice: Choice) -> Loaded:
    """The network that a folder's configuration names, with weights read from that folder or another file.

    Raises:
        Mismatch: names or shapes that differ, but for those that transformers ties, makes or leaves aside itself.
        NumericalError: NaN or infinite weights. UnreadableInput, UsageError: see :func:`pretrained.filled`.
    """
    stated = pretrained.stated_in(folder)
    account, remarks = with_weights(stated, contents, choice, changes)
    # one file with two networks has one digest, but their features must not be taken for each other's
    several = contents.kind.startswith("torch file")
    sha256 = digest(stated, weights_sha256(account.network.state_dict()) if several else contents.sha256, changes)
    notes = [f"{type(account.network).__name__} of transformers, as its {pretrained.CONFIG} says", *remarks]
    short = Path(choice.file).name
    return Loaded(
        account.network,
        None,
        choice.name,
        f"{HUB}{folder}",
        sha256,
        tuple(one_line(f"{short}: {note}") for note in notes),
    )


def digest(stated: Stated, weights: str, changes: dict[str, Any] | None = None) -> str:
    """Hex SHA-256 of a configuration, changes to it, and the digest of weights."""
    config = hashlib.sha256(stated.raw + json.dumps(changes or {}, sort_keys=True, default=str).encode()).hexdigest()
    return tensor_files.folder_sha256([(pretrained.CONFIG, config), ("weights", weights)])


def with_weights(
    stated: Stated, contents: Contents, choice: Choice, changes: dict[str, Any] | None = None, *, headless: bool = False
) -> tuple[Account, list[str]]:
    """The network of a configuration with the weights of an opened file, and what was done to put them in.

    Args:
        headless: the network without its head, whose weights may stand in the file as well.

    Raises:
        As :func:`load_pretrained`.
    """
    name, tensors, remarks = choice.name, *_found(stated, contents, choice, changes or {})
    require_dense(tensors, name)
    narrow = [key for key, value in tensors.items() if value.is_floating_point() and value.dtype not in fitting.FLOATS]
    if narrow:
        raise UnreadableInput(f"{shown(name)} holds {narrow[0]} as {tensors[narrow[0]].dtype}; save it as bfloat16")
    fitting.require_finite(tensors.items(), name)
    account = pretrained.filled(stated, tensors, changes, headless=headless)
    remarks += contents.remarks
    if account.missing and all(key.startswith("pooler.") for key in account.missing):
        pretrained.leave_out_pooler(account.network)
        remarks.append("its pooler was left out, as the file has no weights for it")
        account.missing.clear()
    former = [
        key for key in account.unexpected if _FORMER.search(key) and tensors.get(key, torch.zeros(2)).numel() == 1
    ]
    account.left.extend(former)
    account.unexpected[:] = [key for key in account.unexpected if key not in former]
    if headless and account.unexpected:
        remarks.append(f"{counted(len(account.unexpected), 'tensor')} under other names left aside")
        account.unexpected.clear()
    _require_accounted(account, name)
    return account, remarks + _remarks(account) + _widened(account, tensors)


def _found(
    stated: Stated, contents: Contents, choice: Choice, changes: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The weights in a file, and what was done to find them.

    A training run's have the names that the network has in memory; of others, the library knows the names.
    """
    if contents.kind.startswith("torch file"):
        with contextlib.suppress(Mismatch):
            with torch.device("meta"):
                outline = pretrained.built(stated, changes)
            weights = choice.weights_for(outline, contents.document)
            return weights.tensors, weights.remarks()
    place = choice.places(contents.document)[0]
    return place.tensors, [f"weights were found under {place.where!r}"] if place.where else []


def _require_accounted(account: Account, name: str) -> None:
    kind = type(account.network).__name__
    found = [
        f"{len(keys)} {word} (first {one_line(keys[0], 50)})"
        for keys, word in ((account.missing, "missing"), (account.unexpected, "extra"))
        if keys
    ]
    if found:
        raise Mismatch(f"{shown(name)} does not fit {kind}: {', '.join(found)} keys; check its {pretrained.CONFIG}")
    for key, has, wanted in account.misshapen[:1]:
        raise Mismatch(
            f"{shown(name)} does not fit {kind}: {len(account.misshapen)} shapes differ, first {one_line(key, 50)} "
            f"{has} for {wanted}; check its {pretrained.CONFIG}"
        )


def _remarks(account: Account) -> list[str]:
    said = (
        (account.tied, "missing name", "filled by the tensor that transformers ties to it"),
        (account.left, "tensor", "left aside, which are not of this class"),
        (account.made, "missing tensor", "made as transformers does for this class, not read"),
    )
    return [f"{counted(len(keys), what)} {done} ({one_line(', '.join(keys), 60)})" for keys, what, done in said if keys]


def _widened(account: Account, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Which kinds of floats became which."""
    made = next((value.dtype for value in account.network.parameters()), torch.float32)
    counts = Counter(value.dtype for value in tensors.values() if value.is_floating_point() and value.dtype != made)
    names = {dtype: str(dtype).removeprefix("torch.") for dtype in (made, *counts)}
    return [f"{count} {names[dtype]} tensors read as {names[made]}" for dtype, count in counts.items()]
