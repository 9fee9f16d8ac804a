"""Files and folders that another program must turn into weights first: told by their kind, with the command for it."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import TYPE_CHECKING

from kernelscope.errors import UnreadableInput, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

MOST_ENTRIES, MOST_BYTES = 10_000, 2**20  #: of a folder that are looked at, and of an adapter's settings
_MERGE = "merge it by peft: PeftModel.from_pretrained(BASE, DIR).merge_and_unload().save_pretrained(OUT)"
_DCP = "run python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIR t.pt"
_DEEPSPEED = "run python -m deepspeed.utils.zero_to_fp32 DIR OUT, which writes weights"
_TENSORFLOW = "from_pretrained(DIR, from_tf=True).save_pretrained(OUT) of transformers<5, or save its features as .npy"
_FLAX = "from_pretrained(DIR, from_flax=True).save_pretrained(OUT) of transformers<5, or save its features as .npy"
_ONNX = "torch.save(onnx2torch.convert(FILE).state_dict(), 't.pt'), or save its features by onnxruntime as .npy"
_GGUF = "AutoModel.from_pretrained(DIR, gguf_file={name}).save_pretrained(OUT) writes weights"
SCRIPTED = "save its weights: torch.save(torch.jit.load(FILE).state_dict(), 't.pt')"
EXPORTED = "save its weights: torch.save(torch.export.load(FILE).state_dict, 't.pt')"
KERAS = "save its features as .npy, or its weights under PyTorch's names"

#: a pattern of the names in a folder -> what the folder is, and the way out; the first that is found counts
_FOLDERS: Sequence[tuple[str, str, str]] = (
    (r"adapter_config\.json", "holds a PEFT adapter alone", _MERGE),
    (r"zero_to_fp32\.py|(bf16_|fp16_)?zero_pp_rank_.*", "is a DeepSpeed checkpoint in shards", _DEEPSPEED),
    (r"global_step\d+", "is a DeepSpeed checkpoint in shards", _DEEPSPEED),
    (r"\.metadata|.*\.distcp", "is a sharded torch.distributed checkpoint", _DCP),
    (r"pytorch_model_fsdp_\d+", "holds FSDP shards in {name}", "run accelerate merge-weights DIR/{name} OUT"),
    (r"(pytorch_)?model(_fsdp)?_rank_?\d+.*", "holds a checkpoint in shards, one a rank", "save a full state_dict"),
    (r"model_index\.json", "is a pipeline of diffusers", "name the folder of one of its networks, such as DIR/unet"),
    (r"saved_model\.pb|tf_model\.h5|.*\.ckpt\.index|.*\.data-00000-of-\d+", "holds TensorFlow weights", _TENSORFLOW),
    (r"flax_model\.msgpack|_CHECKPOINT_METADATA|manifest\.ocdbt", "holds Flax weights", _FLAX),
    (r".*\.gguf", "holds a GGUF file ({name})", _GGUF),
    (r".*\.onnx", "holds an ONNX file ({name})", _ONNX),
    (r"(checkpoint-|epoch|step|iter)[-_=]?\d+", "holds checkpoints in folders", "name one of them, such as DIR/{name}"),
    (
        r".*\.(safetensors|bin|pt|pth|ckpt)",
        "is no regular file, and holds no model.safetensors",
        "name a file in it, such as DIR/{name}",
    ),
)
#: the end of a file's name, or how its bytes begin -> the same
_FILES: Sequence[tuple[Callable[[str, bytes], bool], str, str]] = (
    (lambda name, head: name.endswith(".distcp"), "is a shard of a torch.distributed checkpoint", _DCP),
    (lambda name, head: "zero_pp_rank_" in name, "is a shard of a DeepSpeed checkpoint", _DEEPSPEED),
    (lambda name, head: head.startswith(b"GGUF"), "is a GGUF file", _GGUF),
    (lambda name, head: name.endswith(".onnx") or _is_onnx(head), "is an ONNX file", _ONNX),
    (lambda name, head: head[4:8] == b"TFL3", "is a TensorFlow Lite file", KERAS),
    (lambda name, head: name.endswith(".pb"), "is a TensorFlow graph", _TENSORFLOW),
    (
        lambda name, head: re.search(r"\.data-\d{5}-of-\d{5}$|\.ckpt\.(index|meta)$", name) is not None,
        "is part of a TensorFlow checkpoint",
        _TENSORFLOW,
    ),
    (lambda name, head: name.endswith(".msgpack"), "holds Flax weights", _FLAX),
)
_OF_KERAS = re.compile(r"(/|^)vars/\d+$|(/|^)(kernel|bias|gamma|beta|moving_mean|embeddings|recurrent_kernel):0$")
#: parts of the names that adapters give to the few tensors they train
_ADAPTED = re.compile(r"(lora_|ia3_|hada_|lokr_|vera_|[bh]?oft_|prompt_embeddings|modules_to_save)")


def refuse_folder(folder: Path) -> None:
    """Tell what a folder without weights under the usual names is.

    Raises:
        UnreadableInput: if it is known, naming the command that makes weights of it.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in itertools.islice(entries, MOST_ENTRIES))
    for pattern, what, way_out in _FOLDERS:
        name = next((name for name in names if re.fullmatch(pattern, name)), None)
        if name is not None:
            raise _refusal(folder, (what + _base(folder, name)).format(name=one_line(name, 40)), way_out, name)


def refuse_file(path: Path, head: bytes) -> None:
    """Tell the kind of a file that is no checkpoint of PyTorch's, by its name or first bytes.

    Raises:
        UnreadableInput: if it is known, naming the command that makes weights of it.
    """
    for is_such, what, way_out in _FILES:
        if is_such(path.name, head):
            raise _refusal(path, what, way_out, path.name)


def refuse_adapter(path: Path, names: Sequence[object]) -> None:
    """Refuse weights that are an adapter's alone, without the network that it adapts.

    Raises:
        UnreadableInput: naming how it is merged.
    """
    if names and all(isinstance(name, str) and _ADAPTED.search(name) for name in names):
        raise _refusal(
            path, f"holds a PEFT adapter alone{_base(path.parent, 'adapter_config.json')}", _MERGE, path.name
        )


def refuse_keras(path: Path, names: Iterable[str]) -> None:
    """Refuse the HDF5 files in which Keras saves weights: matrices, but of layers and not of examples.

    Raises:
        UnreadableInput: naming the way out.
    """
    if any(_OF_KERAS.search(name) for name in names):
        raise _refusal(path, "holds weights of Keras", f"{KERAS}, or name one array as FILE.h5:NAME", path.name)


def _refusal(path: Path, what: str, way_out: str, name: str) -> UnreadableInput:
    """One line, whose end is the command: of the path its own end is shown."""
    end = f" {what}; {way_out.format(name=one_line(name, 40))}"
    return UnreadableInput(shown(path, max(30, 200 - len(end))) + end)


def _base(folder: Path, name: str) -> str:
    """The network that an adapter is for, as its settings name it."""
    if name != "adapter_config.json":
        return ""
    try:
        with (folder / name).open("rb") as stream:
            base = json.loads(stream.read(MOST_BYTES)).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    text = one_line(base, 30).replace("{", "").replace("}", "") if isinstance(base, str) else ""
    return f" (base {text})" if text else ""


def _is_onnx(head: bytes) -> bool:
    """A protobuf that begins with a small ``ir_version`` and then a producer, a domain or a graph."""
    return len(head) > 3 and head[0] == 0x08 and 3 <= head[1] <= 20 and head[2] in (0x12, 0x1A, 0x22, 0x3A)
