"""``study`` and ``reproduce`` on the command line: plans read, refused, trained, taken up again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kernelscope.checkpoints.checkpoint import load_checkpoint
from tests.cli.test_train import refused
from tests.paper.plans import few_digits

PLAN = """
methods = ["ce", "kda(weight=0.1|0.2)"]
seeds = [0, 1, 2]
epochs = 2
batch_size = 64
data = {name = "few.npz"}
teacher = {arch = "mlp", epochs = 8, seed = 0}
student = [{arch = "mlpx0.25"}]
"""


@pytest.fixture
def plan(tmp_path):
    few_digits(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path / "plan.toml"


def changed(plan, old, new):
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new))


def test_a_study_is_planned_trained_told_and_taken_up_again(run, plan, tmp_path):
    words = ("study", "plan.toml", "--out", "d", "--jobs", "1")
    code, out, err = run(*words, "--dry-run")
    assert code == 0 and "11 networks of 5 recipes, 0 of them there" in out and not (tmp_path / "d").exists(), err
    code, out, err = run(*words)
    assert code == 0 and "was chosen of kda(weight=0.1|0.2) by top-1 on 54 training examples held out" in err, err
    assert "mlpx0.25, kda(weight=0.1|0.2) − ce: top-1 " in out and " ± " in out.split("− ce")[1]
    lines = (tmp_path / "d" / "results.csv").read_text().splitlines()
    rows = json.loads((tmp_path / "d" / "results.json").read_text())["rows"]
    assert len(lines) == 1 + len(rows) == 1 + 11 and "embedding.raw" in lines[0]
    student = next(row for row in rows if row["purpose"] == "figure")
    assert load_checkpoint(tmp_path / "d" / "students" / f"{student['key']}.pt").metrics["top1"] == student["top1"]
    refused(run(*words), 2, "holds a study; pass --resume")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "d" / "students").iterdir()}
    code, again, err = run(*words, "--resume", "--quiet")
    assert (code, err) == (0, "") and again == out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "d" / "students").iterdir()}
    code, out, _ = run(*words, "--resume", "--dry-run")
    assert code == 0 and "11 of them there\n0 CPU seconds left" in out


@pytest.mark.parametrize(
    ("old", "new", "code", "piece"),
    [
        ("seeds =", "seed =", 2, "has no key 'seed'; nearest: seeds"),
        ("epochs = 2", "epochs = 2.5", 2, "give a whole number"),
        ("epochs = 2", "epochs = true", 2, "give a whole number"),
        ("epochs = 2", "epochs = 0", 2, "expected at least 1"),
        ("epochs = 2", "lr = nan", 2, "give a finite number"),
        ("[0, 1, 2]", "[0, 0]", 2, "one of them twice"),
        ("[0, 1, 2]", "[0, -1]", 2, "whole numbers"),
        ('"ce"', '"cee"', 2, "unknown method 'cee'"),
        ('"ce"', "7", 2, "is no text"),
        ("0.1|0.2", "0.1|high", 2, "'high' is none"),
        ('"mlpx0.25"', '"mlp0"', 2, "unknown architecture"),
        ('arch = "mlpx0.25"', 'kind = "mlpx0.25"', 2, "has no key 'kind'"),
        ('[{arch = "mlpx0.25"}]', "[]", 2, "no student"),
        ('[{arch = "mlpx0.25"}]', "[3]", 2, "write [[student]]"),
        ('"few.npz"', '"os:system"', 2, "names code, which a file may not"),
        ('"few.npz"', '"nowhere.npz"', 3, "does not exist"),
        ('arch = "mlp", epochs = 8, seed = 0', 'file = "t.pt"', 3, "does not exist"),
        ('arch = "mlp", epochs = 8, seed = 0', 'file = "t.pt", epochs = 3', 2, "does not go with"),
        ('{arch = "mlp", epochs = 8, seed = 0}', "{}", 2, "or neither"),
        ("[0, 1, 2]", str(list(range(9000))), 2, "10,000 at most"),
        ("methods", "[", 3, "is no TOML"),
        ("2, 1", "\udcff", 3, "is no TOML"),
    ],
)  # fmt: skip
def test_a_bad_plan_is_one_line(run, plan, tmp_path, old, new, code, piece):
    if new == "\udcff":
        plan.write_bytes(b"\xff")
    else:
        changed(plan, old, new)
    refused(run("study", "plan.toml", "--out", "d"), code, piece)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "content", [b"", b"a = " + b"[" * 100_000, b"x = 1\n" * 400_000], ids=["empty", "deep", "long"]
)
def test_a_file_that_is_no_plan_is_one_line(run, tmp_path, content):
    (tmp_path / "plan.toml").write_bytes(content)
    refused(run("study", "plan.toml", "--out", "d"), 3, "plan.toml")


@pytest.mark.parametrize(
    ("words", "code", "piece"),
    [
        (("fig22",), 2, "unknown figure 'fig22'; nearest: fig2"),
        (("table3", "--data", "digits"), 2, "give --data twice"),
        (("fig2", "--data", "cifar100:nowhere"), 3, "nowhere does not exist"),
        (("fig2", "--seeds", "1,1"), 2, "names a seed twice"),
        (("fig2", "--seeds", "x"), 2, "not a list of whole numbers"),
        (("fig2", "--data", "celeba"), 2, "unknown data set"),
    ],
)
def test_what_reproduce_cannot_do_is_one_line_and_leaves_nothing(run, tmp_path, words, code, piece):
    refused(run("reproduce", *words, "--out", "d"), code, piece)
    assert not (tmp_path / "d").exists()


def test_a_file_in_the_folders_place_is_one_line(run, tmp_path, plan):
    (tmp_path / "d").write_text("")
    refused(run("study", "plan.toml", "--out", "d"), 2, "d is a file; name a folder")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_study_and_its_processes_and_what_is_finished_stays(plan, tmp_path, number):
    changed(plan, "epochs = 2\n", "epochs = 3000\n")
    command = [sys.executable, "-m", "kernelscope", "study", str(plan), "--out", "d"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        students = tmp_path / "d" / "students"
        while not list(students.glob("*.json")):
            time.sleep(0.1)
        time.sleep(2)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert err.strip().splitlines()[-1].endswith("what was finished stays")
    assert list(students.glob("*.json"))
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # Python's own tracker of resources goes a moment later
            os.killpg(child.pid, 0)
            time.sleep(0.1)
