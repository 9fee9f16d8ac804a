"""A folder of shards is one network, with one digest of its files."""

import hashlib
import json

import pytest
import safetensors.torch
import torch

from kernelscope.checkpoints import weights_file


def test_a_folder_has_the_digest_of_what_sha256sum_prints_of_its_shards(tmp_path):
    shards = {"b.safetensors": {"x": torch.zeros(3)}, "a.safetensors": {"y": torch.ones(2), "z": torch.ones(1)}}
    for name, tensors in shards.items():
        safetensors.torch.save_file(tensors, tmp_path / name)
    places = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    printed = "".join(
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(shards)
    )
    with weights_file.opened(tmp_path) as contents:
        assert contents.sha256 == hashlib.sha256(printed.encode()).hexdigest()
        assert contents.document.keys() == {"x", "y", "z"}


def test_a_folder_of_one_file_has_the_digest_of_that_file(tmp_path):
    safetensors.torch.save_file({"x": torch.zeros(3)}, tmp_path / "model.safetensors")
    with weights_file.opened(tmp_path) as folder, weights_file.opened(tmp_path / "model.safetensors") as file:
        assert folder.sha256 == file.sha256


@pytest.mark.parametrize("length", [128, 384, 640, 896, 1152])
def test_a_header_whose_length_begins_like_a_pickle_is_read(length, tmp_path):
    """Headers are padded to eight bytes, and 128, 384 ... begin with the byte that a pickle begins with."""
    tensors = {"w": torch.arange(6.0)}
    spare = length - 8 * -(-len(safetensors.torch.save(tensors, {"note": ""})) // 8) + 24 + 8
    content = next(
        content
        for extra in range(max(0, spare - 80), spare + 80)
        if int.from_bytes((content := safetensors.torch.save(tensors, {"note": "x" * extra}))[:8], "little") == length
    )
    (tmp_path / "t.safetensors").write_bytes(content)
    with weights_file.opened(tmp_path / "t.safetensors") as contents:
        assert torch.equal(contents.document["w"], tensors["w"])
