"""The first k features against slices of the features themselves, in whole numbers where an interval is claimed."""

from dataclasses import replace

import numpy as np
import pytest

from kernelscope.errors import UsageError
from kernelscope.kernels.distance.centring import centre, without_mean
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.row_views import Affine, Normalised
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.ladder import best_scaled
from kernelscope.kernels.similarity.prefixes import prefix, require_dims
from tests.kernels.integer_oracle import lies_in


def some_pair(n=150, d_S=6, d_T=9, noise=0.4, offset=0.0):
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((n, d_T)) * np.linspace(2, 0.5, d_T) + offset
    X_S = np.hstack([X_T, X_T])[:, :d_S] + noise * rng.standard_normal((n, d_S))
    return X_S, X_T


def dense(X_S, X_T):
    K, L = X_S @ X_S.T, X_T @ X_T.T
    H = np.eye(len(K)) - 1 / len(K)
    cosine = np.sum(K * L) / np.linalg.norm(K) / np.linalg.norm(L)
    C, D = H @ K @ H, H @ L @ H
    return (
        np.linalg.norm(K - L) / np.linalg.norm(L),
        np.sqrt(1 - cosine**2),
        np.sum(C * D) / np.linalg.norm(C) / np.linalg.norm(D),
    )


def numbers(found):
    return found.loss.value, found.scaled, found.cka


@pytest.mark.parametrize("k", [1, 2, 5, 6, 7, 9])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_a_prefix_is_both_networks_cut_and_measured(k, offset):
    X_S, X_T = some_pair(offset=offset)
    found = prefix(well_scaled_sums(teacher=X_T, student=X_S), k)
    assert numbers(found) == pytest.approx(dense(X_S[:, :k], X_T[:, :k]), rel=1e-6 if offset else 1e-9)
    assert found.loss.certified and found.dims == k


@pytest.mark.parametrize("noise", [0.4, 1e-5, 1e-10])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_interval_holds_the_exact_loss_of_the_prefix(noise, k):
    X_S, X_T = some_pair(n=60, noise=noise)
    found = prefix(well_scaled_sums(teacher=X_T, student=X_S), k)
    assert lies_in(X_S[:, :k], X_T[:, :k], found.loss.interval)
    assert found.loss.resolved


def test_rows_of_length_one_are_scaled_anew_and_centred_ones_are_not():
    X_S, X_T = some_pair(offset=1.0)

    def unit(X):
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    for form, plain in (
        (Normalised, lambda X, k: unit(X[:, :k])),
        (without_mean, lambda X, k: (X - X.mean(axis=0))[:, :k]),
        (lambda X: Normalised(without_mean(X)), lambda X, k: unit((X - X.mean(axis=0))[:, :k])),
        (lambda X: Affine(Normalised(X), scale=3.0), lambda X, k: 3 * unit(X[:, :k])),
    ):
        scaled = well_scaled_sums(teacher=form(X_T), student=form(X_S))
        for k in (3, 6, 8):
            found = prefix(scaled, k)
            assert numbers(found) == pytest.approx(dense(plain(X_S, k), plain(X_T, k)), rel=1e-9), k


def test_the_sums_of_a_grid_have_the_same_prefixes():
    X_S, X_T = some_pair()
    sums = layer_sums(teacher={"t": X_T}, student={"s": X_S}).pair("t", "s")
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    for k in (2, 6):
        assert numbers(prefix(replace(scaled, sums=sums), k)) == pytest.approx(numbers(prefix(scaled, k)), rel=1e-9)


def test_a_whole_prefix_is_the_pair_and_an_equal_one_is_exactly_zero():
    X_S, X_T = some_pair()
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    whole = prefix(scaled, 9)
    assert whole.scaled == pytest.approx(best_scaled(scaled), rel=1e-12)
    assert whole.cka == pytest.approx(cka(centre(scaled).sums), rel=1e-12)
    X_S = np.hstack([X_T[:, :4], X_S[:, :3]])
    found = prefix(well_scaled_sums(teacher=X_T, student=X_S), 4)
    assert (found.loss.value, found.loss.interval, found.scaled) == (0.0, (0.0, 0.0), 0.0)


def test_a_rotation_inside_a_prefix_changes_nothing_and_one_across_it_does():
    X_S, X_T = some_pair(d_S=9)
    rng = np.random.default_rng(1)
    inside = np.eye(9)
    inside[:4, :4], inside[4:, 4:] = (np.linalg.qr(rng.standard_normal((m, m)))[0] for m in (4, 5))
    across = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    before, same, other = (
        numbers(prefix(well_scaled_sums(teacher=X_T, student=X_S @ Q), 4)) for Q in (np.eye(9), inside, across)
    )
    assert same == pytest.approx(before, rel=1e-9)
    assert abs(other[0] - before[0]) > 1e-2


@pytest.mark.parametrize("scale", [1e-90, 1e90, 1e-160])
def test_prefixes_of_another_magnitude_than_the_rest_are_measured_alike(scale):
    X_S, X_T = some_pair()
    factors = np.where(np.arange(9) < 3, scale, 1.0)
    found = prefix(well_scaled_sums(teacher=X_T * factors, student=X_S * factors[:6]), 3)
    assert numbers(found) == pytest.approx(dense(X_S[:, :3], X_T[:, :3]), rel=1e-9)


def test_a_dead_prefix_has_no_loss_and_a_constant_one_no_cka():
    X_S, X_T = some_pair()
    X_T[:, :2] = 0
    assert prefix(well_scaled_sums(teacher=X_T, student=X_S), 2) is None
    X_T[:, :2] = 4
    assert prefix(well_scaled_sums(teacher=X_T, student=X_S), 2).cka is None


@pytest.mark.parametrize("dims", [(), (0,), (-1, 2), (4, 4), (8, 4), (2.0,), ("4",), (True, 2)])
def test_dims_that_are_no_rising_whole_numbers_are_refused(dims):
    with pytest.raises(UsageError, match="not whole numbers from 1 on in rising order"):
        require_dims(dims)
    assert require_dims([np.int64(2), 8]) == (2, 8)
