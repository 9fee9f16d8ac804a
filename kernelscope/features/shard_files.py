"""Which files are one side together: those of ``shards:PATTERN``, or those of a folder that is no network's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kernelscope.errors import UnreadableInput, UsageError, one_line, shown
from kernelscope.file_parts import SHARDS, in_order, matching
from kernelscope.files import is_folder, reading

SUFFIXES = (
    ".npy", ".npz", ".safetensors", ".pt", ".pth", ".h5", ".hdf5", ".fbin", ".f16bin", ".u8bin", ".i8bin", ".csv",
    ".tsv", ".parquet", ".arrow", ".feather",
)  # fmt: skip
MOST_SHARDS = 100_000
#: names in a folder that is a network's, whatever else stands in it
OF_NETWORKS = re.compile(
    r"(config|modules|adapter_config|model_index)\.json|.*\.index(\.json)?|(pytorch_|tf_|flax_|saved_)?model.*|"
    r".*(zero_|_rank|global_step|\.distcp|\.metadata|\.gguf|\.onnx|\.msgpack|_CHECKPOINT_).*"
)


def shard_files(path: Path) -> list[Path] | None:
    """The files of ``shards:PATTERN`` or of a folder of features, in their order; None for anything else.

    Raises:
        UnreadableInput: a pattern that no file matches, a folder with files of several kinds or, named as ``shards:``,
            without any. UsageError: too many.
    """
    text = str(path)
    named = text.startswith(SHARDS) and not os.path.lexists(text)
    if not named and not is_folder(path):
        return None
    pattern = Path(text.removeprefix(SHARDS)) if named else path
    if not is_folder(pattern):
        found = [Path(file) for file in matching(str(pattern)) if Path(file).is_file()]
        if not found:
            raise UnreadableInput(f"no file matches {shown(pattern)}; correct the pattern")
    else:
        found = _in_folder(pattern, is_named=named)
        if not found and named:
            raise UnreadableInput(f"{shown(pattern)} is a folder without files of features; name one that has them")
    if len(found) > MOST_SHARDS:
        raise UsageError(f"{shown(pattern)} has {len(found):,} shards, at most {MOST_SHARDS:,}; join some of them")
    return found or None


def _in_folder(folder: Path, *, is_named: bool) -> list[Path]:
    """The files of one kind in it; none where it is a network's."""
    with reading(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name[0] not in "._" and entry.is_file()]
    if not is_named and any(map(OF_NETWORKS.fullmatch, names)):
        return []
    found = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    kinds = sorted({Path(name).suffix.lower() for name in found})
    if len(kinds) > 1:
        raise UnreadableInput(
            f"{shown(folder, 80)} holds files of several kinds ({one_line(', '.join(kinds), 40)}); name those that are "
            f"meant, as {SHARDS}DIR/*{kinds[0]}"
        )
    return [folder / name for name in sorted(found, key=in_order)]
