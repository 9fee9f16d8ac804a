"""CKA within classes against n × n kernels of deviations, and against every permutation inside classes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.row_views import Normalised
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.gulp import whitened
from kernelscope.kernels.similarity.within_class import within_class_cka


def found_for(X_S, X_T, y):
    return within_class_cka(well_scaled_sums(teacher=X_T, student=X_S), np.asarray(y))


def deviations(X, y):
    """Rows less the mean of their class, by a loop; 0 for the only one of a class."""
    return np.array([row - X[y == own].mean(axis=0) for row, own in zip(X, y)])


def dense(X_S, X_T, y):
    K, L = (D @ D.T for D in (deviations(X_S, y), deviations(X_T, y)))
    return np.sum(K * L) / np.linalg.norm(K) / np.linalg.norm(L)


@given(n=st.integers(8, 40), d_S=st.integers(1, 6), d_T=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_it_is_the_cka_of_dense_kernels_of_deviations(n, d_S, d_T, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(-3, 5, n)
    y[:2] = 17  # one class of two at least
    X_S, X_T = (3 * rng.standard_normal((9, d))[y % 9] + rng.standard_normal((n, d)) for d in (d_S, d_T))
    found = found_for(X_S, X_T, y)
    assert found.value == pytest.approx(dense(X_S, X_T, y), rel=1e-9)


@pytest.mark.parametrize("y", [[0, 0, 1, 1, 1], [4, 4, 4, 4, 9], [0, 0, 1, 1, 2]])
def test_chance_is_the_mean_over_all_permutations_inside_classes(y):
    rng, y = np.random.default_rng(0), np.array(y)
    X_S, X_T = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    inside = [p for p in map(np.array, itertools.permutations(range(5))) if np.array_equal(y[p], y)]
    assert found_for(X_S, X_T, y).chance == pytest.approx(np.mean([dense(X_S[p], X_T, y) for p in inside]), rel=1e-12)


@pytest.mark.parametrize("singles", [0, 3])
@pytest.mark.parametrize("offset", [1.0, 2.0**10, 2.0**24])
def test_class_means_however_large_cancel_nothing(offset, singles):
    """Deviations are multiples of 2⁻²⁰, so that means of any size are added and known without rounding."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.repeat(np.arange(4), 32), 4 + np.arange(singles)])
    grid = [np.rint(rng.standard_normal((len(y), d)) * 2**16) / 2**20 for d in (3, 5)]
    means = [np.rint(offset * rng.standard_normal((7, d))) for d in (3, 5)]
    X_S, X_T = (m[y] + D for m, D in zip(means, grid))
    found = found_for(X_S, X_T, y)
    assert found.value == pytest.approx(dense(*grid, y), rel=1e-9)
    assert found.chance == pytest.approx(found_for(*grid, y).chance, rel=1e-9)


def test_it_ignores_class_means_rotation_scale_shift_and_order():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 60)
    X_S, X_T = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    X_S[:, :4] += X_T
    before = found_for(X_S, X_T, y)
    Q, order = np.linalg.qr(rng.standard_normal((5, 5)))[0], rng.permutation(60)
    moved = 0.3 * X_S @ Q + 2 + 5 * rng.standard_normal((4, 5))[y]
    after = found_for(moved[order], X_T[order], y[order])
    assert (after.value, after.chance) == pytest.approx((before.value, before.chance), rel=1e-9)


def test_rows_shuffled_inside_classes_fall_to_chance_where_cka_stays_high():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 50)
    X_T = 4 * rng.standard_normal((10, 16))[y] + rng.standard_normal((500, 16))
    shuffled = np.concatenate([c + rng.permutation(50) for c in range(0, 500, 50)])
    scaled = well_scaled_sums(teacher=X_T, student=X_T[shuffled])
    found = within_class_cka(scaled, y)
    assert cka(centre(scaled).sums) > 0.9
    assert found.value == pytest.approx(found.chance, abs=0.01) and found.chance < 0.05
    assert within_class_cka(well_scaled_sums(teacher=X_T, student=X_T), y).value == pytest.approx(1, abs=1e-12)


def test_with_all_labels_equal_it_is_cka():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((30, 4)) + 3, rng.standard_normal((30, 4)) - 1
    plain = cka(centre(well_scaled_sums(teacher=X_T, student=X_S)).sums)
    assert found_for(X_S, X_T, np.zeros(30, int)).value == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_classes_of_one_example_have_no_inside(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    assert found_for(X, X, np.arange(n)) is None
    if n > 1:
        assert found_for(X, X, np.minimum(np.arange(n), n - 2)).value == pytest.approx(1)


@pytest.mark.parametrize("form", [lambda X: X, Normalised, whitened], ids=["stored", "unit rows", "whitened"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_that_is_the_same_within_classes_is_no_rounding_noise(form, dtype):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 200)
    collapsed = rng.standard_normal((5, 6))[y].astype(dtype)
    nearly = (collapsed * (1 + np.finfo(dtype).eps * rng.integers(0, 2, collapsed.shape))).astype(dtype)
    longer = collapsed * rng.uniform(1, 3, (200, 1)).astype(dtype)  # the same once rows have length 1
    whole = rng.standard_normal((200, 4))
    for X in (collapsed, nearly, *([longer] if form is Normalised else [])):
        assert found_for(form(X), whole, y) is None
        assert found_for(whole, form(X), y) is None
    assert found_for(form(collapsed + 1e-3 * rng.standard_normal(collapsed.shape)), whole, y) is not None


def test_another_number_of_classes_is_refused():
    with pytest.raises(Mismatch, match=r"classes have shape \(4,\), expected \(5,\)"):
        found_for(np.eye(5), np.eye(5), np.zeros(4, int))
