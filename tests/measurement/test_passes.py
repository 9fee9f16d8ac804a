"""What a report reads its rows for: the table that --plan prints is the one that measuring follows."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from kernelscope.errors import ResourceError
from kernelscope.measurement.measure import measure
from kernelscope.measurement.passes import PASSES, Sizes
from kernelscope.report.fields import PairReport


class Counted:
    """Rows that count how many of them are read."""

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.shape, self.dtype, self.read = X, X.shape, X.dtype, 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        block = self.X[rows]
        self.read += len(block)
        return block


def test_what_passes_give_are_fields_of_the_report():
    fields = {field.name for field in dataclasses.fields(PairReport)}
    given = [name for each in PASSES[1:] for name in each.gives.split(", ")]
    assert set(given) - {"norms"} <= fields
    assert len(given) == len(set(given))


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_are_read_once_for_each_pass_of_the_plan(labelled):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 30_000)
    T = Counted(rng.standard_normal((30_000, 6)) + rng.standard_normal((5, 6))[y])
    S = Counted(T.X[:, :4] + 0.2 * rng.standard_normal((30_000, 4)))
    lines = []
    measure(teacher=T, student=S, labels=y if labelled else None, announce=lines.append)
    passes = len(lines) - 2
    assert passes == (6 if labelled else 5)
    # beside the passes: the first blocks, which show that networks differ; examples drawn for permutations, which are
    # a pass where rows only slice; means within classes, of examples that have company; and for k-means the sample
    # that it clusters and the rows that it assigns
    assert T.read <= (passes + (2.5 if labelled else 3.5)) * 30_000
    assert S.read <= (passes + (2.5 if labelled else 1.5)) * 30_000


def test_the_plan_is_printed_before_anything_is_measured(run):
    rng = np.random.default_rng(1)
    np.save("t.npy", rng.standard_normal((300, 8)))
    np.save("s.npy", rng.standard_normal((300, 5)))
    code, out, err = run("measure", "--teacher", "t.npy", "--student", "s.npy", "--plan", "--json")
    assert code == 0 and out == ""
    assert "all passes: " in err
    assert "route gram: 2.5e+04 multiply-adds" in err
    assert "(the report needs these sums)" in err
    assert re.search(r"pass 1, Gram sums: 2.5e\+04 multiply-adds, \d\S* s, for transfer_loss", err)
    assert re.search(r"in all: about \S+ s on this machine, \S+ [MG]B of memory at the peak", err)
    assert "pass 6, nearest rows" in err
    code, _, err = run("measure", "--teacher", "t.npy", "--student", "s.npy", "--plan", "--route", "tsqr", "--quiet")
    assert code == 0
    assert "route tsqr" in err


@pytest.mark.parametrize("verb", [("measure",), ("gate", "--max", "transfer_loss=9")])
def test_a_plan_writes_no_output_and_says_so(verb, run, tmp_path):
    rng = np.random.default_rng(1)
    np.save("t.npy", rng.standard_normal((30, 8)))
    words = (*verb, "--teacher", "t.npy", "--student", "t.npy", "--plan")
    code, out, err = run(*words)
    assert (code, out) == (0, "") and "all passes: " in err
    code, out, err = run(*words, "--save", "r.json")
    assert (code, out) == (2, "") and "--plan" in err
    assert not (tmp_path / "r.json").exists()


def test_a_plan_runs_networks_over_two_batches_and_keeps_nothing(few_digits_teacher, few_digits, monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))
    lines, seen = [], []
    network, data = few_digits_teacher.module, few_digits[2]
    network.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    options = {"data": data, "plan": True, "announce": lines.append, "batch_size": 10}
    report = measure(teacher=network, student=network, **options)
    assert len(report) == 0
    assert 0 < sum(seen) <= 2 * (4 + 10 + 10) < data.n
    assert re.fullmatch(
        r"\w+ runs over the data first: about .* s, .*B of features unless the cache has them", lines[0]
    )
    assert any("in all: about" in line for line in lines)
    assert not (tmp_path / "cache").exists()
    lines.clear()
    measure(teacher=network, student=network, features=False, **options)
    assert lines[0].endswith("no features are kept") and "one pass" in lines[2]


def test_the_papers_table_is_printed_when_it_is_asked_for(run):
    rng = np.random.default_rng(1)
    np.save("t.npy", rng.standard_normal((60, 8)))
    np.save("s.npy", rng.standard_normal((60, 5)))
    words = (
        "measure",
        "--teacher",
        "t.npy",
        "--student",
        "s.npy",
        "--overwrite",
        "--save",
        "r.json",
        "--html",
        "r.html",
    )
    plain, asked = (run(*words, *more)[1] for more in ((), ("--paper",)))
    assert "Theorem 2" not in plain and "Theorem 2" in asked and asked.startswith(plain[:200])
    assert "Theorem 2" in Path("r.html").read_text()
    assert [("Theorem 2" in run("report", "r.json", *more)[1]) for more in ((), ("--paper",))] == [False, True]


def test_features_wider_than_their_examples_are_planned_as_kernels():
    rng = np.random.default_rng(2)
    lines = []
    T, S = rng.standard_normal((40, 300)), rng.standard_normal((40, 6))
    measure(teacher=T, student=S, announce=lines.append)
    assert "pass 1, kernels of wide features: 2.4e+05 multiply-adds for all passes that follow" in lines[1]
    assert f"pass 2, Gram sums: {40 * 46**2 / 2:.2g} multiply-adds" in lines[2]


def test_costs_are_those_of_the_products_formed():
    sizes = Sizes(n=1000, d_student=10, d_teacher=30, landmarks=7, classes=7, neighbours=3)
    costs = {each.name: each.multiply_adds(sizes) for each in PASSES}
    assert costs["Gram sums"] == 1000 * 40**2 / 2
    assert costs["row by row"] == 1000 * (50 + 300 + 450)
    assert costs["rows by landmarks"] == 1000 * 40 * 7
    assert costs["strongest eigenvectors"] == 1000 * 2 * 40 * 3
    by_class = next(each for each in PASSES if each.name == "class by class")
    assert not by_class.wanted(dataclasses.replace(sizes, classes=201))
    assert not PASSES[-1].wanted(dataclasses.replace(sizes, neighbours=0))


def lines_of(n=300, **options):
    rng = np.random.default_rng(3)
    layers = {name: rng.standard_normal((n, d)) for name, d in (("a", 4), ("b", 6))}
    lines = []
    measure(teacher=layers, student={"c": layers["a"] + 1}, pairs="all", announce=lines.append, **options)
    return lines


def test_grids_and_other_kernels_have_their_plan_too():
    (line,) = lines_of()
    assert line.endswith(
        "2 x 1 layers, 2 pairs by each layer's Gram and each product of two layers, one pass: 2.2e+04 multiply-adds"
    )
    (line,) = lines_of(n=9)
    assert "2 pairs by n x n kernels, each layer's once: 5.7e+02 multiply-adds" in line
    (line,) = lines_of(n=9, dims=(2,))  # by Grams, though there are few examples
    assert "each layer's Gram and each product of two layers" in line
    lines = lines_of(kernel="rbf")
    assert len(lines) == 2
    assert lines[0].endswith("rbf kernel, all 300 x 300 entries: 3.6e+05 multiply-adds")


def test_classes_whose_grams_do_not_fit_the_memory_given_are_refused():
    rng = np.random.default_rng(4)
    T, S, y = rng.standard_normal((900, 8)), rng.standard_normal((900, 6)), rng.integers(0, 90, 900)
    with pytest.raises(ResourceError, match=r"900 examples of 8 \+ 6 features take .* than memory_bytes=15.0 kB"):
        measure(teacher=T, student=S, labels=y, memory_bytes=15_000)
