"""A gate passes only if no value in the interval violates its limit."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks


@pytest.fixture
def gate(run):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8))
    np.save("t.npy", X)
    np.save("s.npy", np.sqrt(1.25) * X)  # loss 1/4 exactly, up to rounding
    return lambda *words: run("gate", "--teacher", "t.npy", "--student", "s.npy", *words)


@pytest.fixture
def students(gate, run):
    """Two students of which a.npy is nearer; gives the 95 % interval of loss(b) − loss(a)."""
    X, rng = np.load("t.npy"), np.random.default_rng(1)
    np.save("a.npy", X + 0.3 * rng.standard_normal(X.shape))
    np.save("b.npy", X + 0.4 * rng.standard_normal(X.shape))
    (found,) = ks.measure(teacher="t.npy", student=["a.npy", "b.npy"]).comparisons
    assert (found.first, found.second) == ("a.npy", "b.npy")
    return -found.interval[1], -found.interval[0]


def no_worse(run, student, other, *words):
    return run("gate", "--teacher", "t.npy", "--student", student, "--no-worse-than", other, *words)


def test_a_gate_that_holds_passes_and_names_what_is_a_point(gate):
    code, out, err = gate("--max", "transfer_loss=0.26", "--min", "cka=0.99", "--max", "scale_ratio=1.26")
    assert (code, err) == (0, "")
    assert out == "passed: 3 gates on 1 pairs (judged at a point, no interval: cka, scale_ratio)\n"


def test_a_gate_on_the_loss_alone_has_nothing_to_add(gate):
    assert gate("--max", "transfer_loss=0.26") == (0, "passed: 1 gates on 1 pairs\n", "")


def test_failed_gates_stand_on_stdout_with_exit_code_6(gate):
    code, out, err = gate("--max", "transfer_loss=0.2", "--max", "cka_debiased=1.1", "--min", "scale_ratio=2")
    assert code == 6
    assert [line.split()[:2] for line in out.splitlines()] == [["FAILED", "transfer_loss"], ["FAILED", "scale_ratio"]]
    assert "is 1.25, judged at a point, no interval (s.npy, features=features)" in out
    assert err == "kernelscope: error: 2 of 3 gates failed; they stand on stdout\n"


def test_the_worse_end_of_the_interval_decides(gate):
    code, out, _ = gate("--max", "transfer_loss=0.25", "--route", "gram")
    assert code == 6  # the truth is 1/4 to the last digit, but no interval proves that it is not above
    shown = out.split("is ")[1].split()[0]
    assert float(shown) > 0.25
    assert f"is {shown} in [0.2499999" in out


def test_of_two_gates_on_a_field_both_have_to_hold(gate):
    code, out, _ = gate("--max", "transfer_loss=0.3", "--max", "transfer_loss=0.2")
    assert (code, out.count("\n")) == (6, 1)
    assert gate("--max", "transfer_loss=0.3", "--max", "transfer_loss=0.3")[1] == "passed: 2 gates on 1 pairs\n"


def test_with_json_stdout_is_the_report_and_gates_stand_on_stderr(gate):
    code, out, err = gate("--max", "transfer_loss=0.26", "--min", "cka=0.9", "--json")
    assert (code, json.loads(out)["format"]) == (0, "kernelscope.report")
    assert err == "passed: 2 gates on 1 pairs (judged at a point, no interval: cka)\n"
    assert gate("--max", "transfer_loss=0.26", "--json", "--quiet")[2] == ""
    code, out, err = gate("--max", "transfer_loss=0.2", "--json", "--quiet")
    assert (code, json.loads(out)["format"]) == (6, "kernelscope.report")
    assert err.splitlines()[0].startswith("FAILED transfer_loss <= 0.2: is 0.25")
    assert err.splitlines()[1:] == ["kernelscope: error: 1 of 1 gates failed; they stand above"]


def test_an_unresolved_pair_is_judged_by_its_interval(gate):
    np.save("s.npy", np.load("t.npy") * (1 + 1e-9))
    words = ("--route", "gram", "--min", "cka=0.9", "--max")
    assert gate(*words, "transfer_loss=1e-5")[0] == 0
    code, out, _ = gate(*words, "transfer_loss=1e-8")
    assert code == 6
    assert " in [0, " in out


def test_sampling_judges_by_the_sampling_interval(gate, students):
    (pair,) = ks.measure(teacher="t.npy", student="a.npy")
    middle = (pair.transfer_loss + pair.sampling_interval[1]) / 2
    words = ("--student", "a.npy", "--max", f"transfer_loss={middle}")
    assert gate(*words)[0] == 0
    code, out, _ = gate(*words, "--sampling")
    assert code == 6
    assert f"is {pair.sampling_interval[1]:.6g} in [{pair.sampling_interval[0]:.6g}, " in out


@pytest.mark.parametrize("scale", [1.0, 1 + 1e-7, 1 + 4e-6])
def test_sampling_passes_a_perfect_student_and_says_by_what(gate, scale):
    np.save("s.npy", scale * np.load("t.npy"))
    code, out, err = gate("--max", "transfer_loss=1e-5", "--min", "cka=0.9", "--sampling")
    assert (code, err) == (0, "")
    assert out == (
        "passed: 2 gates on 1 pairs (too small to sample, judged by rounding: transfer_loss; "
        "judged at a point, no interval: cka)\n"
    )


def test_sampling_of_too_few_examples_fails_with_the_reason(gate):
    for name in ("t.npy", "s.npy"):
        np.save(name, np.load(name)[:2])
    code, out, _ = gate("--max", "transfer_loss=0.3", "--sampling")
    assert code == 6
    assert "no interval over examples: too few examples or groups" in out
    assert gate("--max", "transfer_loss=0.3")[0] == 0


def test_sampling_of_one_pass_fails_unless_the_loss_is_tiny(gate):
    words = ("--max", "transfer_loss=0.3", "--sampling", "--pairs", "all")
    code, out, _ = gate(*words)
    assert code == 6
    assert "one pass gives none" in out
    np.save("s.npy", np.load("t.npy"))
    assert gate(*words)[0] == 0


def test_an_unknown_field_names_the_nearest_before_anything_is_read(gate):
    code, out, err = gate("--student", "absent.npy", "--max", "transfer_los=0.3")
    assert (code, out) == (2, "")
    assert "nearest: transfer_loss" in err


def test_a_field_that_was_not_measured_fails(gate):
    code, out, _ = gate("--max", "paper.theorem2.bound=1", "--landmarks", "uniform:10")
    assert code == 6
    assert out == "FAILED paper.theorem2.bound <= 1: not measured for this pair (s.npy, features=features)\n"


@pytest.mark.parametrize("text", ["=3", "cka=", "cka", "cka=inf", "cka=-inf", "cka=nan", "cka=1e999", "kernel=1"])
@pytest.mark.parametrize("option", ["--max", "--min"])
def test_a_gate_that_says_nothing_is_exit_2(gate, option, text):
    code, out, err = gate(option, text)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_a_nearer_student_is_no_worse(run, students):
    assert no_worse(run, "a.npy", "b.npy") == (0, "passed: 1 gates on 1 pairs\n", "")


def test_a_farther_student_fails_by_the_upper_end_of_the_difference(run, students):
    low, high = students
    code, out, err = no_worse(run, "b.npy", "a.npy")
    assert code == 6
    assert out == (
        f"FAILED no-worse-than a.npy, difference <= 0: is {high:.6g} in [{low:.6g}, {high:.6g}] "
        "(b.npy, features=features)\n"
    )
    assert err == "kernelscope: error: 1 of 1 gates failed; they stand on stdout\n"
    assert no_worse(run, "b.npy", "a.npy", "--by", f"{high - 1e-9}")[0] == 6
    assert no_worse(run, "b.npy", "a.npy", "--by", f"{high + 1e-9}")[0] == 0


def test_a_student_that_cannot_be_told_apart_needs_an_allowance(run, students):
    X = np.load("t.npy")
    np.save("b.npy", X + 0.3 * np.random.default_rng(2).standard_normal(X.shape))
    assert no_worse(run, "b.npy", "a.npy")[0] == no_worse(run, "a.npy", "b.npy")[0] == 6
    assert no_worse(run, "b.npy", "a.npy", "--by", "0.1")[0] == no_worse(run, "a.npy", "b.npy", "--by", "0.1")[0] == 0


def test_every_student_is_held_against_the_other_which_has_no_limit(run, students):
    code, out, err = no_worse(
        run, "a.npy", "b.npy", "--student", "s.npy", "--max", "transfer_loss=0.45", "--min", "cka=0.5"
    )
    assert (code, err) == (0, "")  # b.npy itself has a loss above the limit
    assert out == "passed: 3 gates on 2 pairs (judged at a point, no interval: cka)\n"
    code, out, err = no_worse(run, "b.npy", "a.npy", "--student", "s.npy", "--max", "transfer_loss=0.45")
    assert code == 6
    assert [line.rsplit("(")[-1] for line in out.splitlines()] == ["b.npy, features=features)"] * 2
    assert err == "kernelscope: error: 2 of 4 gates failed; they stand on stdout\n"


def test_with_json_the_report_has_both_students(run, students):
    code, out, _ = no_worse(run, "b.npy", "a.npy", "--json")
    assert code == 6
    assert [pair["student"] for pair in json.loads(out)["pairs"]] == ["b.npy", "a.npy"]


@pytest.mark.parametrize("noise", [0.3, 1e-7])
@pytest.mark.parametrize("words", [(), ("--pairs", "all")])
def test_a_student_is_no_worse_than_itself_or_a_copy(run, gate, tmp_path, noise, words):
    X = np.load("t.npy")
    np.save("s.npy", X + noise * np.random.default_rng(1).standard_normal(X.shape))
    (tmp_path / "copy.npy").write_bytes((tmp_path / "s.npy").read_bytes())
    for other, name in (("s.npy", "s.npy (2)"), (tmp_path / "s.npy", tmp_path / "s.npy"), ("copy.npy", "copy.npy")):
        code, out, err = no_worse(run, "s.npy", other, *words)
        assert (code, err) == (0, "")
        assert out == f"passed: 1 gates on 1 pairs (the same file, so no difference: no-worse-than {name})\n"


def test_the_teacher_may_be_the_one_to_be_no_worse_than(run, gate):
    assert no_worse(run, "t.npy", "t.npy")[0] == 0
    code, out, _ = no_worse(run, "s.npy", "t.npy", "--by", "0.2")
    assert code == 6
    assert out.startswith("FAILED no-worse-than t.npy (2), difference <= 0.2: is ")


def test_losses_too_small_to_sample_are_compared_by_rounding(run, gate):
    X = np.load("t.npy")
    np.save("s.npy", X * (1 + 1e-7))
    np.save("o.npy", X * (1 + 2e-7))
    code, out, _ = no_worse(run, "s.npy", "o.npy")
    assert (code, out) == (
        0,
        "passed: 1 gates on 1 pairs (too small to sample, judged by rounding: no-worse-than o.npy)\n",
    )
    code, out, _ = no_worse(run, "o.npy", "s.npy")
    assert code == 6
    assert "too small to sample, judged by rounding (o.npy, features=features)" in out
    assert no_worse(run, "o.npy", "s.npy", "--by", "3e-7")[0] == 0


def test_a_comparison_in_one_pass_fails_with_the_reason(run, students):
    code, out, _ = no_worse(run, "a.npy", "b.npy", "--pairs", "all")
    assert code == 6
    assert "no interval over examples: one pass gives none; name layers with --pairs T=S" in out


def test_another_student_of_the_same_name_is_refused(run, students, tmp_path):
    (tmp_path / "s.npy (2)").write_bytes((tmp_path / "a.npy").read_bytes())
    code, out, err = no_worse(run, "s.npy (2)", "s.npy", "--student", "s.npy")
    assert (code, out) == (2, "")
    assert "two students are called s.npy (2) in the report; rename one of the files" in err


@pytest.mark.parametrize("by", ["-0.1", "nan", "inf", "-inf", "1e999", "x"])
def test_an_allowance_that_is_no_number_from_0_on_is_exit_2(run, students, by):
    code, out, err = no_worse(run, "a.npy", "b.npy", f"--by={by}")
    assert (code, out) == (2, "")
    assert "--by" in err


def test_an_allowance_without_a_comparison_is_exit_2(gate):
    code, _, err = gate("--max", "cka=1", "--by", "0")
    assert code == 2
    assert "pass --no-worse-than OTHER as well" in err


def test_a_missing_other_student_is_exit_3(run, students):
    code, _, err = no_worse(run, "a.npy", "absent.npy")
    assert code == 3
    assert "absent.npy does not exist" in err


def test_a_comparison_without_a_student_is_exit_2(run, gate):
    code, _, err = run("gate", "--teacher", "t.npy", "--no-worse-than", "s.npy")
    assert code == 2
    assert "gate needs --teacher and --student" in err


class Plain(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Linear(64, width), nn.Linear(width, 10)

    def forward(self, images):
        return self.last(self.first(images.flatten(1)))


class Bent(Plain):
    """The same weights, another function."""

    def forward(self, images):
        return self.last(self.first(images.flatten(1)).relu())


@pytest.fixture
def networks(run):
    """Weights that do not say what they are for, under a teacher that needs an architecture too."""
    for seed, name in enumerate(("t.pt", "s.pt", "o.pt")):
        torch.manual_seed(seed)
        torch.save(Plain().state_dict(), name)
    words = ("--teacher", "t.pt", "--teacher-arch", f"{__name__}:Plain", "--data", "digits", "--limit", "60")
    return lambda *more: run("gate", *words, "--layers", "embedding", *more)


def arch(name, option="--student-arch"):
    return option, f"{__name__}:{name}"


def test_an_architecture_given_once_is_for_the_other_student_too(networks):
    code, out, err = networks("--student", "s.pt", "--no-worse-than", "o.pt", "--by", "9", *arch("Plain"))
    assert (code, out, err) == (0, "passed: 1 gates on 1 pairs\n", "")
    for name in ("s.pt", "o.pt"):
        torch.save(Plain(width=5).state_dict(), name)
    words = ("--student", "s.pt", "--no-worse-than", "o.pt", "--by", "9", *arch("Plain"))
    assert networks(*words)[0] == 4
    assert networks(*words, "--student-arch-kwargs", '{"width": 5}')[0] == 0


def test_architectures_given_in_order_end_with_the_other_students(networks):
    words = ("--student", "s.pt", "--student", "t.pt", "--no-worse-than", "o.pt", "--by", "9")
    code, _, err = networks(*words, *arch("Plain"), *arch("Plain"))
    assert code == 3
    assert "o.pt does not describe its network" in err
    assert networks(*words, *arch("Plain"), *arch("Plain"), *arch("Plain"))[0] == 0
    code, _, err = networks(*words, *arch("Plain") * 4)
    assert code == 2
    assert "4 architectures or arguments for 3 students" in err


def test_an_architecture_for_networks_is_not_for_features(networks, run):
    run(
        "extract",
        "o.pt",
        *arch("Plain", "--arch"),
        "--data",
        "digits",
        "--limit",
        "60",
        "--layers",
        "embedding",
        "--out",
        "o.h5",
    )
    words = ("--student", "s.pt", "--no-worse-than", "o.h5", "--by", "9")
    assert networks(*words, *arch("Plain"))[1] == "passed: 1 gates on 1 pairs\n"
    assert networks(*words, "--student", "t.pt", *arch("Plain"), *arch("Plain"))[0] == 0
    code, _, err = networks(*words, *arch("Plain"), *arch("Plain"))
    assert code == 2
    assert "o.h5 is a feature file, which needs no architecture" in err


def test_one_file_read_as_two_networks_is_not_the_same(networks):
    words = ("--student", "s.pt", "--no-worse-than", "s.pt")
    assert "the same file" in networks(*words, *arch("Plain"))[1]
    code, out, _ = networks(*words, "--by", "9", *arch("Bent"), *arch("Plain"))
    assert (code, out) == (0, "passed: 1 gates on 1 pairs\n")


def test_straight_from_the_networks_no_difference_is_known(networks):
    words = ("--student", "s.pt", "--no-worse-than", "o.pt", "--by", "9", "--no-features", *arch("Plain"))
    code, out, _ = networks(*words)
    assert code == 6
    assert "one pass gives none; name layers with --pairs T=S, leave out --no-features" in out


def test_synthetic_gate_passes_here_and_names_every_check(run):
    code, out, _ = run("gate", "--synthetic", "--seed", "3", "--device", "cpu", "--quiet")
    assert code == 0, out
    assert "FAILED" not in out
    for route in ("gram", "pair", "tsqr", "blocked"):
        assert f"route {route}" in out
    assert "corrected bounds" in out


@pytest.mark.parametrize(
    "words",
    [
        ("--max", "cka=0.9"),
        ("--min", "cka=0.9"),
        ("--teacher", "t.npy"),
        ("--student", "s.npy"),
        ("--no-worse-than", "s.npy"),
        ("--by", "0"),
        ("--sampling",),
        ("--json",),
        ("--save", "r.json"),
        ("--route", "auto"),
        ("--limit", "9"),
    ],
)
def test_synthetic_gate_refuses_what_it_would_not_heed(run, words):
    code, out, err = run("gate", "--synthetic", *words)
    assert (code, out) == (2, "")
    assert err == (
        f"kernelscope: error: --synthetic does not heed {words[0]}; leave them out, or gate without --synthetic\n"
    )


def cases(path):
    """Of a JUnit file, each gate's name and whether it failed."""
    return [(case.get("name"), len(case) > 0) for case in ElementTree.parse(path).iter("testcase")]


def test_junit_has_every_gate_also_where_one_fails(gate):
    gates = ("--max", "transfer_loss=0.2", "--min", "cka=0.9")
    assert gate(*gates, "--junit", "j.xml")[0] == 6
    assert cases("j.xml") == [("transfer_loss", True), ("cka", False)]
    code, _, err = gate(*gates, "--junit", "j.xml")
    assert code == 2 and "j.xml" in err
    assert gate("--max", "transfer_loss=0.3", "--junit", "j.xml", "--overwrite")[0] == 0
    assert cases("j.xml") == [("transfer_loss", False)]
