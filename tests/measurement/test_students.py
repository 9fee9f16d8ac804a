"""Many students at once: patterns, names, and what a ranking may say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import KernelscopeError, UnreadableInput, UsageError
from kernelscope.measurement.comparisons import compare
from kernelscope.measurement.students import students_of
from tests.kernels.statistics.test_sampling import singles_of


def arrays(n=60, students=5, d=6, seed=0, spread=0.3):
    """A teacher and students that are it, with ever more noise."""
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((n, d)) + 1
    return T, [T + spread * (1 + i) * rng.standard_normal((n, d)) for i in range(students)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    T, S = arrays(students=12)
    np.save("t.npy", T)
    for i, X in enumerate(S):
        np.save(f"run_{i}.npy", X)
    np.save("odd[1].npy", S[0])
    return tmp_path


def test_a_quoted_pattern_is_every_file_it_matches_in_the_order_of_its_numbers(folder, run):
    report = ks.measure(teacher="t.npy", student="run_*.npy")
    assert [pair.student for pair in report] == [f"run_{i}.npy" for i in range(12)]
    both = ks.measure(teacher="t.npy", student=["run_?.npy", "run_1[01].npy"])
    assert [pair.student for pair in both] == [f"run_{i}.npy" for i in range(12)]
    code, out, err = run("measure", "--teacher", "t.npy", "--student", "run_[0-2].npy", "--student", "run_7.npy")
    assert (code, err) == (0, "") and all(f"run_{i}.npy" in out for i in (0, 1, 2, 7)) and "run_3.npy" not in out


def test_a_file_with_a_bracket_in_its_name_is_that_file(folder):
    assert [pair.student for pair in ks.measure(teacher="t.npy", student="odd[1].npy")] == ["odd[1].npy"]


def test_a_pattern_without_files_is_told(folder):
    with pytest.raises(UnreadableInput, match=r"no file matches runs_\*\.npy; correct the pattern"):
        ks.measure(teacher="t.npy", student="runs_*.npy")


def test_a_gate_against_another_student_counts_the_files_of_a_pattern(folder, run):
    words = ("--teacher", "t.npy", "--student", "run_[0-2].npy")
    assert run("gate", *words, "--no-worse-than", "run_5.npy")[0] == 0
    assert run("gate", *words, "--no-worse-than", "run_0.npy")[0] == 6


def test_students_have_names_and_layers_are_not_taken_for_them():
    T, (a, b, *_) = arrays()
    report = ks.measure(teacher={"x": T}, student={"w8": {"x": a}, "w16": {"x": b}})
    assert [(pair.student, pair.student_layer) for pair in report] == [("w8", "x"), ("w16", "x")]
    layers = ks.measure(teacher={"x": T, "y": T}, student={"x": a, "y": b})
    assert [(pair.student, pair.student_layer) for pair in layers] == [("student", "x"), ("student", "y")]
    named = ks.measure(teacher=T, student=[a, b], names=["first", "second"])
    assert [pair.student for pair in named] == [network.name for network in named.networks[1:]] == ["first", "second"]
    assert named.sel(student="second").transfer_loss == ks.measure(teacher=T, student=b).pairs[0].transfer_loss
    assert ks.measure(teacher=T, student=a, names="mine").pairs[0].student == "mine"
    net = nn.Linear(6, 4)
    modules = ks.measure(teacher=net, student={"w8": net, "w16": nn.Linear(6, 3)}, data=torch.rand(20, 6))
    assert {pair.student for pair in modules} == {"w8", "w16"}


@pytest.mark.parametrize(
    ("student", "names", "message"),
    [
        ([], None, "no student given"),
        ({}, None, "empty dict"),
        ({"a": np.ones((3, 2)), "b": {"x": np.ones((3, 2))}}, None, "'a' is an array, as layers are, and 'b' is not"),
        ([np.ones((3, 2))] * 2, ["a"], "1 different names for 2 students"),
        ([np.ones((3, 2))] * 2, ["a", "a"], "1 different names for 2 students"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(student, names, message):
    with pytest.raises(UsageError, match=message) as error:
        ks.measure(teacher=np.ones((3, 2)), student=student, names=names)
    assert isinstance(error.value, KernelscopeError)


def test_a_dict_of_students_keeps_its_order():
    assert [each.name for each in students_of({"b": "x.pt", "a": "y.pt"})] == ["b", "a"]


ANY = ks.measure(teacher=np.ones((5, 2)), student=np.ones((5, 1))).pairs[0]


def alike(n, rng, students=6, d=8):
    """Students of one distribution: none of them is better."""
    T = rng.standard_normal((n, d)) + 1
    return T, [T + 0.5 * rng.standard_normal((n, d)) for _ in range(students)]


@pytest.mark.parametrize(("n", "rounds"), [(200, 100), pytest.param(3000, 400, marks=pytest.mark.long)])
def test_students_that_are_alike_are_hardly_ever_ranked(n, rounds):
    """A family of 15 comparisons decides a wrong order in at most 5 % of samples; three standard errors are allowed."""
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(rounds):
        T, S = alike(n, rng)
        measured = []
        for number, X in enumerate(S):
            measured.append((replace(ANY, student=f"s{number}"), singles_of(X, T)))
        wrong += any(each.decided for each in compare(measured))
    assert wrong / rounds < 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


def test_students_that_differ_are_ranked():
    T, S = arrays(n=400)
    report = ks.measure(teacher=T, student=S, neighbours=0)
    assert len(report.comparisons) == 10 and all(each.decided for each in report.comparisons)
