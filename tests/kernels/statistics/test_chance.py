"""The permutation null's moments against every permutation, and against 20,000 of them; where its p-value is from."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import pearson3, skew

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.statistics.chance import SKEWED, chance, largest_tail, p_value, upper_tail
from kernelscope.kernels.statistics.moments import Moments, both_moments, moments, skewness
from kernelscope.kernels.statistics.permutations import Shuffled, shuffled
from tests.kernels import nulls


def chance_of(X_S, X_T):
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    middle = centre(scaled)
    return chance(scaled.sums, middle.sums, both_moments(middle), lambda: shuffled(teacher=X_T, student=X_S, seed=0))


def unit_kernel(X):
    H = np.eye(len(X)) - 1 / len(X)
    K = H @ (X @ X.T) @ H
    return K / np.linalg.norm(K)


def some_features(rng, kind, n):
    if kind == "gaussian":
        return rng.standard_normal((n, 4)) + 3
    if kind == "heavy":
        return rng.standard_normal((n, 3)) ** 3
    if kind == "classes":
        return 2 * np.eye(3)[np.arange(n) % 3] + 0.2 * rng.standard_normal((n, 3))
    return np.maximum(rng.standard_normal((n, 2)), 0) + 0.01 * rng.standard_normal((n, 2))


KINDS = ("gaussian", "heavy", "classes", "relu")


@pytest.mark.parametrize("kinds", list(itertools.combinations_with_replacement(KINDS, 2)))
@pytest.mark.parametrize("n", [6, 7])
def test_three_moments_equal_those_over_all_permutations(n, kinds):
    rng = np.random.default_rng(n)
    X_S, X_T = (some_features(rng, kind, n) for kind in kinds)
    K, L = unit_kernel(X_S), unit_kernel(X_T)
    every = np.array([np.sum(K[np.ix_(p, p)] * L) for p in map(list, itertools.permutations(range(n)))])
    null = chance_of(X_S, X_T)
    assert null.cka_mean == pytest.approx(every.mean(), rel=1e-10)
    assert null.cka_sd == pytest.approx(every.std(), rel=1e-8)
    assert null.cka_skewness == pytest.approx(skew(every), rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("kinds", [("heavy", "gaussian"), ("classes", "classes"), ("relu", "heavy")])
def test_moments_match_twenty_thousand_shuffles(kinds):
    rng = np.random.default_rng(0)
    n, draws = 60, 20_000
    X_S, X_T = (some_features(rng, kind, n) for kind in kinds)
    K_S, K_T, K, L = X_S @ X_S.T, X_T @ X_T.T, unit_kernel(X_S), unit_kernel(X_T)
    losses, ckas = np.empty(draws), np.empty(draws)
    for i in range(draws):
        p = rng.permutation(n)
        losses[i] = np.sum((K_S[p][:, p] - K_T) ** 2)
        ckas[i] = np.sum(K[p][:, p] * L)
    null = chance_of(X_S, X_T)
    assert null.transfer_loss == pytest.approx(math.sqrt(losses.mean()) / np.linalg.norm(K_T), rel=3e-3)
    assert null.cka_mean == pytest.approx(ckas.mean(), abs=4 * null.cka_sd / math.sqrt(draws))
    assert null.cka_sd == pytest.approx(ckas.std(), rel=0.05)
    halves = [skew(part) for part in np.array_split(ckas, 20)]
    assert null.cka_skewness == pytest.approx(np.mean(halves), abs=5 * np.std(halves) / math.sqrt(20) + 0.05)


@pytest.mark.parametrize(("kinds", "n"), [(("heavy", "heavy"), 40), (("heavy", "gaussian"), 10)])
def test_p_values_of_unrelated_networks_are_uniform(kinds, n):
    rng = np.random.default_rng(0)
    found = [chance_of(*(some_features(rng, kind, n) for kind in kinds)) for _ in range(400)]
    counts = np.histogram([each.p_value for each in found], bins=5, range=(0, 1 + 1e-9))[0]
    assert sum(counts) == 400
    # a normal tail would put far more than a fifth of so skew a null above 0.8 or below 0.2
    assert np.abs(counts - 80).max() < 4.5 * math.sqrt(400 * 0.2 * 0.8)
    assert (np.mean([each.shuffled is None for each in found]) < 0.1) == ("gaussian" not in kinds)


@pytest.mark.long
@pytest.mark.parametrize(("n", "d", "draws"), [(10, 4, 4000), (30, 8, 4000), (300, 16, 3000)])
@pytest.mark.parametrize("kind", nulls.KINDS)
def test_unrelated_networks_are_significant_in_one_draw_of_twenty(kind, n, d, draws):
    rng = np.random.default_rng([n, d])
    p = [nulls.chance_of(*nulls.unrelated(kind, n, d, rng)).p_value for _ in range(draws)]
    assert 0.035 <= np.mean(np.array(p) < 0.05) <= 0.065


def test_sums_alone_give_no_more_than_an_upper_limit_where_tails_are_heavy():
    rng = np.random.default_rng(0)
    for kind in ("one_outlier", "lognormal", "two_classes"):
        X_S, X_T = nulls.unrelated(kind, 40, 3, rng)
        null = nulls.chance_of(X_S, X_T, shuffles=False)
        z = null.above_chance * (1 - null.cka_mean) / null.cka_sd
        assert abs(null.cka_skewness) > SKEWED and null.shuffled is None
        assert null.p_value == pytest.approx(largest_tail(z))


def test_examples_are_shuffled_where_the_skewness_is_large_or_not_known():
    by = Shuffled(0.25, 999, 50, 0.3, 0.1, 0.1)
    for known in (0.0, 0.4, -SKEWED, SKEWED):
        assert p_value(1.3, known, lambda: by) == (upper_tail(1.3, known), None)
    for beyond in (1.01, -1.01, 25.0, None):
        assert p_value(1.3, beyond, lambda: by) == (0.25, by)
        for without in (None, lambda: None):
            assert p_value(1.3, beyond, without) == (largest_tail(1.3), None)


@pytest.mark.parametrize("n", [8, 60])
def test_no_null_exceeds_its_largest_tail(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        X_S, X_T = (np.exp(2 * rng.standard_normal((n, 1))) * rng.standard_normal((n, 2)) for _ in range(2))
        null = chance_of(X_S, X_T)
        by = shuffled(teacher=X_T, student=X_S, seed=0)
        z = (cka(centre(well_scaled_sums(teacher=X_T, student=X_S)).sums) - null.cka_mean) / null.cka_sd
        assert by.p_value <= largest_tail(z) + 4 * math.sqrt(0.25 / by.permutations)
    assert largest_tail(0.0) == largest_tail(-3.0) == 1
    assert largest_tail(3.0) == pytest.approx(0.1)


def test_the_only_shared_outlier_is_as_rare_as_its_place():
    """A Pearson III tail says p = 1e-5 here; one permutation in 50 brings the two outliers together."""
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((50, 3)), rng.standard_normal((50, 3))
    X_S[7] *= 1e4
    X_T[7] *= 1e4
    null = chance_of(X_S, X_T)
    assert null.cka_skewness > 6
    assert 0.5 / 50 < null.p_value <= 1 / 50


@pytest.mark.parametrize("third", [-1.5, -0.3, 0.0, 0.02, 0.7, 2.5])
@pytest.mark.parametrize("z", [-2.0, 0.0, 1.0, 4.0, 9.0])
def test_the_tail_is_that_of_a_pearson_iii_variable(z, third):
    assert upper_tail(z, third) == pytest.approx(pearson3.sf(z, third), rel=1e-6, abs=1e-14)


def test_cubes_of_drawn_examples_stand_for_those_of_all(monkeypatch):
    rng = np.random.default_rng(0)
    X = some_features(rng, "heavy", 3000)
    X -= X.mean(0)
    exact_limit = "kernelscope.kernels.statistics.row_forms.DRAWN_ROWS"
    monkeypatch.setattr(exact_limit, 3000)
    exact = moments(X, X.T @ X)
    assert exact.entries_3 == pytest.approx(float(np.sum(unit_kernel(X) ** 3)), rel=1e-9)
    monkeypatch.setattr(exact_limit, 1000)
    drawn = moments(X, X.T @ X)
    assert drawn.entries_3 != exact.entries_3
    assert skewness(drawn, drawn, 1.0) == pytest.approx(skewness(exact, exact, 1.0), rel=0.02)


def test_moments_ignore_scale_rotation_and_order():
    rng = np.random.default_rng(0)
    X_S, X_T = some_features(rng, "heavy", 50), some_features(rng, "relu", 50)
    Q, order = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.permutation(50)
    one, other = chance_of(X_S, X_T), chance_of((7 * X_S @ Q + 4)[order], X_T[order] - 1)
    for name in ("cka_mean", "cka_sd", "cka_skewness", "above_chance"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-7), name
    assert other.p_value == pytest.approx(one.p_value, abs=4 * math.sqrt(0.25 / one.shuffled.permutations))


def test_unrelated_networks_are_not_above_chance_and_a_copy_is():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((300, 20))
    unrelated = chance_of(rng.standard_normal((300, 20)), X_T)
    copy = chance_of(0.3 * X_T, X_T)
    assert unrelated.p_value > 1e-3
    assert abs(unrelated.above_chance) < 0.02
    assert copy.p_value < 1e-12
    assert copy.above_chance == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_tiny_sets_give_none_where_nothing_is_defined(n):
    rng = np.random.default_rng(0)
    null = chance_of(rng.standard_normal((n, 2)), rng.standard_normal((n, 2)))
    assert (null.transfer_loss is None) == (n == 1)
    assert (null.cka_mean is None) == (n == 1)
    assert (null.cka_sd is None) == (n < 4)
    assert null.cka_skewness is None
    assert (null.p_value is None) == (n < 4)
    assert null.p_value is None or null.p_value * math.factorial(n) == pytest.approx(
        round(null.p_value * math.factorial(n))
    )


def test_a_constant_student_has_no_chance_level_of_cka():
    rng = np.random.default_rng(0)
    null = chance_of(np.ones((20, 3)), rng.standard_normal((20, 2)))
    assert null.p_value is None and null.cka_mean is None and null.transfer_loss is not None


def test_a_kernel_that_no_shuffle_changes_has_no_spread():
    """Examples at the corners of a simplex: every permutation of them is the same kernel."""
    null = chance_of(np.eye(12), np.random.default_rng(0).standard_normal((12, 3)))
    assert null.cka_sd == 0 and null.p_value is None
    assert cka(centre(well_scaled_sums(teacher=np.eye(12), student=np.eye(12))).sums) == pytest.approx(1)
    assert isinstance(moments(np.eye(12) - 1 / 12, np.eye(12) - 1 / 12), Moments)
