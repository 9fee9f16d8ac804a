"""Tensors that are no weights, safetensors and folders of shards that are no good, added to ``hostile_files``."""

import os

import torch
from safetensors.torch import save_file

from tests.checkpoints.foreign_files import prefixed, weights
from tests.checkpoints.foreign_folders import SHARDS, sharded
from tests.checkpoints.hostile_files import KINDS, MISMATCH, NUMERICAL, UNREADABLE, Call, Hostile, kind, plain


# ---- tensors that are not weights ----
def instead(value, name="fc.bias"):
    return {**weights(), name: value}


plain("stride 0", lambda: instead(torch.ones(1).expand(3)), "holds fc.bias of 3 values over 4 bytes")
plain("a terabyte of stride 0", lambda: instead(torch.ones(1).expand(10**12)), "over 4 bytes")
plain("without memory", lambda: instead(torch.empty(3, device="meta")), "holds fc.bias on device meta")
plain("sparse", lambda: instead(torch.ones(3).to_sparse()), "holds fc.bias sparse_coo")
plain("quantized", lambda: instead(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)), "quantized")
plain("complex", lambda: instead(torch.ones(3, dtype=torch.complex64)), "holds fc.bias as complex64", MISMATCH)
plain("whole numbers", lambda: instead(torch.ones(3, dtype=torch.int8)), "holds fc.bias as int8", MISMATCH)
plain("fp8", lambda: instead(torch.ones(3).to(torch.float8_e5m2)), "holds fc.bias as float8_e5m2", MISMATCH)
plain("NaN", lambda: instead(torch.tensor([0, 1, float("nan")])), "NaN or infinite weights in fc.bias", NUMERICAL)
plain("too large for float32", lambda: instead(torch.full((3,), 1e300, dtype=torch.float64)), "in fc.bias", NUMERICAL)
plain("a missing weight", lambda: {k: v for k, v in weights().items() if k != "fc.bias"}, "1 missing (fi", MISMATCH)
plain("a weight too many", lambda: instead(torch.ones(1), "zebra"), "1 extra (first zebra)", MISMATCH)
plain("one class too many", lambda: instead(torch.ones(4)), "1 shapes differ, first fc.bias (4,) for (3,)", MISMATCH)
plain("another network", lambda: weights(0, "resnet14x0.25"), "extra", MISMATCH)
plain("half a prefix", lambda: {f"module.{k}" if "fc" in k else k: v for k, v in weights().items()}, "fit", MISMATCH)
plain("two roles", lambda: {"teacher": weights(1), "student": weights()}, "2 networks that fit (student, teacher)")
plain("two roles before names", lambda: prefixed("a.") | prefixed("b.", weights(1)), "2 networks that fit (a., b.)")
plain("an average beside it", lambda: {"model": weights(), "model_ema": weights(1)}, "2 networks that fit (model, mod")
plain("numbers as names", lambda: {5: torch.zeros(1)}, "'5' among its weights")


# ---- safetensors and folders ----
def header(text, body=b""):
    return len(text).to_bytes(8, "little") + text + body


ENTRY = b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[%s]}}'
plain("no JSON in the header", lambda: header(b"{" + b" " * 60, bytes(9)), "is a damaged safetensors file")
plain("a header too long", lambda: (2**40).to_bytes(8, "little") + b"{" + bytes(99), "is not a torch file")
plain("offsets beyond the end", lambda: header(ENTRY % (b"2", b"0,8"), bytes(4)), "is a damaged safetensors file")
plain("a shape of another size", lambda: header(ENTRY % (b"9", b"0,8"), bytes(8)), "is a damaged safetensors file")
plain("bytes left over", lambda: header(ENTRY % (b"2", b"0,8"), bytes(99)), "is a damaged safetensors file")
plain("offsets backwards", lambda: header(ENTRY % (b"2", b"8,0"), bytes(8)), "is a damaged safetensors file")
plain("a header of names alone", lambda: header(b"{" + b" " * 21_000_000 + b"}"), "has a header of 21,000,002 bytes")
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
