"""Every rung against a dense projection, a least-squares search, or a closed form."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums, well_scaled_sums
from kernelscope.kernels.self_check.attacks import head_by_rows
from kernelscope.kernels.self_check.whole_numbers import exact_squares
from kernelscope.kernels.similarity.head import best_head, head_held_out
from kernelscope.kernels.similarity.ladder import Rungs, best_scaled, rungs


def climb(X_S, X_T) -> tuple[float, Rungs]:
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    found = rungs(scaled, centre(scaled))
    for rung in (found.scaled, found.centred, found.head, found.head_held_out, found.width_floor):
        assert rung is None or rung.interval[0] <= rung <= rung.interval[1]
    return loss_from_sums(scaled).value, found


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
    _, found = climb(rng.standard_normal((250, 60)), rng.standard_normal((250, 5)))
    assert found.head_held_out > found.head + 0.1


def test_an_all_zero_student_stays_at_one():
    X = np.random.default_rng(0).standard_normal((50, 3))
    raw, found = climb(np.zeros((50, 2)), X)
    assert raw == pytest.approx(1)
    assert found.scaled == found.head == 1.0


MIXINGS = {
    "condition 1e4": lambda X, U, V: X @ (U * np.logspace(0, -4, X.shape[1])) @ V.T,
    "condition 1e8": lambda X, U, V: X @ (U * np.logspace(0, -8, X.shape[1])) @ V.T,
    "half of the directions, condition 1e8": lambda X, U, V: X @ (U * np.logspace(0, -8, X.shape[1]))[:, ::2],
    "channel scales to 1e-10": lambda X, U, V: X @ U[:, ::2] * np.logspace(0, -10, X.shape[1] // 2),
    "float32 channel scales": lambda X, U, V: (X @ U * np.logspace(0, -7, X.shape[1])).astype(np.float32),
    "offset 1e4": lambda X, U, V: 1e4 + X @ U[:, ::2],
    "offset 1e6": lambda X, U, V: 1e6 + X @ U[:, ::2],
    "float32 offset 1e3": lambda X, U, V: (1e3 + X @ U[:, ::2]).astype(np.float32),
    "collinear to 1e-7": lambda X, U, V: np.hstack([X[:, :5], X[:, :5] + 1e-7 * X[:, 5:10]]),
    "noise": lambda X, U, V: np.random.default_rng(9).standard_normal(X.shape),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("n", "d"), [(500, 32), (3000, 64)])
@pytest.mark.parametrize("mixing", MIXINGS)
def test_the_head_equals_a_decomposition_of_the_rows(mixing, n, d, seed):
    rng = np.random.default_rng(seed)
    X_T = np.maximum(rng.standard_normal((10, d))[rng.integers(10, size=n)] + rng.standard_normal((n, d)), 0)
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    X_S = MIXINGS[mixing](X_T, U, V)
    found = best_head(well_scaled_sums(teacher=X_T, student=X_S))
    truth = head_by_rows(student=X_S, teacher=X_T)
    assert found == pytest.approx(truth, abs=1e-8)
    assert found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
    assert found.rank == X_S.shape[1]


def test_the_oracle_of_the_head_is_the_projection():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((60, 4)), rng.standard_normal((60, 5))
    assert head_by_rows(student=X_S, teacher=X_T) == pytest.approx(dense_head(X_S, X_T), rel=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 500 * 2.0**-53), (np.float32, 2.0**-24)])
def test_directions_below_rounding_are_cut_and_the_tolerance_is_told(dtype, tolerance):
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((500, 12))
    X_S = (X_T[:, :4] @ rng.standard_normal((4, 9))).astype(dtype)
    found = best_head(well_scaled_sums(teacher=X_T, student=X_S))
    assert (found.rank, found.columns) == (4, 9)
    assert found.tolerance == tolerance
    assert found == pytest.approx(dense_head(X_T[:, :4], X_T), rel=1e-6)


def test_the_held_out_head_of_an_ill_conditioned_mixing_is_least_squares():
    rng = np.random.default_rng(0)
    X_T = np.maximum(rng.standard_normal((800, 24)) + 0.5, 0)
    U, V = (np.linalg.qr(rng.standard_normal((24, 24)))[0] for _ in range(2))
    X_S = X_T[:, :] @ (U * np.logspace(0, -8, 24))[:, :20] @ V[:20, :20] + 0.0
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    squares = []
    for fit in (0, 1):
        A = np.linalg.lstsq(X_S[fit::2], X_T[fit::2], rcond=1e-14)[0]
        K, K_T = X_S[1 - fit :: 2] @ A, X_T[1 - fit :: 2]
        squares.append((np.linalg.norm(K @ K.T - K_T @ K_T.T) / np.linalg.norm(K_T @ K_T.T)) ** 2)
    assert head_held_out(scaled) == pytest.approx(np.sqrt(np.mean(squares)), abs=1e-7)


def test_a_head_is_held_out_only_where_a_half_has_two_rows_per_feature():
    rng = np.random.default_rng(0)
    for n, there in ((39, False), (40, True)):
        scaled = well_scaled_sums(
            teacher=rng.standard_normal((n, 3)), student=rng.standard_normal((n, 10)), halves=True
        )
        assert (head_held_out(scaled) is not None) == there


@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-5, 1e-2, 0.5])
def test_the_interval_of_the_scalar_rung_contains_the_exact_remainder(noise):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X_T = np.maximum(rng.standard_normal((3000, 12)) + 0.5, 0)
        turn = np.linalg.qr(rng.standard_normal((12, 12)))[0] if noise else np.eye(12)
        X_S = 0.7 * (X_T + noise * rng.standard_normal(X_T.shape)) @ turn
        rung = best_scaled(well_scaled_sums(teacher=X_T, student=X_S))
        own, (difference, teacher) = (
            exact_squares(student=0 * X_S, teacher=X_S),
            exact_squares(student=X_S, teacher=X_T),
        )
        inner = (own[1] + teacher - difference) / 2
        squared = 1 - inner * inner / (own[1] * teacher)
        assert Fraction(rung.interval[0]) ** 2 <= squared <= Fraction(rung.interval[1]) ** 2
        assert rung.interval[1] - rung.interval[0] <= max(2e-6 * rung, 2e-9)


@pytest.mark.parametrize("scale", [0.75, 1.25, 3.0])
def test_a_scalar_that_rounds_does_not_lift_the_rung_of_a_perfect_student(scale):
    X = np.random.default_rng(0).integers(-9, 9, (900, 7)).astype(float)
    rung = best_scaled(well_scaled_sums(teacher=X, student=scale * X))
    assert rung.interval[0] == 0
    assert rung <= 1e-15
