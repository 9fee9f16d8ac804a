"""Broken and hostile safetensors files and folders of shards, added to those of ``hostile_files``."""

import os

import torch
from foreign_files import SHARDS, sharded, weights
from hostile_files import KINDS, UNREADABLE, Call, Hostile, kind, plain
from safetensors.torch import save_file


def header(text, body=b""):
    return len(text).to_bytes(8, "little") + text + body


ENTRY = b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[%s]}}'
plain("no JSON in the header", lambda: header(b"{" + b" " * 60, bytes(9)), "is a damaged safetensors file")
plain("a header too long", lambda: (2**40).to_bytes(8, "little") + b"{" + bytes(99), "is not a torch file")
plain("offsets beyond the end", lambda: header(ENTRY % (b"2", b"0,8"), bytes(4)), "is a damaged safetensors file")
plain("a shape of another size", lambda: header(ENTRY % (b"9", b"0,8"), bytes(8)), "is a damaged safetensors file")
plain("bytes left over", lambda: header(ENTRY % (b"2", b"0,8"), bytes(99)), "is a damaged safetensors file")
plain("offsets backwards", lambda: header(ENTRY % (b"2", b"8,0"), bytes(8)), "is a damaged safetensors file")
plain("a shape that overflows", lambda: header(ENTRY % (b"4294967296,4294967296", b"0,0")), "is a damaged safetensors")


def index(text):
    def make(folder):
        save_file(weights(), folder / SHARDS[0])
        (folder / "model.safetensors.index.json").write_text(text)
        return folder

    return make


for name, text, piece in (
    ("an index of words", "weights", "is not an index of shards"),
    ("an index of a list", "[1]", "has no weight_map"),
    ("an index that nests", "[" * 10**5, "is not an index of shards"),
    ("an index with a name twice", '{"weight_map": {"a": "b", "a": "c"}}', "stands in it twice"),
    ("a way up", '{"weight_map": {"a": "../../secret.safetensors"}}', "outside the folder"),
    ("a way from the root", '{"weight_map": {"a": "/etc/passwd"}}', "outside the folder"),
    ("a missing shard", '{"weight_map": {"a": "b.safetensors"}}', "is missing, though the index names it"),
    ("a missing tensor in a shard", f'{{"weight_map": {{"a": "{SHARDS[0]}"}}}}', "tensors differ from the index"),
):
    KINDS[name] = Hostile(index(text), UNREADABLE, piece)


@kind("a link out of the folder", "is a link out of the folder")
def _link(folder):
    home = folder / "model"
    home.mkdir()
    sharded(home, SHARDS, save_file)
    (home / SHARDS[1]).rename(folder / "elsewhere.safetensors")
    (home / SHARDS[1]).symlink_to(folder / "elsewhere.safetensors")
    return home


@kind("a shard that wants a shell", "need code to load (posix.system)")
def _shard_with_code(folder):
    torch.save({"a": Call(os.system, "true")}, folder / "pytorch_model.bin")
    return folder
