"""Row norms against the dense difference, and intervals that cover what they say."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.statistics.row_forms import row_forms
from kernelscope.kernels.statistics.sampling import (
    LeaveOut,
    paired_difference,
    participation,
    row_norms,
    sampling_interval,
    single_examples,
    whole_groups,
)

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
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    return row_norms(row_forms(scaled, centre(scaled)))


def singles_of(X_S, X_T):
    return single_examples(norms_of(X_S, X_T))


def groups_of(X_S, X_T, groups):
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    return whole_groups(row_norms(row_forms(scaled, centre(scaled))), scaled, groups)


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


def apart(X_S, X_T, groups):
    """Sums of squares of Δ and K_T over pairs of different groups."""
    K_T = X_T @ X_T.T
    different = groups[:, None] != groups
    return [float(np.sum(np.square(K)[different])) for K in (X_S @ X_S.T - K_T, K_T)]


def dense_interval(X_S, X_T, groups):
    """docs/theory.md 8.1, each group left out by deleting its rows: centre, interval, participation."""
    names = np.unique(groups)
    A, B = apart(X_S, X_T, groups)
    left = np.array([apart(X_S[groups != g], X_T[groups != g], groups[groups != g]) for g in names])
    n, theta = len(names), 0.5 * math.log(A / B)
    v = n * theta - (n - 1) * 0.5 * np.log(left[:, 0] / left[:, 1])
    influence = (A - left[:, 0]) / (2 * A) - (B - left[:, 1]) / (2 * B)
    k = np.sum(influence**2) ** 2 / np.sum(influence**4)
    half = stats.t.ppf(0.975, max(1, min(n - 1, k))) * np.std(v, ddof=1) / math.sqrt(n)
    return math.exp(v.mean()), (math.exp(v.mean() - half), math.exp(v.mean() + half)), k


def test_the_interval_is_what_leaving_each_example_out_gives():
    X_S, X_T = draw(25, np.random.default_rng(3))
    found = sampling_interval(singles_of(X_S, X_T))
    value, interval, k = dense_interval(X_S, X_T, np.arange(25))
    assert found.value == pytest.approx(value, rel=1e-10)
    assert found.interval == pytest.approx(interval, rel=1e-10)
    assert (found.rests_on, found.parts) == (pytest.approx(k, rel=1e-8), 25)


def test_a_loss_that_no_example_moves_has_a_point_and_rests_on_all():
    X = np.random.default_rng(0).standard_normal((40, 3))
    found = sampling_interval(singles_of(0.3 * X, X))
    assert (found.value, *found.interval) == pytest.approx((0.91, 0.91, 0.91), rel=1e-9)
    assert found.rests_on == 40


def test_the_interval_takes_its_width_from_how_few_decide_it():
    """Three long rows among 60: Student's t has as many degrees of freedom as rows that count, not 59."""
    rng = np.random.default_rng(2)
    X_T = rng.standard_normal((60, 8))
    X_T[7:10] *= 6
    X_S = X_T + 0.5 * rng.standard_normal(X_T.shape)
    found = sampling_interval(singles_of(X_S, X_T))
    assert 1 < found.rests_on < 5
    half = math.log(found.interval[1] / found.value)
    assert half == pytest.approx(stats.t.ppf(0.975, found.rests_on) * found.error / found.value, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "count"), [([1, 1, 1, 1], 4), ([5, 0, 0], 1), ([1, -1], 2), ([0, 0, 0], 3), ([1e-200, 1e-200], 2)]
)
def test_participation_counts_each_by_its_weight(weights, count):
    assert participation(np.array(weights, float)) == pytest.approx(count)


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


def test_a_difference_is_that_of_both_losses_and_none_for_equal_students():
    rng = np.random.default_rng(4)
    X_S, X_T = draw(80, rng)
    a, b = singles_of(X_S, X_T), singles_of(2 * X_S, X_T)
    found = paired_difference(a, b)
    assert found.value == pytest.approx(sampling_interval(a).value - sampling_interval(b).value, rel=1e-9)
    low, high = found.interval
    back = paired_difference(b, a)
    assert (back.value, *back.interval) == pytest.approx((-found.value, -high, -low), rel=1e-9)
    same = paired_difference(a, a)
    assert (same.value, same.error, same.interval) == (0.0, 0.0, (0.0, 0.0))


def refused(parts, why):
    assert sampling_interval(parts) is None
    assert paired_difference(parts, parts) is None
    assert why in parts.why_no_interval()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_fewer_than_ten_examples_have_no_interval(n):
    X_S, X_T = draw(10, np.random.default_rng(0))
    assert sampling_interval(singles_of(X_S, X_T)) is not None
    refused(singles_of(X_S[:n], X_T[:n]), f"it takes 10 examples, here are {n}")
    refused(groups_of(X_S[:n], X_T[:n], np.arange(n)), f"it takes 10 examples, here are {n}")


def test_fewer_than_five_groups_have_no_interval():
    X_S, X_T = draw(40, np.random.default_rng(0))
    assert sampling_interval(groups_of(X_S, X_T, np.arange(40) % 5)) is not None
    refused(groups_of(X_S, X_T, np.arange(40) % 4), "it takes 5 groups, here are 4")
    refused(groups_of(X_S, X_T, np.zeros(40, int)), "it takes 5 groups, here are 1")


def test_no_interval_rests_on_rounding():
    """Kernels that differ on their diagonals, or in one example's row, but for rounding."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    refused(singles_of(X, X), "lies within single examples")
    Q = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    refused(singles_of(2 * Q, Q), "lies within single examples")
    refused(singles_of(np.hstack([X, 0.01 * np.eye(30)]), X), "lies within single examples")
    one = X.copy()
    one[4] *= 2
    refused(singles_of(one, X), "without one example nothing would be left of the difference")
    teacher = 1e-9 * X
    teacher[4] = 1e3
    refused(singles_of(X, teacher), "the teacher's kernel lies within single examples")
    teacher[4] = 1e-4
    refused(singles_of(X, teacher), "without one example nothing would be left of the teacher's kernel")


def test_an_upper_end_that_no_number_can_hold_is_none():
    norms = np.linspace(1, 2, 12)
    parts = LeaveOut(1e303 * norms, 0 * norms, 1e-299 * norms[::-1], 0 * norms, np.ones(12, np.int64))
    assert parts.why_no_interval() is None and sampling_interval(parts) is None
    parts = dataclasses.replace(parts, difference=1e200 * norms)
    assert math.isfinite(sampling_interval(parts).interval[1])


@pytest.mark.parametrize("n", [60, 900])
def test_leaving_whole_groups_out_equals_deleting_their_rows(n):
    """Groups of very unequal size: the largest holds more than half of all rows."""
    rng = np.random.default_rng(0)
    X_S, X_T = draw(n, rng)
    groups = rng.choice([3, 5, 11, 40, 41, 50], n, p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05])
    parts = groups_of(X_S, X_T, groups)
    assert parts.sizes.sum() == n and parts.sizes.max() > n / 2
    value, interval, k = dense_interval(X_S, X_T, groups)
    found = sampling_interval(parts)
    assert (found.value, *found.interval) == pytest.approx((value, *interval), rel=1e-8)
    assert (found.rests_on, found.parts) == (pytest.approx(k, rel=1e-6), 6)


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
