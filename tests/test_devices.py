"""A device that is not there is told before any work; one that fails is no bug of ours."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope import devices
from kernelscope.errors import ResourceError, UsageError

WORDS = [
    "tpu",
    "",
    "meta",
    "-1",
    "cpu:3",
    "hip",
    "CPU",
    " cpu",
    "cuda:99999999999",
    "cuda:",
    "cuda:-1",
    "gpu",
    "ｃｐｕ",
    "cpu\n",
]
WORDS += ["x" * 500, "privateuseone", "\udc80", "--"]
THERE = ", ".join(devices.available())
X = np.random.default_rng(0).normal(size=(9, 3))


@pytest.mark.parametrize("name", [*WORDS, 0, -1, True, None, 1.5, ["cpu"], object(), b"cpu", torch.device("meta")])
def test_a_device_that_is_not_there_is_told_with_those_that_are(name):
    with pytest.raises(UsageError) as told:
        ks.transfer_loss(teacher=X, student=X, device=name)
    said = str(told.value)
    assert len(said) < 180 and said.isprintable()
    assert said.endswith(f"this machine has {THERE}") or "expected a name such as cpu or cuda:0" in said


@pytest.mark.parametrize("name", ["cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0)])
def test_the_cpu_is_the_cpu_however_it_is_written(name):
    assert devices.require_device(name) == "cpu"
    assert ks.transfer_loss(teacher=X, student=X, device=name).value == 0


ENTRIES = {
    "measure": lambda device: ks.measure(teacher="none.pt", student="none.pt", device=device),
    "audit": lambda device: ks.audit(teacher="none.pt", student="none.pt", device=device),
    "transfer_loss": lambda device: ks.transfer_loss(teacher="none", student="none", device=device),
    "extract": lambda device: ks.extract(None, None, out="never.h5", device=device),
    "train": lambda device: ks.train(None, data="none", device=device),
    "train_cohort": lambda device: ks.train_cohort([], data="none", device=device),
    "Probe": lambda device: ks.Probe(teacher="none.pt", data="none", log="never", device=device),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_notebook_is_told_before_anything_is_read(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^device 'tpu' is not available; this machine has {THERE}$"):
        ENTRIES[entry]("tpu")
    assert not list(tmp_path.iterdir())


VERBS = [
    "measure --teacher none.pt --student none.pt",
    "audit --teacher none.pt --student none.pt",
    "gate --teacher none.pt --student none.pt --max transfer_loss=1",
    "gate --synthetic",
    "extract none.pt --out never.h5",
    "train --data none --arch mlp --out never.pt",
    "train --data none --arch mlp --out never.pt --nproc 2",
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["tpu", "", "-1", "cuda:99"])
def test_a_verb_is_told_before_anything_is_read_or_written(run, tmp_path, verb, name):
    code, out, err = run(*verb.split(), "--device", name)
    assert (code, out) == (2, "")
    assert err == f"kernelscope: error: device {name!r} is not available; this machine has {THERE}\n"
    assert not list(tmp_path.iterdir())


class Raises(nn.Module):
    """A network that fails in its forward pass as a device would."""

    def __init__(self, error):
        super().__init__()
        self.weight, self.error = nn.Parameter(torch.zeros(1)), error

    def forward(self, x):
        if self.error is None:
            return torch.empty(2**60)
        raise self.error


FAULTS = [
    (None, "too small for"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "too small for"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "too small for"),
    (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "too small for"),
    (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nFor debugging", 700), "failed for"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "failed for"),
    (RuntimeError("No CUDA GPUs are available"), "failed for"),
    (RuntimeError("Found no NVIDIA driver on your system"), "failed for"),
    (RuntimeError("HIP error: unspecified launch failure"), "failed for"),
]


@pytest.mark.parametrize(("error", "piece"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_device_that_fails_in_a_forward_pass_is_no_bug(error, piece, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match=rf"^the device('s memory is)? {piece} student"):
        ks.measure(teacher=nn.Flatten(), student=Raises(error), data="digits", limit=9, layers="logits")


@pytest.mark.parametrize(("error", "piece"), FAULTS[1:], ids=lambda value: str(value)[:30])
def test_so_is_one_that_fails_anywhere_else(error, piece):
    @devices.faults("training")
    def train():
        raise error

    with pytest.raises(ResourceError, match=f"{piece} training") as told:
        train()
    assert told.value.__cause__ is error and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "bug",
    [
        RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (9x3 and 4x3)"),
        RuntimeError("relationship failed"),
        ValueError("CUDA error"),
    ],
    ids=str,
)
def test_another_error_stays_what_it_is(bug):
    with pytest.raises(type(bug), match=re.escape(str(bug))) as told, devices.faults():
        raise bug
    assert told.value is bug


def test_the_cpu_is_known_without_torch():
    code = "import sys, kernelscope.devices as d; d.require_device('cpu'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
