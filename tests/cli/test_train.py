"""``train`` on the command line: what it writes, says, refuses, and takes up again."""

import re
from pathlib import Path

import pytest

from kernelscope.checkpoints.checkpoint import load_checkpoint
from tests.distill.interrupting import interrupt_after

WORDS = ("train", "--data", "digits", "--arch", "resnet8x0.25", "--batch-size", "256")


@pytest.fixture
def teacher(little):
    return little / "teacher.pt"


def refused(done, code, piece):
    found, out, err = done
    assert (found, out) == (code, ""), err
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("kernelscope: error: ") and len(lines[0]) <= 200
    assert piece in lines[0]


def test_a_recipe_says_every_value_and_where_it_comes_from(run, teacher, tmp_path):
    words = ("--preset", "paper-cifar100", "--epochs", "1", "--method", "kda(weight=0.2)+kd", "--teacher", teacher)
    code, out, err = run(*WORDS, *words, "--out", "s.pt")
    assert code == 0, err
    said = {line.split()[0]: line.split(maxsplit=2)[1:] for line in err.splitlines() if line.startswith("  ")}
    assert said["epochs"] == ["1", "given"] and said["batch_size"] == ["256", "given"]
    assert said["momentum"] == ["0.9", "Qian, Li, Hu: Experiments"] and said["pad"][0] == "4"
    assert said["kda.weight"] == ["0.2", "given"] and said["kd.T"][0] == "4.0" and len(said["kd.T"][1]) > 5
    recipe = load_checkpoint(tmp_path / "s.pt").training["recipe"]
    assert recipe["sources"]["momentum"] == "Qian, Li, Hu: Experiments" and recipe["flip"] is True
    assert out.startswith("s.pt: top-1 0.")


def test_several_methods_and_seeds_are_students_of_one_cohort(run, teacher, tmp_path):
    methods = ("--method", "ce", "--method", "kda@embedding(weight=0.2)", "--method", "kda@embedding(weight=0.3)")
    words = (*WORDS, *methods, "--seeds", "0,4", "--epochs", "2", "--teacher", teacher, "--quiet")
    code, out, err = run(*words, "--out", "students", "--best", "best")
    assert code == 0, err
    names = {f"{m}-seed{s}.pt" for m in ("ce", "kda@embedding_weight=0.2", "kda@embedding_weight=0.3") for s in (0, 4)}
    assert (
        {p.name for p in (tmp_path / "students").iterdir()} == names == {p.name for p in (tmp_path / "best").iterdir()}
    )
    made = load_checkpoint(tmp_path / "students" / "ce-seed4.pt").training["recipe"]
    assert (made["method"], made["seed"], made["init_seed"]) == ("ce", 0, 4)
    assert "kda@embedding(weight=0.2) − ce: top-1" in out and "no interval: 2 seeds are too few" in out
    assert "95 %" not in out
    refused(run(*words, "--out", "students"), 2, "exists; pass --overwrite")
    assert run("measure", "--teacher", teacher, "--student", "students/ce-seed0.pt", "--quiet")[0] == 0


def test_one_student_is_written_where_asked_and_another_epoch_beside_it(run, tmp_path):
    assert run(*WORDS, "--epochs", "1", "--quiet", "--out", "s.pt", "--best", "b.pt")[0] == 0
    assert {p.name for p in tmp_path.glob("*.pt*")} == {"s.pt", "b.pt"}


def test_weights_are_chosen_and_a_student_that_fails_ends_alone(run, teacher, tmp_path):
    methods = ("--method", "kda(weight=0.1|0.2)", "--method", "kd(weight=1e38)", "--method", "ce")
    code, out, err = run(*WORDS, *methods, "--epochs", "1", "--teacher", teacher, "--out", "students")
    assert code == 5
    lines = [line for line in err.splitlines() if not line.startswith(" ")]
    said = [line for line in lines if line.startswith("note: ")]
    assert "choosing among 2 methods, 2 seeds each" in said[0] and "was chosen of kda(weight=0.1|0.2)" in said[1]
    assert said[2].startswith("note: not trained on: kd(weight=1e38), seed 0: loss term ") and len(said) == 3
    assert lines[-1].startswith("kernelscope: error: kd(weight=1e38), seed 0: loss term ")
    assert lines[-1].endswith("; the others are trained")
    assert {path.name for path in (tmp_path / "students").iterdir()} == {"kda_weight=0.1_0.2.pt", "ce.pt"}
    chosen = load_checkpoint(tmp_path / "students" / "kda_weight=0.1_0.2.pt").training["recipe"]["method"]
    assert f"{chosen}: top-1 " in out and "kd(weight=1e38): failed" in out and f"ce − {chosen}: top-1" in out
    assert not list(tmp_path.glob("*.state"))


def test_an_interrupted_run_is_resumed(run, teacher, monkeypatch, tmp_path):
    words = (*WORDS, "--epochs", "3", "--method", "kd", "--teacher", teacher)
    assert run(*words, "--quiet", "--out", "whole.pt")[0] == 0
    with monkeypatch.context() as during:
        interrupt_after(during, 8)
        code, out, err = run(*words, "--quiet", "--out", "s.pt")
    assert (code, out) == (130, "")
    assert re.match(
        r"kernelscope: error: stopped in epoch 2 of 3, after batch 3; s.pt.state holds the run, ", err.strip()
    )
    assert sorted(p.name for p in tmp_path.glob("s.pt*")) == ["s.pt.state"]
    refused(run(*words, "--quiet", "--out", "s.pt"), 2, "pass --resume to go on, or --overwrite to begin anew")
    refused(run(*words, "--lr", "0.3", "--quiet", "--out", "s.pt", "--resume"), 4, "begun with lr 0.1, not 0.3")
    code, _, err = run(*words, "--quiet", "--out", "s.pt", "--resume")
    assert code == 0, err
    one, two = (load_checkpoint(tmp_path / name) for name in ("whole.pt", "s.pt"))
    assert [r["validation_top1"] for r in one.training["history"]] == [
        r["validation_top1"] for r in two.training["history"]
    ]
    assert not (tmp_path / "s.pt.state").exists()


@pytest.mark.parametrize(
    ("words", "code", "piece"),
    [
        (("--method", "kd"), 2, "method kd needs a teacher"),
        (("--method", "rkd", "--batch-size", "1", "--teacher", "T"), 2, "compares the examples of a batch"),
        (("--method", "kda@layer9", "--teacher", "T"), 2, "unknown layer 'layer9'; nearest: layer"),
        (("--method", "at@embedding", "--teacher", "T"), 4, "needs maps"),
        (("--method", "kda(wieght=1)", "--teacher", "T"), 2, "did you mean weight"),
        (("--method", "kda(weight=1|x)", "--teacher", "T"), 2, "'x' is none; write weight=0.05|0.2|0.8"),
        (("--method", "kda(wieght=1|2)", "--teacher", "T"), 2, "did you mean weight"),
        (("--preset", "paper"), 2, "unknown preset 'paper'; choose one of quick"),
        (("--seeds", "0,x"), 2, "is not a list of whole numbers"),
        (("--seeds", "1,1"), 2, "names a seed twice"),
        (("--epoch", "3"), 2, "--epochs"),
        (("--lr", "-1"), 2, "lr -1.0 must be positive"),
        (("--device", "cuda:9"), 2, "is not available"),
        (("--resume",), 3, "s.pt.state does not exist"),
        (
            ("--method", "kd", "--teacher", "T", "--data", "shapes(size=8,classes=4,n=80)"),
            4,
            "10 classes and the data 4",
        ),
        (("--data", "digitss"), 2, "did you mean digits"),
        (("--arch", "resnet9"), 2, "nearest: resnet"),
    ],
)
def test_bad_input_is_one_line_before_the_first_epoch(words, code, piece, run, teacher, tmp_path):
    words = [str(teacher) if word == "T" else word for word in words]
    refused(run(*WORDS, "--quiet", "--out", "s.pt", *words), code, piece)
    assert not list(tmp_path.glob("s.pt*"))


def test_half_precision_is_refused_on_a_processor_without_it(run, tmp_path):
    flags = set(Path("/proc/cpuinfo").read_text().split())
    code, _, err = run(*WORDS, "--epochs", "1", "--amp", "--quiet", "--out", "s.pt")
    assert code == (0 if flags & {"avx512_bf16", "amx_bf16", "bf16"} else 2), err
