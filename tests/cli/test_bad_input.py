"""Bad input ends in one line on stderr, the right exit code, and nothing half-written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kernelscope.checkpoints.checkpoint import load_checkpoint
from kernelscope.cli import demo_recipes
from kernelscope.distill import cohort
from kernelscope.distill.recipe import Recipe
from kernelscope.networks import zoo
from tests.distill.interrupting import interrupt_after


def networks(little: Path) -> tuple:
    return "--teacher", little / "teacher.pt", "--student", little / "student.pt"


def one_line(err: str) -> str:
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("kernelscope: error: ")
    assert len(lines[0]) <= 200
    return lines[0]


def test_measure_needs_nothing_but_two_checkpoints(run, little):
    code, out, err = run("measure", *networks(little), "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["format"] == "kernelscope.report"
    pair = document["pairs"][0]
    assert (pair["teacher_layer"], pair["n"], pair["d_teacher"], pair["d_student"]) == ("embedding", 450, 32, 16)
    assert pair["rounding_interval"][0] <= pair["transfer_loss"] <= pair["rounding_interval"][1]


def test_the_table_says_what_the_report_says(run, little, tmp_path):
    code, out, _ = run(
        "measure", "--teacher", little / "teacher.pt", "--student", little / "student.pt", "--save", "r.json"
    )
    assert code == 0
    pair = json.loads((tmp_path / "r.json").read_text())["pairs"][0]
    assert f"{pair['transfer_loss']:.3f}" in out
    assert f"{pair['ladder']['scaled']:.3f}" in out
    again = run("report", "r.json", "--html", "page.html")
    assert again[1].splitlines()[3:6] == out.splitlines()[3:6]
    page = (tmp_path / "page.html").read_text()
    assert f"{pair['transfer_loss']:.3f}" in page
    assert "<script" not in page


def test_a_file_given_twice_is_a_perfect_student(run, little):
    _, out, _ = run("measure", "--teacher", little / "teacher.pt", "--student", little / "teacher.pt", "--json")
    for pair in json.loads(out)["pairs"]:
        assert pair["transfer_loss"] == 0.0
        assert pair["rounding_interval"] == [0.0, 0.0]


def broken_files(folder: Path, little: Path) -> dict[str, tuple[Path, int, str]]:
    """name -> (file, exit code, piece of the message)."""

    def write(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    good = (little / "student.pt").read_bytes()
    document = torch.load(little / "student.pt", weights_only=True)

    def save(name: str, **changes) -> Path:
        torch.save({**document, **changes}, folder / name)
        return folder / name

    state = document["state_dict"]
    first = next(key for key in state if key.endswith("conv1.weight"))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    nan = {**state, first: torch.full_like(state[first], float("nan"))}
    bare = folder / "bare.pt"
    torch.save({f"{key}.": value for key, value in state.items()}, bare)
    return {
        "missing": (folder / "no.pt", 3, "does not exist"),
        "folder": (folder, 3, "regular file"),
        "empty": (write("empty.pt", b""), 3, "empty"),
        "text": (write("text.pt", b"hello"), 3, "torch"),
        "truncated": (write("cut.pt", good[: len(good) // 2]), 3, ""),
        "flipped byte": (write("flip.pt", bytes(flipped)), 3, ""),
        "lfs": (write("lfs.pt", b"version https://git-lfs.github.com/spec/v1\noid x"), 3, "git lfs pull"),
        "html": (write("page.pt", b"<!DOCTYPE html><html></html>"), 3, "HTML"),
        "no arch": (bare, 3, "arch"),
        "unknown arch": (save("arch.pt", arch="os:system"), 3, "arch"),
        "missing key": (save("less.pt", state_dict={k: v for k, v in state.items() if k != first}), 3, "missing"),
        "extra key": (save("more.pt", state_dict={**state, "zebra": torch.ones(1)}), 3, "zebra"),
        "misshapen": (save("shape.pt", state_dict={**state, first: torch.ones(3, 3)}), 3, first),
        "nan weights": (save("nan.pt", state_dict=nan), 5, first),
        "newer": (save("new.pt", format_version=99), 3, "99"),
    }


BROKEN = [
    "missing", "folder", "empty", "text", "truncated", "flipped byte", "lfs", "html", "no arch", "unknown arch",
    "missing key", "extra key", "misshapen", "nan weights", "newer",
]  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_checkpoint_is_one_line(kind, run, little, tmp_path):
    path, expected, piece = broken_files(tmp_path, little)[kind]
    code, out, err = run("measure", "--teacher", little / "teacher.pt", "--student", path, "--save", "r.json")
    assert code == expected, err
    assert piece in one_line(err)
    assert out == ""
    assert not (tmp_path / "r.json").exists()


def test_a_pickle_with_code_is_not_run(run, little, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    code, _, err = run("measure", "--teacher", little / "teacher.pt", "--student", tmp_path / "evil.pt")
    assert code == 3
    one_line(err)
    assert not (tmp_path / "ran").exists()


def test_rows_that_do_not_correspond_are_refused(run, little):
    for name, words in {
        "a": ["--limit", "100"],
        "b": ["--limit", "99"],
        "c": ["--split", "validation", "--limit", "100"],
    }.items():
        assert run("extract", little / "teacher.pt", "--out", f"{name}.h5", *words)[0] == 0
    code, _, err = run("measure", "--teacher", "a.h5", "--student", "b.h5")
    assert code == 4
    assert "100 examples, student b.h5 has 99" in one_line(err)
    code, _, err = run("measure", "--teacher", "a.h5", "--student", "c.h5")
    assert code == 4
    assert "not in student" in one_line(err)


def test_labels_of_the_wrong_length_are_refused(run, tmp_path):
    X = np.random.default_rng(0).standard_normal((20, 3))
    np.save("x.npy", X)
    np.save("y.npy", np.arange(19))
    code, _, err = run("measure", "--teacher", "x.npy", "--student", "x.npy", "--labels", "y.npy")
    assert code == 4
    assert "(19,), expected (20,)" in one_line(err)


def test_nan_features_are_counted_and_located(run):
    X = np.random.default_rng(0).standard_normal((300, 3))
    np.save("t.npy", X)
    X[7, 1] = np.nan
    np.save("s.npy", X)
    code, _, err = run("measure", "--teacher", "t.npy", "--student", "s.npy")
    assert code == 5
    assert "1 NaN or infinite values, first in row 7" in one_line(err)


def test_an_all_zero_teacher_is_refused(run):
    np.save("t.npy", np.zeros((300, 3)))
    np.save("s.npy", np.ones((300, 3)))
    code, _, err = run("measure", "--teacher", "t.npy", "--student", "s.npy")
    assert code == 5
    assert "all zero" in one_line(err)


def test_an_unknown_layer_names_the_nearest_before_data_is_read(run, little):
    code, _, err = run(
        "measure", "--teacher", little / "teacher.pt", "--student", little / "student.pt", "--layers", "layer2.O"
    )
    assert code == 2
    assert "layer2.0" in one_line(err)


def test_an_output_that_exists_is_kept_unless_told(run, little, tmp_path):
    (tmp_path / "r.json").write_text("mine")
    words = ("measure", "--teacher", little / "teacher.pt", "--student", little / "student.pt", "--save", "r.json")
    code, _, err = run(*words)
    assert code == 2
    assert "--overwrite" in one_line(err)
    assert (tmp_path / "r.json").read_text() == "mine"
    assert run(*words, "--overwrite")[0] == 0
    assert json.loads((tmp_path / "r.json").read_text())["format"] == "kernelscope.report"


def test_demo_refuses_only_files_it_would_replace(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kda.pt").write_text("mine")
    code, _, err = run("demo", "--out", "out")
    assert code == 2
    assert "kda.pt exists" in one_line(err)
    assert (tmp_path / "out" / "kda.pt").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["measure"],
        ["measure", "--teacher", "x"],
        ["nonsense"],
        ["measure", "--teacher", "x", "--student", "y", "--colour", "red"],
        ["train", "--data", "digits", "--arch", "resnet9", "--out", "x.pt"],
        ["train", "--data", "digit", "--arch", "resnet8", "--out", "x.pt"],
        ["train", "--data", "digits", "--arch", "resnet8", "--method", "kdaa", "--out", "x.pt"],
        ["train", "--data", "digits", "--arch", "resnet8", "--method", "kda(wieght=1)", "--out", "x.pt"],
        ["train", "--data", "digits", "--arch", "resnet8", "--method", "kd", "--out", "x.pt"],
        ["gate", "--teacher", "x", "--student", "y"],
        ["gate", "--max", "loss"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_usage_errors_are_one_line_with_exit_code_2(words, run, tmp_path):
    code, _, err = run(*words, *(["--quiet"] if words[0] == "train" else []))
    assert code == 2, err
    one_line(err)
    assert not (tmp_path / "x.pt").exists()


def test_a_damaged_report_is_refused(run, tmp_path):
    (tmp_path / "r.json").write_text('{"format": "kernelscope.report", "format_version": 1, "pairs": [{}]}')
    assert run("report", "r.json")[0] == 3
    (tmp_path / "n.json").write_text('{"format": "kernelscope.report", "x": NaN}')
    code, _, err = run("report", "n.json")
    assert code == 3
    assert "JSON" in one_line(err)


def test_an_interrupted_demo_keeps_and_names_what_is_finished(run, monkeypatch, tmp_path):
    small = {
        name: Recipe(arch="resnet8x0.25", method=method, epochs=1, batch_size=256)
        for name, method in {"teacher": "ce", "ce": "ce", "kd": "kd(T=4)", "kda": "kda(weight=0.2)"}.items()
    }
    monkeypatch.setattr(demo_recipes, "demo_recipes", lambda seed: dict(small))
    monkeypatch.setattr(cohort, "require_better_than_chance", lambda *_: None)
    interrupt_after(monkeypatch, 7)  # 5 batches teach the teacher, so that the students are under way
    code, out, err = run("demo", "--out", "out", "--quiet")
    assert (code, out) == (130, "")
    assert one_line(err).endswith("not resumable: no state file was given; out/teacher.pt is finished")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["teacher.pt"]
    assert load_checkpoint(tmp_path / "out" / "teacher.pt").network() is not None


def test_inspect_tells_without_running(run, little):
    code, out, _ = run("inspect", little / "teacher.pt")
    assert code == 0
    net = zoo.build("resnet8x0.5", in_channels=1, num_classes=10)
    values = sum(t.numel() for t in net.state_dict().values())
    assert f"{len(net.state_dict())} tensors, {values:,} values" in out
    assert "resnet8x0.5" in out


def test_train_saves_last_and_best(run, tmp_path):
    words = ["train", "--data", "digits", "--arch", "resnet8x0.25", "--epochs", "2", "--batch-size", "256", "--quiet"]
    code, out, err = run(*words, "--out", "last.pt", "--best", "best.pt")
    assert code == 0, err
    last, best = load_checkpoint("last.pt"), load_checkpoint("best.pt")
    assert f"{last.metrics['top1']:.4f}" in out
    assert last.metrics["top1_best"] == best.metrics["top1"]
    assert len(last.training["history"]) == 2
