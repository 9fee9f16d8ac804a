"""A probe in other people's trainers, and in several processes."""

import os
import socket
import subprocess
import sys

import pytest
from torch import nn

from kernelscope.distill.callbacks import HuggingFaceSteps, LightningSteps
from kernelscope.errors import Mismatch, UsageError
from tests.distill.probing import Net, small_probe, strict


class Trainers:
    """Loops as Hugging Face and Lightning have them, around one student; they call what a callback offers."""

    def __init__(self, student):
        self.student = student
        self.is_world_process_zero = self.is_global_zero = True
        self.global_step = 0

    def hugging_face(self, callback, steps):
        callback.on_train_begin(None, self, None, model=self.student, optimizer=None)
        for _ in range(steps):
            self.global_step += 1
            callback.on_step_end(None, self, None, model=self.student, optimizer=None)

    def lightning(self, callback, batches, accumulate):
        callback.on_train_start(self, self.student)
        for number in range(batches):
            self.global_step += (number + 1) % accumulate == 0
            callback.on_train_batch_end(self, self.student, None, None, number)


def test_a_hugging_face_loop_is_followed_by_its_own_count():
    probe = small_probe(every=4)
    Trainers(Net(seed=1)).hugging_face(HuggingFaceSteps(probe), 13)
    assert [record["step"] for record in probe.trajectory] == [4, 8, 12]


def test_a_lightning_loop_that_accumulates_is_looked_at_once_a_step():
    probe, module = small_probe(every=2), nn.ModuleDict({"net": Net(seed=1), "other": nn.Linear(3, 3)})
    Trainers(module).lightning(LightningSteps(probe, "net"), 15, 3)
    assert [record["step"] for record in probe.trajectory] == [2, 4]
    assert probe.trajectory[0]["layers"] == probe.look(module["net"], 0)["layers"]


def test_trainers_check_the_student_before_the_first_step():
    probe = small_probe()
    with pytest.raises(Mismatch, match="the student does not take"):
        Trainers(nn.Linear(5, 3)).hugging_face(HuggingFaceSteps(probe), 1)
    with pytest.raises(UsageError, match="has no module 'nett'; it has conv, norm, drop, fc"):
        Trainers(Net()).lightning(LightningSteps(probe, "nett"), 1, 1)


def test_only_the_first_process_of_a_trainer_looks():
    probe, loop = small_probe(every=1), Trainers(Net(seed=1))
    loop.is_world_process_zero = loop.is_global_zero = False
    loop.hugging_face(HuggingFaceSteps(probe), 3)
    loop.lightning(LightningSteps(probe, ""), 3, 1)
    assert probe.trajectory == []


def test_a_trainer_that_is_not_installed_is_named_with_its_mend(monkeypatch):
    for module in ("transformers", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"transformers cannot be imported .*; run pip install transformers"):
        small_probe().huggingface()
    with pytest.raises(UsageError, match=r"lightning cannot be imported .*; run pip install lightning"):
        small_probe().lightning()


TWO_PROCESSES = """
import sys, torch
from torch import nn
import kernelscope as ks
from kernelscope import processes

with processes.together("cpu"):
    torch.manual_seed(0)
    x, y = torch.randn(40, 6), torch.arange(40) % 3
    make = lambda width: nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))
    probe = ks.Probe(teacher=make(9), data=(x, y), every=2, log=sys.argv[1])
    student = nn.parallel.DistributedDataParallel(make(5))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for step in range(5):
        loss = nn.functional.cross_entropy(student(processes.shard(x)), processes.shard(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        probe(student, step)
    weights = torch.cat([weight.detach().flatten() for weight in student.parameters()])
    assert torch.equal(processes.all_reduce_sum_(weights.clone()), 2 * weights)
    assert len(probe.trajectory) == (3 if processes.is_first() else 0)
"""


def test_of_several_processes_the_first_looks_and_the_others_go_on(tmp_path):
    variables = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "p.jsonl")]
    running = [subprocess.Popen(command, env={**variables, "RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert [strict(line)["step"] for line in lines] == [0, 2, 4]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
