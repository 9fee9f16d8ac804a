"""Row norms against the dense difference, and intervals that cover what they say."""

import math

import numpy as np
import pytest

from kernelscope.kernels.exact import well_scaled_sums
from kernelscope.kernels.sampling import paired_difference, row_norms, sampling_interval, single_examples, whole_groups

CLASSES, D_T, D_S = 10, 16, 8
CENTRES = np.random.default_rng(7)
C_T = 1.5 * CENTRES.standard_normal((CLASSES, D_T))
C_S = C_T[:, :D_S] + 0.5 * CENTRES.standard_normal((CLASSES, D_S))


def draw(n, rng, noise=0.5):
    """n examples of a known population: classes, noise, ReLU."""
    y = rng.integers(0, CLASSES, n)
    shared = rng.standard_normal((n, D_T))
    X_T = np.maximum(C_T[y] + shared, 0)
    X_S = np.maximum(C_S[y] + 0.7 * shared[:, :D_S] + noise * rng.standard_normal((n, D_S)), 0)
    return X_S, X_T


def population_loss(noise=0.5, n=400_000):
    """The loss over pairs of different examples, which a sample's loss tends to."""
    X_S, X_T = draw(n, np.random.default_rng(1), noise)
    k_S, k_T = (X_S**2).sum(1), (X_T**2).sum(1)
    teacher = np.sum((X_T.T @ X_T) ** 2)
    difference = np.sum((X_S.T @ X_S) ** 2) + teacher - 2 * np.sum((X_S.T @ X_T) ** 2)
    return math.sqrt((difference - np.sum((k_S - k_T) ** 2)) / (teacher - np.sum(k_T**2)))


def norms_of(X_S, X_T):
    return row_norms(well_scaled_sums(teacher=X_T, student=X_S))


def singles_of(X_S, X_T):
    return single_examples(norms_of(X_S, X_T))


def groups_of(X_S, X_T, groups):
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    return whole_groups(row_norms(scaled), scaled, groups)


def test_row_norms_equal_the_rows_of_the_dense_difference():
    X_S, X_T = draw(70, np.random.default_rng(0))
    rows = norms_of(X_S, X_T)
    K_T = X_T @ X_T.T
    D = X_S @ X_S.T - K_T
    np.testing.assert_allclose(rows.difference, (D**2).sum(1), rtol=1e-9)
    np.testing.assert_allclose(rows.difference_diagonal, np.diag(D), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rows.teacher, (K_T**2).sum(1), rtol=1e-10)
    assert rows.shares.sum() == pytest.approx(1)
    assert rows.loss() == pytest.approx(np.linalg.norm(D) / np.linalg.norm(K_T), rel=1e-12)


def test_the_jackknife_equals_leaving_each_example_out():
    X_S, X_T = draw(25, np.random.default_rng(3))
    estimate = sampling_interval(singles_of(X_S, X_T))
    logs = []
    for i in range(25):
        S, T = np.delete(X_S, i, 0), np.delete(X_T, i, 0)
        logs.append(math.log(np.linalg.norm(S @ S.T - T @ T.T) / np.linalg.norm(T @ T.T)))
    full = math.log(norms_of(X_S, X_T).loss())
    middle = 25 * full - 24 * np.mean(logs)
    error = math.sqrt(24 / 25 * np.sum((logs - np.mean(logs)) ** 2))
    assert estimate.interval[0] == pytest.approx(math.exp(middle - 1.959964 * error), rel=1e-6)
    assert estimate.interval[1] == pytest.approx(math.exp(middle + 1.959964 * error), rel=1e-6)


def test_the_interval_covers_the_population_in_93_to_97_of_100_samples():
    truth, rng = population_loss(), np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        low, high = sampling_interval(singles_of(*draw(500, rng))).interval
        covered += low <= truth <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_two_students_are_compared_on_the_same_examples():
    rng = np.random.default_rng(6)
    truth = population_loss(1.5) - population_loss(0.5)
    covered, narrower = 0, 0
    for _ in range(200):
        state = rng.integers(2**32)
        worse = singles_of(*draw(400, np.random.default_rng(state), 1.5))
        better = singles_of(*draw(400, np.random.default_rng(state), 0.5))
        paired = paired_difference(worse, better)
        covered += paired.interval[0] <= truth <= paired.interval[1]
        apart = math.hypot(sampling_interval(worse).error, sampling_interval(better).error)
        narrower += paired.error < apart
    assert covered >= 180
    assert narrower == 200


def test_nothing_to_resample_gives_none():
    X = np.random.default_rng(0).standard_normal((30, 3))
    assert sampling_interval(singles_of(X, X)) is None
    assert sampling_interval(singles_of(X[:2], 2 * X[:2])) is None


@pytest.mark.parametrize("n", [40, 900])
def test_leaving_a_group_out_equals_a_dense_loss_without_it(n):
    rng = np.random.default_rng(0)
    X_S, X_T = draw(n, rng)
    groups = rng.choice([3, 5, 11, 40, 41], n, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    found = groups_of(X_S, X_T, groups)
    for g, log_loss in zip(np.unique(groups), found.logs()):
        S, T = X_S[groups != g], X_T[groups != g]
        assert math.exp(log_loss) == pytest.approx(
            np.linalg.norm(S @ S.T - T @ T.T) / np.linalg.norm(T @ T.T), rel=1e-9
        )
    assert found.sizes.sum() == n


def test_groups_of_one_are_single_examples():
    X_S, X_T = draw(60, np.random.default_rng(0))
    alone = sampling_interval(singles_of(X_S, X_T))
    groups = np.random.default_rng(1).permutation(60) - 30
    assert sampling_interval(groups_of(X_S, X_T, groups)).interval == pytest.approx(alone.interval, rel=1e-9)


def test_only_whole_groups_cover_where_examples_come_in_groups():
    """Ten views of each of 60 objects: single examples promise far too much."""
    truth, rng = population_loss(), np.random.default_rng(8)
    covered = {"groups": 0, "singles": 0}
    for _ in range(300):
        X_S, X_T = (np.repeat(X, 10, axis=0) for X in draw(60, rng))
        X_S = X_S + 1e-3 * rng.standard_normal(X_S.shape)
        for name, parts in (
            ("groups", groups_of(X_S, X_T, np.repeat(np.arange(60), 10))),
            ("singles", singles_of(X_S, X_T)),
        ):
            low, high = sampling_interval(parts).interval
            covered[name] += low <= truth <= high
    assert covered["groups"] >= 0.88 * 300 > 0.6 * 300 > covered["singles"]
