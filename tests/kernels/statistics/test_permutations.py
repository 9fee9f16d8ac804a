"""Scores of shuffled examples against one product per permutation, and p-values against all permutations."""

import itertools
import math

import numpy as np
import pytest

from kernelscope.kernels.nonlinear.functions import KernelBlocks, parse_kernel
from kernelscope.kernels.statistics.permutations import (
    LEAST_ORDERS,
    MOST_EXAMPLES,
    Permutations,
    drawn_examples,
    drawn_kernel,
    shuffled,
)


def unit_kernel(K):
    H = np.eye(len(K)) - 1 / len(K)
    K = H @ K @ H
    return K / np.linalg.norm(K)


def every_permutation(permutations):
    """The permutations meant, one by one."""
    m = permutations.m
    shifts = [np.arange(m)] if permutations.all else [np.roll(np.arange(m), -s) for s in range(m)]
    return [order[shift] for order in permutations.orders for shift in shifts]


def two_networks(m, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, 3)) ** 3, rng.standard_normal((m, 4)) + 2


@pytest.mark.parametrize("m", [2, 5, 6, 7, 8, 30, 101, 1001])
def test_scores_are_those_of_permuting_one_by_one(m):
    X_S, X_T = two_networks(m)
    K_S, K_T = unit_kernel(X_S @ X_S.T), unit_kernel(X_T @ X_T.T)
    permutations = Permutations(m, seed=3)
    (scores,) = permutations.scores(K_S, [permutations.fixed(K_T)])
    meant = every_permutation(permutations)
    assert len(scores) == len(meant) >= min(math.factorial(m), LEAST_ORDERS)
    assert np.array_equal(meant[0], np.arange(m))
    for p, score in list(zip(meant, scores))[:: max(1, m // 12)]:
        assert score == pytest.approx(np.sum(K_S[np.ix_(p, p)] * K_T), abs=1e-13)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_up_to_six_examples_every_permutation_counts(n):
    X_S, X_T = two_networks(n)
    K_S, K_T = unit_kernel(X_S @ X_S.T), unit_kernel(X_T @ X_T.T)
    every = [np.sum(K_S[np.ix_(p, p)] * K_T) for p in map(list, itertools.permutations(range(n)))]
    found = shuffled(teacher=X_T, student=X_S, seed=0)
    assert found.permutations == math.factorial(n) - 1
    assert found.p_value == pytest.approx(np.mean(np.array(every) >= every[0] - 1e-12), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_of_seven_examples_a_thousand_permutations_stand_for_all(seed):
    X_S, X_T = two_networks(7, seed)
    K_S, K_T = unit_kernel(X_S @ X_S.T), unit_kernel(X_T @ X_T.T)
    every = [np.sum(K_S[np.ix_(p, p)] * K_T) for p in map(list, itertools.permutations(range(7)))]
    exact = np.mean(np.array(every) >= every[0] - 1e-12)
    found = shuffled(teacher=X_T, student=X_S, seed=seed)
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / found.permutations) + 1e-3)


@pytest.mark.parametrize("m", [20, 120])
def test_shifts_scatter_no_more_than_independent_permutations(m):
    """The p-values of many seeds lie about one another as a binomial's do."""
    rng = np.random.default_rng(m)
    X_S, X_T = np.exp(rng.standard_normal((m, 1))) * rng.standard_normal((m, 4)), rng.standard_normal((m, 1)) ** 3
    found = [shuffled(teacher=X_T, student=X_S, seed=seed) for seed in range(50)]
    p = np.array([each.p_value for each in found])
    assert np.std(p) < 1.35 * math.sqrt(p.mean() * (1 - p.mean()) / found[0].permutations)


def test_ties_count_against_the_student():
    """One example apart from equal ones: 1/m of the permutations keep it in place, the others all score the same."""
    one, other = np.zeros((20, 2)), np.zeros((20, 2))
    one[3], other[5] = (1, 2), (0.1, 0.7)
    assert shuffled(teacher=one, student=2 * one, seed=0).p_value == pytest.approx(1 / 20)
    assert shuffled(teacher=one, student=other, seed=0).p_value == 1
    classes = np.eye(3)[np.arange(30) % 3]
    split = np.eye(2)[np.arange(30) // 15]
    assert shuffled(teacher=classes, student=split, seed=0).p_value == 1  # as unrelated as can be: every score ties


def test_p_is_that_of_ties_in_whole_numbers():
    """Two halves of twelve examples that agree on all but two: the hypergeometric distribution."""
    teacher, student = (np.repeat([0.0, 1.0], 6)[:, None], np.repeat([0.0, 1.0], 6)[:, None])
    student[[0, 6]] = student[[6, 0]]
    ways = [math.comb(6, k) ** 2 for k in range(7)]  # k examples of the first half stay in it
    exact = (ways[0] + ways[1] + ways[5] + ways[6]) / sum(ways)
    p = [shuffled(teacher=teacher, student=student, seed=seed).p_value for seed in range(20)]
    assert np.mean(p) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


def test_scale_rotation_and_shift_change_no_p():
    X_S, X_T = two_networks(50)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    plain = shuffled(teacher=X_T, student=X_S, seed=0)
    assert shuffled(teacher=1e120 * X_T @ turn, student=1e-120 * X_S, seed=0) == plain
    assert shuffled(teacher=X_T + 1e4, student=X_S - 9, seed=0) == plain
    assert plain.examples == 50


@pytest.mark.parametrize("where", ["student", "teacher"])
def test_constant_features_cannot_be_shuffled(where):
    X = {"student": two_networks(50)[0], "teacher": two_networks(50)[1]}
    X[where] = np.full((50, 2), 1e6) + np.spacing(1e6) * np.random.default_rng(0).integers(-1, 2, (50, 2))
    assert shuffled(**X, seed=0) is None


def test_of_many_examples_two_thousand_are_drawn_by_seed():
    drawn = drawn_examples(5000, 0)
    assert len(set(drawn.tolist())) == len(drawn) == MOST_EXAMPLES
    assert np.array_equal(drawn, drawn_examples(5000, 0))
    assert not np.array_equal(drawn, drawn_examples(5000, 1))
    assert sorted(drawn_examples(30, 0)) == list(range(30))
    X_S, X_T = two_networks(2500)
    found = shuffled(teacher=X_T, student=X_S, seed=0)
    assert (found.permutations, found.examples) == (MOST_EXAMPLES - 1, MOST_EXAMPLES)


@pytest.mark.parametrize("spec", ["rbf", "rbf:0.2", "poly:2,1", "poly"])
def test_kernels_without_features_are_formed_and_centred(spec):
    X, kernel = two_networks(40)[1], parse_kernel(spec)
    drawn = drawn_examples(40, 0)
    side = KernelBlocks(X, kernel)
    if kernel.name == "rbf":
        K = np.exp(-side.scale * np.sum((X[:, None] - X) ** 2, axis=2))
    else:
        K = (X @ X.T / np.mean(np.sum(X**2, axis=1)) + kernel.offset) ** kernel.degree
    assert drawn_kernel(X, drawn, kernel) == pytest.approx(unit_kernel(K[np.ix_(drawn, drawn)]), abs=1e-12)


def test_a_kernel_that_is_nearly_constant_cannot_be_shuffled():
    X = two_networks(40)[1]
    assert drawn_kernel(X, np.arange(40), parse_kernel("rbf:1e-12")) is None
    assert drawn_kernel(X, np.arange(40), parse_kernel("rbf:1e-3")) is not None


def test_p_is_uniform_where_tails_are_heavy():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        X_S, X_T = (np.exp(1.5 * rng.standard_normal((12, 1))) * rng.standard_normal((12, 3)) for _ in range(2))
        values.append(shuffled(teacher=X_T, student=X_S, seed=0).p_value)
    counts = np.histogram(values, bins=5, range=(0, 1 + 1e-9))[0]
    assert np.abs(counts - 60).max() < 4 * math.sqrt(300 * 0.2 * 0.8)
    assert np.mean(np.array(values) < 0.05) < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 300)
