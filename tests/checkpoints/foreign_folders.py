"""Safetensors and folders as Hugging Face libraries leave them, added to ``foreign_files``."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.checkpoints.foreign_files import KINDS, kind, prefixed, weights

__all__ = ["KINDS", "SHARDS", "sharded"]


@kind("safetensors", "carries no checksums")
def _safetensors(folder):
    save_file(weights(), folder / "t.safetensors", metadata={"format": "pt"})
    return folder / "t.safetensors"


@kind("safetensors by another name", "prefix 'model.'")
def _safetensors_renamed(folder):
    save_file(prefixed("model."), folder / "t.bin")
    return folder / "t.bin"


def sharded(folder, names, save):
    """Weights over two files with their index; returns the folder."""
    halves = [dict(list(weights().items())[:20]), dict(list(weights().items())[20:])]
    index = {key: name for name, half in zip(names, halves) for key in half}
    for name, half in zip(names, halves):
        save(half, folder / name)
    suffix = "model.safetensors" if names[0].endswith("safetensors") else "pytorch_model.bin"
    (folder / f"{suffix}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": index}))
    return folder


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@kind("a folder", "carries no checksums")
def _folder(folder):
    (folder / "config.json").write_text('{"architectures": ["ResNet"]}')
    save_file(weights(), folder / "model.safetensors")
    return folder


@kind("a folder of shards", "carries no checksums")
def _shards(folder):
    return sharded(folder, SHARDS, save_file)


@kind("a folder of torch shards", "")
def _torch_shards(folder):
    return sharded(folder, ["pytorch_model-1.bin", "pytorch_model-2.bin"], torch.save)


@kind("a folder in a download cache", "carries no checksums")
def _cached(folder):
    snapshot, blobs = folder / "models--a--b" / "snapshots" / "00ff", folder / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    sharded(snapshot, SHARDS, save_file)
    for i, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / f"{i:064x}")
        path.symlink_to(Path("..") / ".." / "blobs" / f"{i:064x}")
    return snapshot
