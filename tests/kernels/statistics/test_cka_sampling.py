"""Debiased CKA without each example, against forming every kernel anew."""

import numpy as np
import pytest

from kernelscope.kernels.statistics.cka_sampling import HollowKernel, cka_without_each
from kernelscope.kernels.statistics.jackknife import estimated

RNG = np.random.default_rng(0)


def u_centred(X):
    K = X @ X.T
    np.fill_diagonal(K, 0)
    m = len(K)
    k = K.sum(axis=1)
    U = K - (k[:, None] + k) / (m - 2) + k.sum() / ((m - 1) * (m - 2))
    np.fill_diagonal(U, 0)
    return U


def dense(S, T):
    U, V = u_centred(S), u_centred(T)
    return (U * V).sum() / np.sqrt((U * U).sum() * (V * V).sum())


def kernels(*features):
    return [HollowKernel.of(X, np.arange(len(X))) for X in features]


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_leaving_an_example_out_is_forming_the_kernels_without_it(offset):
    T = RNG.standard_normal((24, 5)) + offset
    S = T @ RNG.standard_normal((5, 3)) + RNG.standard_normal((24, 3))
    found = cka_without_each(*kernels(S, T))
    assert found.full == pytest.approx(dense(S, T), rel=1e-7)
    expected = [dense(np.delete(S, i, axis=0), np.delete(T, i, axis=0)) for i in range(24)]
    assert found.left_out == pytest.approx(expected, rel=1e-7)


def test_equal_layers_have_a_cka_of_one_whoever_is_left_out():
    found = cka_without_each(*kernels(*[RNG.standard_normal((30, 4))] * 2))
    assert np.r_[found.full, found.left_out] == pytest.approx(1, abs=1e-12)


def test_nine_examples_have_no_interval_and_a_constant_layer_has_no_kernel():
    assert cka_without_each(*kernels(*RNG.standard_normal((2, 9, 4)))) is None
    assert kernels(np.ones((20, 3))) == [None]


def test_intervals_of_a_mean_hold_it_as_often_as_they_say():
    draws = RNG.exponential(size=(2000, 60))
    held = 0
    for x in draws:
        low, high = estimated(x.mean(), (x.sum() - x) / 59).interval
        held += low <= 1 <= high
    assert 0.91 < held / 2000 < 0.965


def test_intervals_of_cka_hold_that_of_the_population():
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((4, 6)), rng.standard_normal((4, 5))

    def drawn(n):
        Z = rng.standard_normal((n, 4))
        return Z @ A + rng.standard_normal((n, 6)), Z @ B + rng.standard_normal((n, 5))

    truth = dense(*drawn(4000))
    inside = 0
    for _ in range(200):
        found = cka_without_each(*kernels(*drawn(120)))
        low, high = estimated(found.full, found.left_out).interval
        inside += low <= truth <= high
    assert 0.89 <= inside / 200 <= 0.995
