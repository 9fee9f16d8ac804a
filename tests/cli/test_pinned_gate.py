"""``pin`` and ``gate --pinned`` at the command line: exit codes, one line, JSON and JUnit."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest


@pytest.fixture
def rows(run):
    """A pinned ``ref.ksref`` of features in ``old.npz``; gives what writes features of a release."""
    rng = np.random.default_rng(0)
    X, ids = rng.standard_normal((60, 6)), np.arange(60)

    def write(name, change=0.0, at=slice(None)):
        new = X.astype(np.float32)
        new[at] += change * rng.standard_normal(new[at].shape)
        np.savez(name, embedding=new, ids=ids)

    write("old.npz")
    code, out, err = run("pin", "old.npz", "--out", "ref.ksref", "--max", "change=0.01", "--min", "overlap=0.9")
    assert (code, err) == (0, "") and out.startswith("ref.ksref: 60 examples, ")
    return write


def test_what_is_as_pinned_passes_with_one_line(rows, run):
    assert run("gate", "--pinned", "ref.ksref", "--student", "old.npz") == (
        0, "as pinned: embedding changed by 0, loss 0, 10-NN overlap 1.000\n", "",
    )  # fmt: skip


def test_drift_is_exit_code_6_and_says_what_changed_most(rows, run):
    rows("new.npz", 0.5, at=[3, 8])
    code, out, err = run(
        "gate", "--pinned", "ref.ksref", "--student", "new.npz", "--junit", "j.xml", "--save", "d.json"
    )
    assert code == 6 and err == "kernelscope: error: 1 of 2 gates failed; they stand on stdout\n"
    failed, verdict = out.splitlines()
    assert failed.startswith("FAILED change <= 0.01: is 0.") and failed.endswith("(new.npz, embedding)")
    assert verdict.startswith("drifted: embedding changed by 0.") and "of it in example" in verdict
    assert [len(case) for case in ElementTree.parse("j.xml").iter("testcase")] == [1, 0]
    assert json.loads(Path("d.json").read_text())["drifted"] is True
    assert run("gate", "--pinned", "ref.ksref", "--student", "new.npz", "--max", "change=0.5")[0] == 0


def test_inspect_tells_what_is_pinned(rows, run):
    code, out, err = run("inspect", "ref.ksref")
    assert (code, err) == (0, "") and "60 examples pinned of old.npz, no name\n  embedding: 6 wide, float32\n" in out
    assert "  change <= 0.01\n  overlap >= 0.9\n" in out


def test_json_is_one_document_and_lines_go_to_stderr(rows, run):
    code, out, err = run("gate", "--pinned", "ref.ksref", "--student", "old.npz", "--json")
    assert code == 0 and json.loads(out)["format"] == "kernelscope.drift" and err.startswith("as pinned")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--pinned", "none.ksref", "--student", "old.npz"), 3, "none.ksref does not exist"),
        (("--pinned", "old.npz", "--student", "old.npz"), 3, "old.npz is no readable HDF5 file"),
        (("--pinned", "ref.ksref", "--student", "few.npz"), 4, "few.npz has 40 of the 60 pinned examples"),
        (("--pinned", "ref.ksref", "--student", "wide.npz"), 4, "is 7 wide, and 6 are pinned"),
        (("--pinned", "ref.ksref"), 2, "0 students"),
        (("--pinned", "ref.ksref", "--student", "old.npz", "--teacher", "old.npz"), 2, "does not heed --teacher"),
        (("--pinned", "ref.ksref", "--student", "old.npz", "--max", "cka=1"), 2, "unknown number 'cka'"),
        (("--pinned", "ref.ksref", "--student", "old.npz", "--batch-size", "9"), 2, "--batch-size is about running"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_what_cannot_be_judged_is_one_line(rows, run, words, code, message):
    np.savez("few.npz", embedding=np.ones((40, 6)), ids=np.arange(40))
    np.savez("wide.npz", embedding=np.ones((60, 7)), ids=np.arange(60))
    found, out, err = run("gate", *words)
    assert (found, out) == (code, "") and err.count("\n") == 1
    assert message in err and len(err) <= 201


def test_commands_of_the_page_on_drift_run(little, run):
    """Those of its job and of its hook, which gets the changed file's name appended."""
    page = (Path(__file__).parents[2] / "docs/drift.md").read_text()
    job, hook = re.findall(r"(?:- run|entry): kernelscope (gate --pinned .*)", page)
    shutil.copy(little / "student.pt", "model.pt")
    assert run("pin", "model.pt", "--sample", 30, "--reruns", 5, "--out", "v1.ksref", "--quiet")[0] == 0
    for words in (job.split(), [*hook.split(), "model.pt"]):
        code, out, err = run(*words)
        assert (code, err) == (0, "") and out.startswith("as pinned: ")
    assert ElementTree.parse("drift.xml").getroot().get("failures") == "0"


def test_a_checkpoint_is_pinned_and_held_against_itself(little, run):
    code, out, err = run(
        "pin", little / "student.pt", "--sample", 30, "--reruns", 5, "--out", "s.ksref", "--dtype", "float16", "--quiet"
    )
    assert (code, err) == (0, "") and "re-runs in float64" in out
    assert run("gate", "--pinned", "s.ksref", "--student", little / "student.pt", "--quiet")[0] == 0
    code, out, _ = run(
        "gate", "--pinned", "s.ksref", "--student", little / "student.pt", "--preprocess", "[]", "--quiet"
    )
    assert code == 6 and "preprocessing is []" in out
    code, _, err = run("gate", "--pinned", "s.ksref", "--student", little / "teacher.pt", "--quiet")
    assert code == 4 and "wide, and" in err
