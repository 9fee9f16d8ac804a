"""Alignment, CKA and scale against dense n × n formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity.alignment import alignment, optimal_scale, scale_ratio
from kernelscope.kernels.similarity.cka import cka, cka_debiased
from kernelscope.kernels.statistics.moments import both_moments


def sums_of(X_S, X_T):
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    middle = centre(scaled)
    own = both_moments(middle)
    return scaled.sums, middle.sums, (np.zeros(1), np.zeros(1)) if own is None else [each.entries for each in own]


def dense_centred(X):
    H = np.eye(len(X)) - 1 / len(X)
    return H @ (X @ X.T) @ H


def dense_hsic_1(K, L):
    """Song et al. 2012, eq. 5, on n × n kernels."""
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (np.trace(K @ L) + middle - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3))


@given(n=st.integers(4, 30), d_S=st.integers(1, 6), d_T=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_companions_equal_their_dense_formulas(n, d_S, d_T, seed):
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((n, d_S)) + 2, rng.standard_normal((n, d_T)) - 1
    K_S, K_T = X_S @ X_S.T, X_T @ X_T.T
    sums, middle, moments = sums_of(X_S, X_T)
    inner = np.sum(K_S * K_T)
    assert alignment(sums) == pytest.approx(inner / np.linalg.norm(K_S) / np.linalg.norm(K_T), rel=1e-11)
    assert optimal_scale(sums) == pytest.approx(inner / np.linalg.norm(K_S) ** 2, rel=1e-11)
    assert scale_ratio(sums) == pytest.approx(np.linalg.norm(K_S) / np.linalg.norm(K_T), rel=1e-11)
    C_S, C_T = dense_centred(X_S), dense_centred(X_T)
    expected = np.sum(C_S * C_T) / np.linalg.norm(C_S) / np.linalg.norm(C_T)
    assert cka(middle) == pytest.approx(expected, rel=1e-9)
    own = dense_hsic_1(K_S, K_S), dense_hsic_1(K_T, K_T)
    if min(own) > 1e-9:
        debiased = dense_hsic_1(K_S, K_T) / math.sqrt(own[0] * own[1])
        assert cka_debiased(middle, *moments) == pytest.approx(debiased, rel=1e-7, abs=1e-9)


def test_the_law_of_cosines_ties_loss_scale_and_alignment():
    rng = np.random.default_rng(0)
    sums, _, _ = sums_of(rng.standard_normal((90, 5)), rng.standard_normal((90, 7)))
    rho, cos = scale_ratio(sums), alignment(sums)
    loss = math.sqrt(sums.difference_squared) / sums.norm_teacher
    assert loss**2 == pytest.approx((rho - cos) ** 2 + 1 - cos**2, rel=1e-12)
    assert optimal_scale(sums) == pytest.approx(cos / rho, rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e5, 1e7])
def test_a_common_offset_does_not_reach_cka(offset):
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((400, 6)), rng.standard_normal((400, 5))
    _, plain, plain_moments = sums_of(X_S, X_T)
    _, moved, moved_moments = sums_of(X_S + offset, X_T + offset)
    tolerance = 1e-9 if offset < 1e6 else 1e-7  # the features themselves lose digits to the offset
    assert cka(moved) == pytest.approx(cka(plain), abs=tolerance)
    assert cka_debiased(moved, *moved_moments) == pytest.approx(cka_debiased(plain, *plain_moments), abs=tolerance)


def test_debiased_cka_of_unrelated_networks_is_near_zero_and_signed():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(40):
        _, middle, moments = sums_of(rng.standard_normal((64, 128)), rng.standard_normal((64, 128)))
        values.append(cka_debiased(middle, *moments))
        assert cka(middle) > 0.5  # the biased one calls them similar
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(40) + 1e-3


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_cka_ignores_scale_rotation_and_order(scale, seed):
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((40, 4)), rng.standard_normal((40, 5))
    Q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    order = rng.permutation(40)
    _, plain, moments = sums_of(X_S, X_T)
    _, other, other_moments = sums_of((scale * X_S @ Q)[order], X_T[order])
    assert cka(other) == pytest.approx(cka(plain), rel=1e-9)
    assert cka_debiased(other, *other_moments) == pytest.approx(cka_debiased(plain, *moments), rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_sets_give_none_where_nothing_is_defined(n):
    rng = np.random.default_rng(0)
    _, middle, moments = sums_of(rng.standard_normal((n, 2)), rng.standard_normal((n, 2)))
    assert cka_debiased(middle, *moments) is None
    if n == 1:
        assert cka(middle) is None


def test_a_constant_student_has_no_cka():
    rng = np.random.default_rng(0)
    _, middle, moments = sums_of(np.ones((20, 3)), rng.standard_normal((20, 2)))
    assert cka(middle) is None
    assert cka_debiased(middle, *moments) is None
