"""Rank correlations against SciPy's, intervals that resample methods, and a zero where there is nothing."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import spearmanr

from kernelscope.paper import prediction
from kernelscope.paper.prediction import groups, partial_spearman, resamples, spearman
from tests.paper.synthetic import student

METHODS = [f"kda(weight={n})" for n in range(40)]


def population(seed=0, *, arch=("resnet8",), noise=0.02, per_method=3, epochs=(6,)):
    """Students whose neighbours follow accuracy, and whose raw loss is drawn for itself by method."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, method in enumerate(METHODS):
        top1, raw = rng.uniform(0.6, 0.9), rng.uniform(0.2, 0.8)
        for of in range(per_method):
            row = student(method=method, seed=of, images=8)
            mine = top1 + noise * rng.standard_normal()
            layers = {"embedding": {"raw": raw + 0.01 * rng.standard_normal(), "neighbours": mine - 0.4}}
            new = {
                "top1": mine,
                "layers": layers,
                "arch": arch[number % len(arch)],
                "epochs": epochs[number % len(epochs)],
            }
            rows.append(dataclasses.replace(row, **new, training_ce=1 - mine + 0.05 * rng.standard_normal()))
    return rows


ROWS = population()


def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(1)
    X, y = rng.integers(0, 6, (50, 3)).astype(float), rng.integers(0, 6, 50).astype(float)
    expected = [spearmanr(X[:, j], y).statistic for j in range(3)]
    assert spearman(X, y, y) == pytest.approx(expected, rel=1e-12)


def test_partial_spearman_is_the_textbooks_formula():
    rng = np.random.default_rng(2)
    z = rng.standard_normal(200)
    x, y = z + rng.standard_normal(200), z + 0.5 * rng.standard_normal(200)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_spearman(x[:, None], y, z) == pytest.approx([expected], rel=1e-10)


def test_what_training_loss_alone_explains_is_zero_at_fixed_loss():
    rng = np.random.default_rng(3)
    z = rng.standard_normal(400)
    x, y = z + rng.standard_normal(400), z + rng.standard_normal(400)
    assert spearman(x[:, None], y, z)[0] > 0.4 and abs(partial_spearman(x[:, None], y, z)[0]) < 0.15


def test_a_number_that_follows_accuracy_is_found_and_one_that_does_not_is_zero():
    (found,) = [group for group in groups(ROWS, draws=200) if group.within == "all"]
    assert (found.students, found.methods) == (120, 40)
    assert found.found["neighbours"].low > 0.95 and not found.found["neighbours"].zero
    assert found.found["raw"].zero
    assert "agreement" in found.found and "cka_debiased" not in found.found  # layers had none


def test_students_of_one_method_are_drawn_together():
    (first, *_) = resamples(["a", "b", "a", "c"], 50, 0)
    for drawn in resamples(["a", "b", "a", "c"], 50, 0):
        assert (drawn == 0).sum() == (drawn == 2).sum()
    assert (first == resamples(["a", "b", "a", "c"], 1, 0)[0]).all()


def test_intervals_of_methods_cover_where_those_of_students_are_too_narrow():
    methods = [name for name in METHODS for _ in range(6)]
    misses = dict.fromkeys(("methods", "students"), 0)
    for draw in range(24):
        x, y = np.random.default_rng(draw).random((2, len(METHODS))).repeat(6, axis=1)
        for over, names in (("methods", methods), ("students", list(map(str, range(len(methods)))))):
            drawn = [spearman(x[i, None], y[i], y[i])[0] for i in resamples(names, 60, draw)]
            misses[over] += not np.quantile(drawn, 0.025) <= 0 <= np.quantile(drawn, 0.975)
    assert misses["methods"] <= 5 < misses["students"]


def test_lengths_and_architectures_are_judged_apart():
    found = groups(population(epochs=(6, 28), arch=("resnet8", "resnet8", "resnet8x0.5")), draws=20)
    assert {group.epochs for group in found} == {6, 28}
    assert {group.within for group in found} >= {"all", "resnet8", "resnet8x0.5", "fixed", "best"}
    best = next(group for group in found if group.within == "best")
    assert best.students <= 31


def test_training_loss_does_not_predict_at_fixed_training_loss():
    (found,) = [group for group in groups(ROWS, draws=20) if group.within == "fixed"]
    assert "training_ce" not in found.found


def test_failed_students_and_teachers_are_left_out_and_few_make_no_group():
    failed = dataclasses.replace(ROWS[0], failed="loss is nan", top1=None)
    teacher = dataclasses.replace(ROWS[0], purpose="teacher")
    (found,) = [group for group in groups([*ROWS, failed, teacher], draws=5) if group.within == "all"]
    assert found.students == len(ROWS)
    assert groups(ROWS[: prediction.FEWEST - 1], draws=5) == []
