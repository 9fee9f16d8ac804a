"""Every rung against a dense projection, a least-squares search, or a closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from kernelscope.kernels.companions import centred
from kernelscope.kernels.exact import loss_from_sums, well_scaled_sums
from kernelscope.kernels.ladder import Rungs, rungs


def climb(X_S, X_T) -> tuple[float, Rungs]:
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    return loss_from_sums(scaled).value, rungs(scaled, centred(scaled))


def dense_head(X_S, X_T):
    P = X_S @ np.linalg.pinv(X_S)
    K = X_T @ X_T.T
    return np.linalg.norm(K - P @ K @ P) / np.linalg.norm(K)


@given(n=st.integers(2, 40), d_S=st.integers(1, 6), d_T=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_rungs_equal_dense_formulas_and_never_rise(n, d_S, d_T, seed):
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((n, d_T)) + 1
    X_S = rng.standard_normal((n, d_S)) + 0.5 * X_T[:, :1]
    raw, found = climb(X_S, X_T)
    K_S, K_T = X_S @ X_S.T, X_T @ X_T.T
    a = np.sum(K_S * K_T) / np.sum(K_S * K_S)
    assert found.scaled == pytest.approx(np.linalg.norm(a * K_S - K_T) / np.linalg.norm(K_T), rel=1e-6, abs=1e-9)
    assert found.head == pytest.approx(dense_head(X_S, X_T), rel=1e-6, abs=1e-9)
    s = np.linalg.svd(X_T, compute_uv=False)
    floor = np.sqrt(np.sum(s[d_S:] ** 4)) / np.linalg.norm(K_T)
    assert found.width_floor == pytest.approx(floor, rel=1e-6, abs=1e-9)
    assert raw >= found.scaled - 1e-9
    assert found.scaled >= found.head - 1e-9
    assert found.head >= found.width_floor - 1e-9


@given(seed=st.integers(0, 99))
def test_no_symmetric_matrix_beats_the_head(seed):
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((12, 3)), rng.standard_normal((12, 4))
    K_T = X_T @ X_T.T
    # least squares over all M: the unknowns of X_S M X_Sᵀ = K_T
    design = np.einsum("ia,jb->ijab", X_S, X_S).reshape(144, 9)
    M = np.linalg.lstsq(design, K_T.ravel(), rcond=None)[0]
    best = np.linalg.norm(design @ M - K_T.ravel()) / np.linalg.norm(K_T)
    assert climb(X_S, X_T)[1].head == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("s", [0.3, 2.0, 17.0, 1e-3])
def test_a_scaled_teacher_is_perfect_at_the_scalar_rung(s):
    X_T = np.random.default_rng(0).standard_normal((400, 12)) + 1
    raw, found = climb(s * X_T, X_T)
    assert raw == pytest.approx(abs(s * s - 1), rel=1e-9)
    assert found.scaled < 1e-13
    assert found.centred < 1e-13
    assert found.head < 1e-13


def test_an_invertible_mixing_of_the_teacher_is_perfect_at_the_head_rung():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((400, 12)) + 1
    raw, found = climb(X_T @ rng.standard_normal((12, 12)), X_T)
    assert raw > 0.5
    assert found.scaled > 0.3
    assert found.head <= 1e-10
    assert found.head_held_out <= 1e-6


def test_pca_16_of_centred_digits_reaches_its_width_floor():
    X = load_digits().data / 16
    X = X - X.mean(axis=0)
    V = np.linalg.svd(X, full_matrices=False)[2]
    raw, found = climb(X @ V[:16].T, X)
    for rung in (raw, found.head, found.width_floor):
        assert rung == pytest.approx(0.118028206427, abs=5e-13)


def test_a_mean_offset_is_repaired_at_the_centred_rung_only():
    X = np.random.default_rng(0).standard_normal((300, 6))
    _, found = climb(X + 5, X)
    assert found.scaled > 0.5
    assert found.centred < 1e-12


def test_head_of_a_student_with_dead_and_repeated_features_is_still_right():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((200, 6))
    X_S = np.hstack([X_T[:, :3], np.zeros((200, 2)), X_T[:, :2] + X_T[:, 1:3]])
    _, found = climb(X_S, X_T)
    assert found.head == pytest.approx(dense_head(X_T[:, :3], X_T), rel=1e-9)


def test_held_out_head_is_worse_than_in_sample_where_the_student_overfits():
    rng = np.random.default_rng(0)
    _, found = climb(rng.standard_normal((150, 60)), rng.standard_normal((150, 5)))
    assert found.head_held_out > found.head + 0.1


def test_an_all_zero_student_stays_at_one():
    X = np.random.default_rng(0).standard_normal((50, 3))
    raw, found = climb(np.zeros((50, 2)), X)
    assert raw == pytest.approx(1)
    assert found.scaled == found.head == 1.0
