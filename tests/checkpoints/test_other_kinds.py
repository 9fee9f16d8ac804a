"""What other programs wrote is named, with the command that makes weights of it, whichever verb met it."""

import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn

from kernelscope.checkpoints.loading import load
from kernelscope.errors import UnreadableInput
from kernelscope.measurement.inspection import describe
from kernelscope.measurement.opening import opened

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch, on what these kinds are written by
LORA = {"base_model.model.fc.lora_A.weight": torch.ones(2, 16), "base_model.model.fc.lora_B.weight": torch.ones(5, 2)}
SETTINGS = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "my/base", "r": 2})


def peft(folder):
    (folder / "adapter_config.json").write_text(SETTINGS)
    save_file(LORA, folder / "adapter_model.safetensors")
    return folder


def pickled_adapter(folder):
    peft(folder)
    torch.save(LORA, folder / "adapter_model.bin")
    return folder / "adapter_model.bin"


def sharded(folder):
    dcp.save({"model": nn.Linear(3, 2).state_dict()}, checkpoint_id=folder / "dcp")
    return folder / "dcp"


def within(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x80\x02")
    return folder


def keras(folder):
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    return folder / "m.keras"


def weights_of_keras(*names):
    def write(folder):
        with h5py.File(folder / "m.h5", "w") as file:
            for name in names:
                file[name] = np.ones((4, 3), np.float32)
        return folder / "m.h5"

    return write


def file(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def script(folder):
    torch.jit.script(nn.Linear(2, 2)).save(str(folder / "t.pt"))
    return folder / "t.pt"


MERGE = r"holds a PEFT adapter alone \(base my/base\); merge it by peft: .*merge_and_unload\(\)\.save_pretrained\(OUT\)"
DCP = r"format_utils dcp_to_torch DIR t\.pt$"
DEEPSPEED = r"DeepSpeed checkpoint.*; run python -m deepspeed\.utils\.zero_to_fp32 DIR OUT"
KINDS = {
    "a folder of PEFT": (peft, MERGE),
    "a file of PEFT": (lambda folder: peft(folder) / "adapter_model.safetensors", MERGE),
    "a pickled file of PEFT": (pickled_adapter, MERGE),
    "a sharded checkpoint": (sharded, DCP),
    "one of its shards": (lambda folder: sharded(folder) / "__0_0.distcp", DCP),
    "DeepSpeed": (lambda folder: within(folder, "latest", "zero_to_fp32.py", "global_step5/zero_pp_rank_0"), DEEPSPEED),
    "a step of DeepSpeed": (lambda folder: within(folder, "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"), DEEPSPEED),
    "a shard of DeepSpeed": (file("zero_pp_rank_0_mp_rank_00_optim_states.pt", b"\x80\x02."), DEEPSPEED),
    "FSDP": (
        lambda folder: within(folder, "optimizer_0/a.distcp", "pytorch_model_fsdp_0/__0_0.distcp"),
        r"holds FSDP shards in pytorch_model_fsdp_0; run accelerate merge-weights DIR/pytorch_model_fsdp_0 OUT$",
    ),
    "TorchScript": (
        script,
        r"TorchScript program; .*torch\.save\(torch\.jit\.load\(FILE\)\.state_dict\(\), 't\.pt'\)$",
    ),
    "ONNX": (file("m.onnx", b"anything"), "is an ONNX file; .*onnx2torch"),
    "ONNX by another name": (file("m.bin", b"\x08\x08\x12\x07pytorch\x1a\x03"), "is an ONNX file"),
    "GGUF": (
        file("m.gguf", b"GGUF\3\0\0\0"),
        r"is a GGUF file; AutoModel\.from_pretrained\(DIR, gguf_file=m\.gguf\)",
    ),
    "a folder of GGUF": (lambda folder: within(folder, "README.md", "q8.gguf"), r"gguf_file=q8\.gguf"),
    "TensorFlow": (
        lambda folder: within(folder, "README.md", "tf_model.h5"),
        "holds TensorFlow weights; .*from_tf=True",
    ),
    "a SavedModel": (lambda folder: within(folder, "saved_model.pb"), "holds TensorFlow weights"),
    "part of a TensorFlow checkpoint": (
        file("m.ckpt.data-00000-of-00001", b"x" * 40),
        "part of a TensorFlow checkpoint",
    ),
    "TensorFlow Lite": (file("m.tflite", b"\x1c\0\0\0TFL3" + b"x" * 40), "is a TensorFlow Lite file"),
    "Flax": (file("flax_model.msgpack", b"\x81\xa1a"), "holds Flax weights; .*from_flax=True"),
    "Keras": (keras, "is a Keras file; save its features"),
    "weights of Keras 2": (
        weights_of_keras("model_weights/a/a/kernel:0", "model_weights/a/a/bias:0"),
        "weights of Keras",
    ),
    "weights of Keras 3": (weights_of_keras("layers/dense/vars/0"), r"holds weights of Keras; .*FILE\.h5:NAME"),
    "a pipeline": (lambda folder: within(folder, "model_index.json"), "pipeline of diffusers; name the folder"),
    "a trainer's folder": (
        lambda folder: within(folder, "checkpoint-500/a"),
        r"name one of them, such as DIR/checkpoint-500$",
    ),
    "a folder of runs": (
        lambda folder: within(folder, "run.pt"),
        r"holds no model\.safetensors; name a file in it, such as DIR/run\.pt$",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_named_with_the_way_to_weights(kind, tmp_path):
    make, words = KINDS[kind]
    path = make(tmp_path)
    arch = (None, None) if path.suffix == ".h5" else ("resnet8", None)
    for reading in (lambda path: opened(path, "teacher", arch), lambda path: list(describe(path))):
        with pytest.raises(UnreadableInput, match=words) as caught:
            reading(path)
        assert len(str(caught.value)) <= 200 and str(caught.value).isprintable()


def test_a_long_path_leaves_room_for_the_command(tmp_path):
    folder = tmp_path.joinpath(*["a" * 80] * 3)
    folder.mkdir(parents=True)
    with pytest.raises(UnreadableInput, match=MERGE) as caught:
        load(peft(folder))
    assert len(str(caught.value)) <= 200


def test_weights_beside_an_adapter_of_their_own_are_no_adapter(tmp_path):
    torch.save(LORA | {"base_model.model.fc.weight": torch.ones(5, 16)}, tmp_path / "x.pt")
    with pytest.raises(UnreadableInput, match="does not describe its network"):
        load(tmp_path / "x.pt")


@pytest.mark.long
def test_the_command_for_a_sharded_checkpoint_makes_weights(tmp_path):
    command = ["-m", "torch.distributed.checkpoint.format_utils", "dcp_to_torch", sharded(tmp_path), tmp_path / "t.pt"]
    subprocess.run([sys.executable, "-W", "ignore", *map(str, command)], check=True, capture_output=True)
    assert load(tmp_path / "t.pt", arch="torch.nn:Linear", arch_kwargs={"in_features": 3, "out_features": 2})
