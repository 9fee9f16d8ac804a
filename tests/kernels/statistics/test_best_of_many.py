"""The search over layers, corrected: against the definition, and the share of unrelated grids it rejects."""

import math

import numpy as np
import pytest

from kernelscope.kernels.nonlinear.functions import parse_kernel
from kernelscope.kernels.statistics.best_of_many import _examples, best_of_many
from kernelscope.kernels.statistics.permutations import (
    Permutations,
    cka_under_permutation,
    drawn_examples,
    drawn_kernel,
    shuffled,
)


def unrelated(rng, n, layers=8):
    """Layers of two untrained networks, each made from the one before, on inputs of their own."""
    networks = []
    for _ in range(2):
        X, found = rng.standard_normal((n, 8)), {}
        for i in range(layers):
            width = X.shape[1] + 2
            X = np.maximum(X @ rng.standard_normal((X.shape[1], width)) / math.sqrt(width) + 0.1, 0)
            found[f"layer {i}"] = X
        networks.append(found)
    return networks


def corrected(networks, seed=0):
    teacher, student = networks
    return best_of_many(teacher=teacher, student=student, seed=seed)


@pytest.mark.parametrize("m", [5, 9, 24])
def test_a_corrected_p_is_the_share_of_permutations_whose_best_is_as_good(m):
    teacher, student = unrelated(np.random.default_rng(m), m, layers=3)
    drawn, permutations = drawn_examples(m, 7), Permutations(m, 7)
    shifts = [np.arange(m)] if permutations.all else [np.roll(np.arange(m), -s) for s in range(m)]
    z = {}
    for t, X_T in teacher.items():
        for s, X_S in student.items():
            K_T, K_S = drawn_kernel(X_T, drawn), drawn_kernel(X_S, drawn)
            mean, sd = cka_under_permutation(np.diag(K_S), np.diag(K_T))
            scores = [np.sum(K_S[np.ix_(o[c], o[c])] * K_T) for o in permutations.orders for c in shifts]
            z[t, s] = (np.array(scores) - mean) / sd
    highest = np.max(list(z.values()), axis=0)
    found = best_of_many(teacher=teacher, student=student, seed=7)
    assert found.keys() == z.keys()
    for pair, each in found.items():
        assert each.p_corrected == pytest.approx(np.mean(highest >= z[pair][0] - 1e-6), abs=1e-12)
        assert each.best == (z[pair][0] == max(scores[0] for scores in z.values()))
        assert each.among == 9


def test_a_grid_of_one_pair_is_that_pair():
    teacher, student = unrelated(np.random.default_rng(0), 40, layers=1)
    (found,) = corrected((teacher, student)).values()
    assert found.alone == shuffled(teacher=teacher["layer 0"], student=student["layer 0"], seed=0)
    assert found.p_corrected == found.alone.p_value


def test_each_pair_of_a_grid_has_the_p_that_it_has_alone():
    teacher, student = unrelated(np.random.default_rng(1), 60, layers=4)
    for (t, s), each in corrected((teacher, student)).items():
        assert each.alone == shuffled(teacher=teacher[t], student=student[s], seed=0)
        assert each.p_corrected >= each.alone.p_value


def test_a_student_of_one_layer_is_found_among_unrelated_ones():
    rng = np.random.default_rng(0)
    teacher, student = unrelated(rng, 200)
    student["copy"] = teacher["layer 5"] @ rng.standard_normal((teacher["layer 5"].shape[1], 6))
    found = corrected((teacher, student))
    best = max(found, key=lambda pair: found[pair].best)
    assert best[1] == "copy" and found[best].p_corrected == 1 / (1 + found[best].alone.permutations)
    others = [each.p_corrected for (_, s), each in found.items() if s != "copy"]
    assert min(others) > 0.01


def test_constant_layers_are_left_out_of_the_search():
    teacher, student = unrelated(np.random.default_rng(2), 50, layers=3)
    plain = corrected((teacher, student))
    found = corrected(({**teacher, "dead": np.ones((50, 3))}, {**student, "dead": np.full((50, 2), 0.1)}))
    assert found == plain
    assert corrected(({"dead": np.ones((50, 3))}, student)) == {}
    assert corrected((teacher, {"dead": np.ones((50, 3))})) == {}


def test_layers_that_no_permutation_changes_are_left_out_of_the_search():
    teacher, student = unrelated(np.random.default_rng(2), 12, layers=2)
    found = corrected(({**teacher, "corners": np.eye(12)}, student))
    assert found == corrected((teacher, student))


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_examples_for_a_spread_have_no_search(n):
    assert corrected(unrelated(np.random.default_rng(3), n, layers=2)) == {}


def test_a_search_with_another_kernel_forms_that_kernel():
    teacher, student = unrelated(np.random.default_rng(4), 30, layers=2)
    kernel = parse_kernel("rbf")
    for (t, s), each in best_of_many(teacher=teacher, student=student, seed=0, kernel=kernel).items():
        assert each.alone == shuffled(teacher=teacher[t], student=student[s], seed=0, kernel=kernel)


def test_grids_of_many_layers_shuffle_fewer_examples():
    assert (_examples(1), _examples(32)) == (2000, 2000)
    assert 1000 < _examples(100) < 1200


def rejected(draws, n):
    """Shares of unrelated grids of 64 pairs whose best is below .05, corrected and as it stands."""
    rng = np.random.default_rng(n)
    found = [corrected(unrelated(rng, n)).values() for _ in range(draws)]
    least = [(min(e.p_corrected for e in grid), min(e.alone.p_value for e in grid)) for grid in found]
    return np.mean(np.array(least) < 0.05, axis=0)


def test_the_best_of_64_unrelated_pairs_is_seldom_significant_once_corrected():
    corrected_share, plain_share = rejected(50, 16)
    assert corrected_share <= 0.16  # one in twenty expected
    assert plain_share > 0.25


@pytest.mark.long
@pytest.mark.parametrize("n", [30, 150])
def test_the_best_of_64_unrelated_pairs_is_significant_in_one_draw_of_twenty(n):
    corrected_share, plain_share = rejected(1500, n)
    assert 0.03 <= corrected_share <= 0.07
    assert plain_share > 0.25
