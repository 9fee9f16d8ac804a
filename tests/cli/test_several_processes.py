"""measure, extract, audit and gate in several processes: one answer, one line for whatever ends them, nobody left."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import kernelscope as ks
from tests.cli.test_launching import of

SECONDS = 30  #: in which everything is over after a fault

#: what the process of rank FAULT_RANK does at its second block of rows
FAULTS = """
import os, signal

if os.environ.get("FAULT") and os.environ.get("RANK") == os.environ["FAULT_RANK"]:
    from kernelscope.kernels.distance.accumulate import PairSum

    add, seen = PairSum.add, []

    def counted(*given):
        add(*given)
        seen.append(given)
        if len(seen) == 2:
            open(os.environ["FAULT_SEEN"], "w").close()
            exec(os.environ["FAULT"])

    PairSum.add = counted
"""
RAISES = "from kernelscope import errors; raise errors."


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_001, 6)).astype(np.float32)
    np.save(tmp_path / "t.npy", X)
    np.save(tmp_path / "s.npy", X[:, :4] + 0.1 * rng.standard_normal((20_001, 4)).astype(np.float32))
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    return tmp_path


def run(files, *words, fault="", rank=1, **variables):
    paths = os.pathsep.join([str(files), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables |= {"PYTHONPATH": paths, "FAULT": fault, "FAULT_RANK": str(rank), "FAULT_SEEN": str(files / "seen")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=files,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        timeout=150,
    )


def pair_of(done):
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    (pair,) = json.loads(done.stdout)["pairs"]
    return pair


NPY = ("--teacher", "t.npy", "--student", "s.npy", "--quiet")


def test_two_processes_print_one_report_within_the_interval_of_one(files):
    X_T, X_S = (np.load(files / f"{name}.npy") for name in "ts")
    low, high = ks.transfer_loss(teacher=X_T, student=X_S).interval
    two = pair_of(run(files, "kernelscope", "measure", *NPY, "--json", "--nproc", 2))
    assert two["n"] == 20_001 and low <= two["transfer_loss"] <= high
    one = ks.measure(teacher=X_T, student=X_S, neighbours=0).difference_eigenvectors
    for ours, theirs in zip(one, two["difference_eigenvectors"], strict=True):
        assert theirs["interval"][0] <= ours.eigenvalue <= theirs["interval"][1]
        ends = ours.positive + ours.negative
        assert [end.index for end in ends] == [end["index"] for end in theirs["positive"] + theirs["negative"]]


@pytest.mark.parametrize(
    ("nproc", "variables", "line"),
    [
        (0, {}, "Invalid value for '--nproc': 0 is not in the range x>=1"),
        (2, {"WORLD_SIZE": "4", "RANK": "0"}, "--nproc 2 where 4 processes were started already; drop it"),
    ],
)
def test_a_number_of_processes_that_cannot_be_is_refused(files, nproc, variables, line):
    done = run(files, "kernelscope", "measure", *NPY, "--nproc", nproc, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"kernelscope: error: {line}\n")


CASES = {
    "os.kill(os.getpid(), signal.SIGKILL)": (7, "process {} of 2 was ended by SIGKILL, perhaps for lack of memory"),
    "os._exit(3)": (7, "process {} of 2 ended with code 3 and said nothing; run again"),
    RAISES + "UnreadableInput('x is corrupt; extract it again')": (3, "x is corrupt; extract it again"),
    "raise MemoryError": (7, "process {} of 2: out of memory"),
}


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fault", CASES)
@pytest.mark.parametrize("verb", ["measure", "audit"])
def test_a_process_that_fails_ends_the_job_in_one_line(files, verb, fault, rank):
    done = run(files, "kernelscope", verb, *NPY, "--nproc", 2, "--save", files / "report.json", fault=fault, rank=rank)
    took = time.time() - (files / "seen").stat().st_mtime
    code, line = CASES[fault]
    assert done.returncode == code and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"kernelscope: error: {line.format(rank)}")
    assert took < SECONDS and not of(files / "report.json") and not (files / "report.json").exists()


@pytest.mark.long
def test_a_gate_that_fails_says_so_once(files):
    done = run(files, "kernelscope", "gate", *NPY, "--max", "transfer_loss=0.001", "--nproc", 2)
    assert done.returncode == 6 and done.stdout.count("transfer_loss") == 1 and done.stderr.count("\n") == 1


@pytest.mark.long
def test_several_processes_write_one_file_of_sums_with_the_fingerprint_of_one(files):
    for count in (1, 2):
        done = run(files, "kernelscope", "measure", *NPY, "--sums-out", f"{count}.kss", "--nproc", count)
        assert done.returncode == 0, done.stderr
    one, two = (ks.measure(sums=files / f"{count}.kss") for count in (1, 2))
    low, high = one.rounding_interval
    assert low <= two.transfer_loss <= high
    assert [each.meta["shards"][0]["fingerprint"] for each in (one, two)] == [one.meta["shards"][0]["fingerprint"]] * 2


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_torchrun_measures_alike(files, count):
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", "kernelscope")
    done = run(files, *torchrun, "measure", *NPY, "--json")
    (pair,) = json.loads(done.stdout)["pairs"]
    low, high = pair_of(run(files, "kernelscope", "measure", *NPY, "--json"))["rounding_interval"]
    assert done.returncode == 0 and low <= pair["transfer_loss"] <= high


@pytest.mark.long
def test_checkpoints_are_extracted_and_measured_by_several_processes(files):
    mlp = ("--arch", "mlp", "--arch-kwargs", '{"in_features": 64, "hidden": 32}')
    for seed in (0, 1):
        words = ("train", "--data", "digits", *mlp, "--epochs", 1, "--seed", seed, "--out", f"{seed}.pt", "--quiet")
        assert run(files, "kernelscope", *words).returncode == 0
    for count in (1, 3):
        words = ("extract", "0.pt", "--out", f"{count}.h5", "--batch-size", 100, "--nproc", count, "--quiet")
        done = run(files, "kernelscope", *words)
        assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stderr
    assert (files / "1.h5").read_bytes() == (files / "3.h5").read_bytes()
    cache = {"KERNELSCOPE_CACHE": str(files / "cache")}
    networks = ("measure", "--teacher", "0.pt", "--student", "1.pt", "--layers", "embedding", "--json", "--quiet")
    for more in ((), ("--no-features",), ("--no-features", "--passes", "2"), ("--no-cache",)):
        one, two = (pair_of(run(files, "kernelscope", *networks, *more, "--nproc", n, **cache)) for n in (1, 2))
        low, high = one["rounding_interval"]
        assert low <= two["transfer_loss"] <= high
