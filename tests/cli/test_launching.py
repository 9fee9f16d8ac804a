"""Whatever ends one of several training processes: one line that names it, in time, and nobody is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from kernelscope.checkpoints.checkpoint import load_checkpoint

DATA = "shapes(size=8,classes=4,n=99,difficulty=0)"
MLP = ("--arch", "mlp", "--arch-kwargs", json.dumps({"hidden": 48, "in_features": 192}))
WORDS = ("train", "--data", DATA, *MLP, "--batch-size", 32)
SECONDS = 30  #: in which everything is over after a fault

#: what the process of rank FAULT_RANK does at its third step
FAULTS = """
import os, signal

if "FAULT" in os.environ and os.environ.get("RANK") in os.environ["FAULT_RANK"].split(","):
    from kernelscope.distill import resuming
    from kernelscope.distill.student import Student

    resuming.SECONDS = 0
    step, taken = Student.step, []

    def counted(*given):
        step(*given)
        taken.append(given)
        if len(taken) == int(os.environ.get("FAULT_STEP", "3")):
            open(os.environ["FAULT_SEEN"], "w").close()
            exec(os.environ["FAULT"])

    Student.step = counted
elif "FAULT" in os.environ:
    from kernelscope.distill import resuming

    resuming.SECONDS = 0
"""


@pytest.fixture
def site(tmp_path):
    """Variables with which processes meet faults."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAULTS)
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": paths, "FAULT_SEEN": str(tmp_path / "seen")}


def command(*words):
    return [sys.executable, "-m", "kernelscope", *map(str, words)]


def of(pid):
    """Processes whose command names this folder's output, but for the launcher: its children, or orphans."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,stat=,args="], capture_output=True, text=True
    ).stdout.splitlines()
    rows = [line.split(None, 2) for line in listing]
    return [int(row[0]) for row in rows if len(row) == 3 and str(pid) in row[2] and not row[1].startswith("Z")]


def failed(site, tmp_path, rank, fault, *words):
    """The exit code and stderr of a training in which a process meets a fault."""
    out = tmp_path / "s.pt"
    environment = {**site, "FAULT": fault, "FAULT_RANK": str(rank)}
    words = (*WORDS, "--epochs", 1000, "--nproc", 2, "--quiet", "--out", out, *words)
    done = subprocess.run(command(*words), env=environment, capture_output=True, text=True, timeout=150)
    assert done.stdout == "" and not of(out) and not out.exists()
    return done.returncode, done.stderr


RAISES = "from kernelscope import errors; raise errors."
CASES = {
    "os.kill(os.getpid(), signal.SIGKILL)": (7, "{} was ended by SIGKILL, perhaps for lack of memory; run again"),
    "os.kill(os.getpid(), signal.SIGSEGV)": (7, "{} was ended by SIGSEGV; run again, with --resume"),
    "os._exit(3)": (7, "{} ended with code 3 and said nothing; run again"),
    "raise MemoryError": (7, "{}: out of memory; lower --batch-size"),
    RAISES + "UsageError('no such thing; name another')": (2, "{}: no such thing; name another"),
    RAISES + "NumericalError('loss is nan; lower --lr')": (5, "{}: loss is nan; lower --lr"),
    "raise OSError(28, 'No space left on device', 'f')": (7, "{}: disk full"),
}
SHORT = {("os.kill(os.getpid(), signal.SIGKILL)", 1)}
EVERY = [
    pytest.param(fault, rank, marks=[] if (fault, rank) in SHORT else pytest.mark.long)
    for fault in CASES
    for rank in (0, 1)
]


@pytest.mark.parametrize(("fault", "rank"), EVERY)
def test_a_process_that_fails_is_named_in_one_line_with_its_code(site, tmp_path, fault, rank):
    code, said = failed(site, tmp_path, rank, fault)
    took = time.time() - (tmp_path / "seen").stat().st_mtime
    expected, line = CASES[fault]
    assert code == expected and said.count("\n") == 1 and len(said) <= 201
    assert said.startswith("kernelscope: error: " + line.format(f"process {rank} of 2"))
    assert took < SECONDS


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_bug_in_one_process_has_one_traceback(site, tmp_path, rank):
    code, said = failed(site, tmp_path, rank, "raise KeyError('a bug')")
    assert code == 1 and said.count("Traceback") == 1 and "KeyError: 'a bug'" in said
    assert said.splitlines()[-1].startswith(f"kernelscope: error: process {rank} of 2 met a bug")


@pytest.mark.long
def test_what_all_processes_say_is_said_once(site, tmp_path):
    code, said = failed(site, tmp_path, "0,1", RAISES + "NumericalError('loss is nan; lower --lr')")
    assert (code, said) == (5, "kernelscope: error: loss is nan; lower --lr\n")


def started(site, tmp_path, **options):
    """A launcher whose processes train, without end, and they."""
    out = tmp_path / "s.pt"
    environment = {**site, "FAULT": "", "FAULT_RANK": "1"}
    words = (*WORDS, "--epochs", 10**6, "--nproc", 2, "--out", out)
    launcher = subprocess.Popen(command(*words), env=environment, stderr=subprocess.PIPE, text=True, **options)
    until = time.monotonic() + 60
    while not (tmp_path / "seen").exists():
        assert time.monotonic() < until and launcher.poll() is None
        time.sleep(0.05)
    assert len(of(out)) == 3
    return launcher, out


@pytest.mark.long
def test_a_launcher_that_is_killed_leaves_no_orphans_and_a_state(site, tmp_path):
    launcher, out = started(site, tmp_path)
    launcher.kill()
    launcher.communicate(timeout=SECONDS)
    until = time.monotonic() + SECONDS
    while of(out):
        assert time.monotonic() < until, "orphans"
        time.sleep(0.1)
    assert (tmp_path / "s.pt.state").exists()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("whole_group", [False, True], ids=["launcher", "terminal"])
def test_a_signal_saves_and_ends_them_all(site, tmp_path, number, whole_group):
    launcher, out = started(site, tmp_path, start_new_session=True)
    (os.killpg if whole_group else os.kill)(launcher.pid, number)
    _, said = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 128 + number and not of(out)
    assert said.splitlines()[-1].startswith("kernelscope: error: stopped in epoch") and "--resume" in said
    assert "Traceback" not in said and (tmp_path / "s.pt.state").exists()


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_goes_on_after_a_death_and_ends_with_the_same_bits(site, tmp_path, rank):
    words = (*WORDS, "--epochs", 4, "--nproc", 2, "--quiet", "--out")
    assert subprocess.run(command(*words, tmp_path / "whole.pt"), timeout=150, capture_output=True).returncode == 0
    out = tmp_path / "s.pt"
    environment = {**site, "FAULT": "os.kill(os.getpid(), signal.SIGKILL)", "FAULT_RANK": str(rank), "FAULT_STEP": "8"}
    done = subprocess.run(command(*words, out), env=environment, timeout=150, capture_output=True)
    assert done.returncode == 7 and (tmp_path / "s.pt.state").exists()
    done = subprocess.run(command(*words, out, "--resume"), timeout=150, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("top-1")) == (0, 1), done.stderr
    whole, resumed = (load_checkpoint(tmp_path / name).state_dict for name in ("whole.pt", "s.pt"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.long
def test_a_port_that_is_taken_or_dead_is_told_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for rank, address in ((0, port), (1, 1)):
            variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(address)}
            began = time.monotonic()
            words = (*WORDS, "--out", tmp_path / "s.pt", "--quiet")
            done = subprocess.run(
                command(*words), env={**os.environ, **variables}, capture_output=True, text=True, timeout=90
            )
            assert time.monotonic() - began < SECONDS + 10
            assert done.returncode == 7 and done.stdout == ""
            assert done.stderr.startswith("kernelscope: error: process") and done.stderr.count("\n") == 1


@pytest.mark.long
def test_under_torchrun_a_process_that_fails_is_named(site, tmp_path):
    environment = {**site, "FAULT": RAISES + "NumericalError('loss is nan; lower --lr')", "FAULT_RANK": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    words = ("kernelscope", *WORDS, "--epochs", 1000, "--quiet", "--out", tmp_path / "s.pt")
    done = subprocess.run([*launcher, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120)
    ours = [line for line in done.stderr.splitlines() if line.startswith("kernelscope: error:")]
    assert done.returncode != 0 and "kernelscope: error: process 1 of 2: loss is nan; lower --lr" in ours
    assert all("process" in line for line in ours) and not of(tmp_path / "s.pt")
