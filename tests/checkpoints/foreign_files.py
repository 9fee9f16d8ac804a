"""Files of weights as other people's programs leave them; every one holds the weights of :func:`network`.

Their classes live in a module ``strangers`` that exists only while a file is written. A module of that name whose
import leaves a mark lies in wait for a reader that imports what a file names.
"""

import argparse
import collections
import contextlib
import datetime
import enum
import fractions
import functools
import random
import sys
import types
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from kernelscope.networks import zoo

ARCH, KWARGS = "resnet8x0.25", {"num_classes": 3, "in_channels": 1}
KINDS = {}


def network(seed=0, arch=ARCH):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return zoo.build(arch, **KWARGS).eval()


def weights(seed=0, arch=ARCH):
    return dict(network(seed, arch).state_dict())


def prefixed(prefix, state_dict=None):
    return {prefix + key: value for key, value in (state_dict or weights()).items()}


@dataclass
class Foreign:
    """A file, how it is asked for, and a piece of what is noted about it ('' if there is nothing to note)."""

    path: Path
    note: str = ""
    role: str | None = None
    tolerance: float = 0.0


@contextlib.contextmanager
def strangers():
    """The strangers' module, for as long as it takes to write a file."""
    module = types.ModuleType("strangers")

    def define(name, *bases):
        made = type(name, bases, {"__module__": "strangers", "__qualname__": name})
        setattr(module, name, made)
        return made

    module.define = define
    sys.modules["strangers"] = module
    try:
        yield module
    finally:
        del sys.modules["strangers"]


def kind(name, note="", **options):
    """Register a way to write a file: the function gets a folder, returns what to save or the path it wrote."""

    def register(make):
        def write(folder):
            made = make(folder)
            if not isinstance(made, Path):
                content, made = made, folder / "t.pt"
                torch.save(content, made)
            return Foreign(made, note, **options)

        KINDS[name] = write
        return make

    return register


def plain(name, make, note="", **options):
    """The same for what needs no statements."""
    kind(name, note, **options)(lambda folder: make())


plain("bare", weights)
plain("with a gradient", lambda: {k: v.requires_grad_(v.is_floating_point()) for k, v in weights().items()})
plain("parameters", lambda: dict(network().named_parameters()) | dict(network().named_buffers()))
plain("DataParallel", lambda: prefixed("module."), "prefix 'module.' was taken off")
plain("compiled", lambda: prefixed("_orig_mod."), "prefix '_orig_mod.'")
plain("compiled in parallel", lambda: prefixed("_orig_mod.module."), "prefix '_orig_mod.module.'")
plain("parallel, compiled inside", lambda: prefixed("module._orig_mod."), "prefix 'module._orig_mod.'")
plain("layers compiled", lambda: {k.replace("layer1.", "layer1._orig_mod."): v for k, v in weights().items()})
plain("sharded wrappers", lambda: prefixed("_fsdp_wrapped_module."), "prefix '_fsdp_wrapped_module.'")
plain(
    "encoder of a larger model", lambda: prefixed("encoder.") | {"head.weight": torch.ones(2)}, "1 tensor under other"
)
plain("training state", lambda: {"epoch": 3, "model": weights(), "lr": 0.1}, "found under 'model'")
plain("DeepSpeed", lambda: {"module": weights(), "global_steps": 7}, "found under 'module'")
plain("nested", lambda: {"run": {"best": {"model_state_dict": weights()}}}, "'run/best/model_state_dict'")
plain("an average", lambda: prefixed("module.") | {"n_averaged": torch.tensor(5)}, "prefix 'module.'")
plain("an average, bare", lambda: weights() | {"n_averaged": torch.tensor(5)}, "1 tensor under other")
plain("an average alone", lambda: {"ema": {"shadow": prefixed("module.")}, "decay": 0.99}, "'ema/shadow'")
plain("an equal copy", lambda: {"model": weights(), "model_ema": weights()}, "found under 'model'")
plain("a list", lambda: [weights(), {"lr": 0.1}], "found under '0'")
plain("a tuple", lambda: ({"lr": 0.1}, prefixed("net.")), "found under '1'")
plain("half", lambda: {k: _as(v, torch.float16) for k, v in weights().items()}, "float16 tensors read", tolerance=1e-3)
plain("bfloat16", lambda: {k: _as(v, torch.bfloat16) for k, v in weights().items()}, "bfloat16", tolerance=1e-2)
plain("double", lambda: {k: _as(v, torch.float64) for k, v in weights().items()}, "float64 tensors read")
plain(
    "no counters",
    lambda: {k: v for k, v in weights().items() if "num_batches" not in k},
    "9 missing BatchNorm counters",
)
plain("both roles", lambda: {"teacher": weights(1), "student": weights()}, "under 'student'", role="student")
plain(
    "roles before names", lambda: prefixed("teacher.") | prefixed("student.", weights(1)), "'teacher.'", role="teacher"
)
plain("two sizes", lambda: {"teacher": weights(0, "resnet14x0.25"), "student": weights()}, "under 'student'")
plain("NumPy numbers", lambda: {"state_dict": weights(), "best_acc": np.float64(0.9)}, "inert stubs (numpy")
plain("NumPy arrays", lambda: {"state_dict": weights(), "curve": np.arange(3.0)}, "inert stubs")
plain("a path and a date", lambda: {"net": weights(), "at": [Path("a"), datetime.date(2026, 1, 1)]}, "inert stubs")
plain("a default dict", lambda: collections.defaultdict(list, weights()), "collections.defaultdict")
plain("ordered", lambda: collections.OrderedDict(weights()))
plain("pickled network", network, "kernelscope.networks.zoo.resnet.ResNet")
plain("pickled in parallel", lambda: nn.DataParallel(network()), "prefix 'module.'")
plain("pickled network and loss", lambda: {"model": network(), "loss": nn.CrossEntropyLoss()}, "inert stubs")
plain("channels last", lambda: {k: _channels_last(v) for k, v in weights().items()})


def _as(value, dtype):
    return value.to(dtype) if value.is_floating_point() else value


def _channels_last(value):
    return value.to(memory_format=torch.channels_last) if value.ndim == 4 else value


@kind("optimizer beside it", "found under 'state_dict'")
def _optimizer(folder):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    return {"optimizer": _stepped(model, optimizer), "state_dict": weights()}


def _stepped(model, optimizer):
    model(torch.ones(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


@kind("views of one buffer", "")
def _views(folder):
    flat = torch.cat([value.flatten().float() for value in weights().values()])
    found, at = {}, 0
    for key, value in weights().items():
        whole = flat[at : at + value.numel()].view(value.shape)
        found[key], at = (whole if value.is_floating_point() else value), at + value.numel()
    return found


@kind("Lightning", "argparse.Namespace")
def _lightning(folder):
    given = argparse.Namespace(lr=0.1, out=Path("runs"), rates=np.ones(2))
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3)},
        "hyper_parameters": {"args": given, "seen": collections.Counter("abc"), "loss": nn.CrossEntropyLoss},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
    }


@kind("a configuration tree", "strangers.DictConfig")
def _configuration(folder):
    with strangers() as module:
        tree = module.define("DictConfig", dict)(lr=0.1)
        tree.parent, tree.flags = None, {"readonly": True}
        torch.save({"cfg": tree, "state_dict": weights()}, folder / "t.pt")
    return folder / "t.pt"


@kind("weights in a dict with attributes", "strangers.EasyDict")
def _easy_dict(folder):
    with strangers() as module:
        torch.save({"model": module.define("EasyDict", dict)(weights())}, folder / "t.pt")
    return folder / "t.pt"


@kind("weights in an object", "strangers.TrainState")
def _object(folder):
    with strangers() as module:
        state = module.define("TrainState")()
        state.params, state.step, state.history = weights(), 7, module.define("History", list)([0.1, 0.2])
        torch.save(state, folder / "t.pt")
    return folder / "t.pt"


@kind("a stranger's network", "strangers.Net")
def _strange_network(folder):
    with strangers() as module:
        net = network()
        net.__class__ = module.define("Net", type(net))
        net.register_buffer("scratch", torch.ones(2), persistent=False)
        module.Mode = enum.Enum("Mode", "A B", module="strangers")
        torch.save({"net": net, "mode": module.Mode.A}, folder / "t.pt")
    return folder / "t.pt"


@kind("an object that runs code when it is unpickled", "strangers.leave_a_mark")
def _bomb(folder):
    with strangers() as module:

        def leave_a_mark():
            raise AssertionError("a file was unpickled")

        leave_a_mark.__module__, leave_a_mark.__qualname__ = "strangers", "leave_a_mark"
        module.leave_a_mark = leave_a_mark
        bomb = module.define("Bomb")
        bomb.__reduce__ = lambda self: (leave_a_mark, ())
        torch.save({"state_dict": weights(), "extra": bomb()}, folder / "t.pt")
    return folder / "t.pt"


@kind("before torch 1.6", "carries no checksums")
def _legacy(folder):
    torch.save(weights(), folder / "t.pth", _use_new_zipfile_serialization=False)
    return folder / "t.pth"


@kind("before torch 1.6, in parallel", "prefix 'module.'")
def _legacy_parallel(folder):
    torch.save({"state_dict": prefixed("module.")}, folder / "t.tar", _use_new_zipfile_serialization=False)
    return folder / "t.tar"


@kind("all that a training run had at hand", "builtins.frozenset")
def _everything(folder):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10)
    return {
        "model": weights(),
        "optimizer": optimizer,
        "state": [_stepped(model, optimizer), schedule.state_dict()],
        "random": [torch.get_rng_state(), np.random.default_rng(0), random.getstate()],
        "numbers": [2**70, 1j, fractions.Fraction(1, 2), uuid.UUID(int=7), np.array(["a", None], dtype=object)],
        "bytes": [b"abc", bytearray(b"abc"), frozenset({1}), {1, 2}, range(3), slice(1, 2), ...],
        "code": [functools.partial(nn.GELU, "tanh"), nn.functional.relu, nn.ReLU, torch.float16, torch.Size([1])],
        "counts": [collections.deque([1]), collections.Counter("aab"), collections.defaultdict(int, a=1)],
    }
