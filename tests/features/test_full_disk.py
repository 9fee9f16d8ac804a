"""A full disk is told before work or stops a run cleanly, and what was written is gone on with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from kernelscope.activations.trial import FEW
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.sources import load
from kernelscope.errors import ResourceError
from kernelscope.features.extraction import extract
from tests.small_disk import DISK_BYTES, fill


class Wide(nn.Module):
    """Rows of a few thousand bytes each, from a network without weights of note."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.fc = nn.Linear(64, 500), nn.Linear(500, 10)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.fc(self.wide(x.flatten(1)).relu())


@pytest.fixture(scope="module")
def examples():
    return load("digits", "test")


def run(examples, out, network=None, **options):
    return extract(loaded_module(network or Wide(), name="net"), examples, layers="wide", out=out, **options)


def test_a_disk_without_room_is_told_before_the_second_batch_and_nothing_stays(disk, examples):
    (disk / "ballast").write_bytes(bytes(3 * DISK_BYTES // 4))
    network = Wide()
    with pytest.raises(ResourceError, match=r"has \d+ kB free, 1\.2 MB needed"):
        run(examples, disk / "f.h5", network, batch_size=16)
    assert network.seen == 16 + FEW
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_run_whose_space_is_reserved_does_not_mind_others_filling_the_disk(disk, examples, tmp_path):
    whole = run(examples, tmp_path / "f.h5", batch_size=16)
    run(examples, disk / "f.h5", batch_size=16, progress=lambda done, total: done == 32 and fill(disk))
    assert (disk / "f.h5").read_bytes() == Path(whole.path).read_bytes()


def test_a_disk_that_fills_up_costs_only_the_last_batch(disk, examples, tmp_path, monkeypatch):
    whole = run(examples, tmp_path / "f.h5", batch_size=16)
    monkeypatch.delattr(os, "posix_fallocate")  # a system that cannot promise space
    with pytest.raises(ResourceError, match="disk full while writing"):
        run(examples, disk / "f.h5", batch_size=16, progress=lambda done, total: done == 160 and fill(disk))
    assert {path.name for path in disk.iterdir()} == {"f.h5.partial", "ballast"}
    with pytest.raises(ResourceError, match="disk full while writing"):
        run(examples, disk / "f.h5", batch_size=16)
    (disk / "ballast").unlink()
    network = Wide()
    run(examples, disk / "f.h5", network, batch_size=16)
    assert 0 < network.seen <= examples.n - 160 + FEW
    assert (disk / "f.h5").read_bytes() == Path(whole.path).read_bytes()


FILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from kernelscope.errors import KernelscopeError
from tests.features.test_full_disk import Wide, load, run
from tests.small_disk import fill
if hasattr(os, "posix_fallocate"):
    del os.posix_fallocate
disk = Path({disk!r})
try:
    run(load("digits", "test"), disk / "f.h5", batch_size=16, progress=lambda done, total: done == 160 and fill(disk))
except KernelscopeError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_a_process_that_meets_a_full_disk_ends_with_exit_code_7(disk):
    code = FILLED.format(here=str(Path(__file__).parents[2]), disk=str(disk))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert (disk / "f.h5.partial").exists()
