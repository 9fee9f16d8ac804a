"""Files that hold tensors alone: safetensors, and folders as Hugging Face libraries save them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from kernelscope import files
from kernelscope.checkpoints import other_kinds
from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
FIX = "download the folder again"
#: a tensor takes about a hundred bytes to name, and far more in memory
MAX_HEADER_BYTES, MAX_SHARDS = 20_000_000, 10_000


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header, within the file, and its brace."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def read_safetensors(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    """The tensors by name, copied out of the file's bytes.

    Raises:
        UnreadableInput: a header that contradicts itself or the file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = int.from_bytes(content[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise UnreadableInput(f"{path} has a header of {header:,} bytes, at most {MAX_HEADER_BYTES:,}; split the file")
    try:
        return load(content)
    except SafetensorError as error:
        reason = one_line(str(error).removeprefix("Error while deserializing header: "), 60)
        raise UnreadableInput(f"{path} is a damaged safetensors file ({reason}); copy or download it again") from error


def is_weights_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with a file of weights under one of the usual names.

    Raises:
        UnreadableInput: a folder without one, by its kind where that is known.
    """
    if not files.is_folder(path):
        return False
    if not any((path / name).exists() for name in (*WHOLE, *INDEXES)):
        other_kinds.refuse_folder(path)
        raise UnreadableInput(f"{path} is not a regular file, nor a folder with {WHOLE[0]}; give a checkpoint")
    return True


def shards_of(folder: Path) -> tuple[list[Path], dict[str, str] | None]:
    """The files of a folder, and which of them holds each tensor (None where one file holds all).

    Raises:
        UnreadableInput: an index that is damaged, or names a file that is missing or outside the folder.
    """
    for whole, index in zip(WHOLE, INDEXES):
        if (folder / whole).exists():
            return [_inside(folder, whole)], None
        if (folder / index).exists():
            names = _weight_map(_inside(folder, index))
            shards = sorted(set(names.values()))
            if len(shards) > MAX_SHARDS:
                raise UnreadableInput(f"{folder} names {len(shards):,} shards, at most {MAX_SHARDS:,}; {FIX}")
            return [_inside(folder, shard) for shard in shards], names
    raise UnreadableInput(f"{folder} holds no {WHOLE[0]}; give a checkpoint")


def require_indexed(shard: Path, found: set[str], names: dict[str, str] | None) -> None:
    """A shard holds exactly the tensors that the index promises in it.

    Raises:
        UnreadableInput: naming the first that is missing or too many.
    """
    if names is None:
        return
    expected = {name for name, file in names.items() if file == shard.name}
    if different := sorted(expected ^ found, key=str):
        word = "lacks" if different[0] in expected else "also holds"
        raise UnreadableInput(
            f"{shard} {word} {one_line(str(different[0]), 60)} ({len(different)} tensors differ from the index); {FIX}"
        )


def folder_sha256(digests: Sequence[tuple[str, str]]) -> str:
    """Hex SHA-256 over the names and digests of a folder's files; of one file, its own."""
    if len(digests) == 1:
        return digests[0][1]
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
    return hashlib.sha256(lines.encode()).hexdigest()


def _weight_map(index: Path) -> dict[str, str]:
    if index.stat().st_size > MAX_HEADER_BYTES:
        raise UnreadableInput(f"{index} has {index.stat().st_size:,} bytes, too many for an index; {FIX}")
    try:
        document = json.loads(index.read_bytes(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{index} is not an index of shards ({one_line(str(error), 60)}); {FIX}") from error
    names = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(shard, str) for shard in names.values()):
        raise UnreadableInput(f"{index} has no weight_map from tensors to files; {FIX}")
    return names


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON whose names are all different: of two equal ones, readers disagree which counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _inside(folder: Path, name: str) -> Path:
    """A file directly in the folder; links may lead to the store of blobs beside it, as download caches have it."""
    path = folder / name
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0:"):
        raise UnreadableInput(f"{folder} names the shard {one_line(name, 40)!r}, outside the folder; {FIX}")
    home = folder.resolve()
    blobs = home.parent.parent / "blobs"
    target = path.resolve()
    if target.parent != home and not (home.parent.name == "snapshots" and target.parent == blobs):
        raise UnreadableInput(f"{path} is a link out of the folder; replace it by the file itself")
    if not path.exists():
        raise UnreadableInput(f"{path} is missing, though the index names it; {FIX}")
    return files.require_readable(path)
