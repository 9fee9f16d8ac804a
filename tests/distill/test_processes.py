"""Several processes take the steps that one would; every process is a real one here."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kernelscope import processes
from kernelscope.checkpoints.checkpoint import load_checkpoint
from kernelscope.distill import outcome
from kernelscope.errors import UsageError

DATA = "shapes(size=8,classes=4,n=99,difficulty=0)"
MLP = ("--arch", "mlp", "--arch-kwargs", json.dumps({"hidden": 48, "in_features": 192}))


def kernelscope(*words, **options):
    command = [sys.executable, "-m", "kernelscope", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture
def teacher(run, tmp_path):
    code, _, err = run("train", "--data", DATA, *MLP, "--epochs", 30, "--lr", 0.05, "--quiet", "--out", "teacher.pt")
    assert code == 0, err
    return tmp_path / "teacher.pt"


def test_two_processes_take_the_steps_of_one(run, teacher, tmp_path):
    """Losses, gradients and weights of three steps on all 99 examples, which two processes cannot share evenly."""
    found = []
    for count in (1, 2):
        out = tmp_path / f"{count}.pt"
        words = ("train", "--data", DATA, *MLP, "--teacher", teacher, "--epochs", 3, "--batch-size", 99, "--lr", 0.01)
        method = "kda+kda(landmarks=running)+full_kernel+rkd+gram+kd(weight=auto)+cka+procrustes+kda@logits"
        words = (*words, "--method", method, "--out", out, "--quiet")
        if count == 1:
            code, said, err = run(*words)
        else:
            done = kernelscope(*words, "--nproc", count)
            code, said, err = done.returncode, done.stdout, done.stderr
        assert code == 0, err
        assert said.count("top-1") == 1
        found.append(load_checkpoint(out))
    one, two = found
    for a, b in zip(one.training["history"], two.training["history"]):
        # 1 - CKA is rounded in units of 1, which is 1.2e-7 in float32
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-6, abs=2e-7)
        assert b["gradient"] == pytest.approx(a["gradient"], rel=1e-6)
        assert (a["train_top1"], a["validation_top1"]) == (b["train_top1"], b["validation_top1"])
    for key, value in one.state_dict.items():
        torch.testing.assert_close(two.state_dict[key], value, rtol=1e-6, atol=1e-7)
    assert (two.training["processes"], two.training["notes"]) == (2, one.training["notes"])


def test_batch_normalisation_is_noted_where_processes_share_it(monkeypatch):
    student = SimpleNamespace(network=nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert outcome._notes(student) == []
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert "the 2 processes' own shares" in outcome._notes(student)[0]
    assert outcome._notes(SimpleNamespace(network=nn.Linear(2, 2))) == []


@pytest.mark.long
def test_batch_normalisation_of_shares_is_noted(tmp_path):
    words = ("train", "--data", DATA, "--arch", "resnet8x0.25", "--epochs", 1, "--nproc", 2, "--quiet")
    assert kernelscope(*words, "--out", tmp_path / "s.pt").returncode == 0
    made = load_checkpoint(tmp_path / "s.pt")
    assert made.training["notes"] == [
        "batch normalisation used the 2 processes' own shares of each batch, not the whole"
    ]
    assert made.network() is not None


@pytest.mark.long
def test_an_error_in_several_processes_is_one_line_with_its_code(tmp_path):
    words = ("train", "--data", DATA, *MLP, "--nproc", 2, "--quiet", "--out", tmp_path / "s.pt")
    done = kernelscope(*words, "--method", "kdaa")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kernelscope: error: unknown method 'kdaa'; nearest: kda, kd\n"
    assert not list(tmp_path.iterdir())


#: what the first process does at its third step
ENDS_ITS_LAUNCHER = """
import os, signal

if os.environ.get("RANK") == "0":
    from kernelscope.distill.student import Student

    step, taken = Student.step, []

    def counted(*given):
        step(*given)
        taken.append(given)
        if len(taken) == 3:
            os.kill(os.getppid(), signal.SIGTERM)

    Student.step = counted
"""


def test_ending_the_launcher_saves_and_ends_its_processes(tmp_path):
    words = ("train", "--data", DATA, *MLP, "--epochs", 100000, "--nproc", 2, "--out", tmp_path / "s.pt")
    command = [sys.executable, "-m", "kernelscope", *map(str, words)]
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDS_ITS_LAUNCHER)
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    launcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert "preset quick" in launcher.stderr.readline()
    children = _children(launcher.pid)
    assert len(children) == 2
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 143
    assert not any(_is_running(child) for child in children)
    assert "pass --resume" in said and (tmp_path / "s.pt.state").exists()


def _children(pid):
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in listing.stdout.split()]


def _is_running(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state != "" and not state.startswith("Z")


def test_alone_everything_is_the_identity():
    x = torch.arange(6.0).view(3, 2)
    assert processes.shard(x) is x and processes.all_gather_rows(x, 3) is x and processes.all_reduce_sum_(x) is x
    assert (processes.count(), processes.rank(), processes.is_first()) == (1, 0, True)
    with processes.together("cpu") as device:
        assert device == "cpu"


def test_a_batch_that_is_too_small_to_share_is_refused(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 4)
    with pytest.raises(UsageError, match="3 examples for 4 processes; raise batch_size="):
        processes.shard(torch.zeros(3, 1))
