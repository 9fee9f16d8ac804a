"""Procrustes distance against dense formulas and closed forms, down to distances that a cosine cannot tell from 0."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity.procrustes import procrustes


def distance(X_S, X_T):
    return procrustes(centre(well_scaled_sums(teacher=X_T, student=X_S)))


def dense(X_S, X_T):
    """Rotate one into the other by SciPy, both padded, and measure what is left."""
    d = max(X_S.shape[1], X_T.shape[1])
    A, B = (np.pad(X - X.mean(axis=0), [(0, 0), (0, d - X.shape[1])]) for X in (X_S, X_T))
    A, B = A / np.linalg.norm(A), B / np.linalg.norm(B)
    return np.linalg.norm(A - B @ orthogonal_procrustes(B, A)[0])


@given(n=st.integers(2, 30), d_S=st.integers(1, 7), d_T=st.integers(1, 7), seed=st.integers(0, 2**16))
def test_it_is_what_the_best_rotation_leaves(n, d_S, d_T, seed):
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((n, d_S)) + 3, rng.standard_normal((n, d_T)) - 1
    assert distance(X_S, X_T) == pytest.approx(dense(X_S, X_T), rel=1e-9, abs=1e-14)
    assert distance(X_T, X_S) == pytest.approx(distance(X_S, X_T), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("e", [0.5, 1e-2, 1e-4, 1e-7, 1e-10, 1e-13])
@pytest.mark.parametrize("wider", ["neither", "teacher", "student", "teacher has more", "student has more"])
def test_small_distances_are_right_to_the_last_digits(e, wider):
    """Orthonormal columns, one a little longer and one a little shorter, or one lacking: cos = 1 / √(1 + e²)."""
    a, b = np.array([1.0, 1, -1, -1]) / 2, np.array([1.0, -1, 1, -1]) / 2
    X_T, X_S = np.stack([a, b], axis=1), np.stack([(1 + e) * a, (1 - e) * b], axis=1)
    if "more" in wider:
        X_T, X_S = np.stack([a, e * b], axis=1), a[:, None]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0][:2]
    X_T, X_S = X_T @ turn if wider == "teacher" else X_T, X_S @ turn if wider == "student" else X_S
    X_T, X_S = (X_S, X_T) if wider == "student has more" else (X_T, X_S)
    root = math.sqrt(1 + e * e)
    assert distance(X_S, X_T) == pytest.approx(math.sqrt(2) * e / math.sqrt(root * (root + 1)), rel=1e-9, abs=1e-15)


def test_equal_features_are_at_zero_and_orthogonal_ones_at_the_root_of_two():
    a, b = np.array([[1.0], [1], [-1], [-1]]), np.array([[1.0], [-1], [1], [-1]])
    assert distance(a, a) == 0.0
    assert distance(a, b) == math.sqrt(2)


def test_it_ignores_rotation_scale_shift_and_order():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((50, 6)), rng.standard_normal((50, 4))
    Q, order = np.linalg.qr(rng.standard_normal((6, 6)))[0], rng.permutation(50)
    assert distance((7 * X_S @ Q + 2)[order], X_T[order]) == pytest.approx(distance(X_S, X_T), rel=1e-12)
    assert distance(3 * X_T @ np.linalg.qr(rng.standard_normal((4, 4)))[0] - 1, X_T) < 1e-13


def test_it_is_a_metric():
    rng = np.random.default_rng(0)
    for _ in range(50):
        A, B, C = (rng.standard_normal((8, d)) + X for d, X in ((2, 0), (3, 1), (4, 0)))
        B[:, :2] += 3 * A
        assert distance(A, C) <= distance(A, B) + distance(B, C) + 1e-12


def test_a_constant_network_and_rows_read_once_and_too_close_have_no_distance():
    X = np.random.default_rng(0).standard_normal((20, 3))
    assert distance(np.ones((20, 2)), X) is None
    for e, known in ((1e-2, True), (1e-6, False)):
        scaled = well_scaled_sums(teacher=X, student=X + e * np.random.default_rng(1).standard_normal(X.shape))
        gone = centre(replace(scaled, once=True, constant=(False, False)))
        assert (procrustes(gone) is not None) == known
        assert not known or procrustes(gone) == pytest.approx(procrustes(centre(scaled)), rel=1e-8)
