"""Nyström sums against dense n × n algebra, and what must not change them."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from scipy.linalg import hadamard

from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.nystrom.choosing import class_means, given, kmeans, uniform
from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
from kernelscope.kernels.nystrom.nystrom import partial, partial_with
from tests.kernels.kernel_oracles import (
    DATA,
    LANDMARKS,
    features,
    half_inverse,
    kernel,
    master,
    means,
    nystrom,
    one_hot,
    tail,
    truth,
)
from tests.kernels.kernel_oracles import with_landmarks as landmarks_for

norm = np.linalg.norm


def pair(n: int = 30, d_S: int = 5, d_T: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d_S)), rng.standard_normal((n, d_T))


@drawn(m=st.integers(1, 8), seed=st.integers(0, 2**20))
def test_every_sum_is_that_of_the_dense_matrices(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T = pair(12, 5, 4, seed)
    D_S, D_T, y = rng.standard_normal((m, 5)), rng.standard_normal((m, 4)), rng.integers(-1, m, 12)
    sums = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=D_T, student=D_S, assignment=y))
    Y = one_hot(y, m)
    for X, D, found in ((X_S, D_S, sums.student), (X_T, D_T, sums.teacher)):
        C, W, K, F = X @ D.T, D @ D.T, kernel(X), X - Y @ D
        A, rest = C @ half_inverse(W), K - nystrom(X, D)
        r = min(D.shape)
        assert found.rank == r
        expected = {
            "K_norm": norm(K),
            "C_norm": norm(C),
            "W_norm": norm(W),
            "W_min": np.sort(np.linalg.eigvalsh(W))[-r],
            "A_norm_2": norm(A, 2),
            "Y_norm_2": norm(C @ np.linalg.pinv(W, rcond=1e-10, hermitian=True), 2),
            "residual": norm(rest),
            "tail": tail(X, r),
            "longest": max(norm(x) for x in X),
            "distances": sum(norm(f) for f in F),
            "FF_norm": norm(F @ F.T),
            "FX_norm": norm(F @ X.T),
        }
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-7, abs=1e-7), name
    dC, dW = X_S @ D_S.T - X_T @ D_T.T, D_S @ D_S.T - D_T @ D_T.T
    A_S, A_T = (X @ D.T @ half_inverse(D @ D.T) for X, D in ((X_S, D_S), (X_T, D_T)))
    np.testing.assert_allclose(sums.dC_squares, (dC**2).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sums.dC_sums, abs(dC).sum(axis=0), rtol=1e-12)
    assert sums.partial_norm == pytest.approx(norm(dC), rel=1e-12)
    assert sums.dW == pytest.approx(norm(dW), rel=1e-12)
    assert sums.dA == pytest.approx(norm(A_S - A_T), rel=1e-7)
    assert sums.dK == pytest.approx(norm(nystrom(X_S, D_S) - nystrom(X_T, D_T)), rel=1e-7)
    assert sums.expanded_norm == pytest.approx(norm(Y @ dC.T), rel=1e-12)
    assert sums.between is not None
    assert sums.across is not None
    case = landmarks_for("exact centres", X_S, X_T, np.zeros(12, int), rng)
    case.D_S, case.D_T, case.y = D_S, D_T, y
    assert np.sqrt(sums.between + sums.across) == pytest.approx(norm(master(case)), rel=1e-10)


@pytest.mark.parametrize("landmarks", LANDMARKS)
@pytest.mark.parametrize("data", DATA)
def test_the_master_identity_holds_for_any_landmarks(data: str, landmarks: str) -> None:
    rng = np.random.default_rng(3)
    case = landmarks_for(landmarks, *features(data, rng), rng)
    Y = one_hot(case.y, len(case.D_S))
    F_S, F_T = case.X_S - Y @ case.D_S, case.X_T - Y @ case.D_T
    whole = master(case) + kernel(F_S) - kernel(F_T)
    scale = norm(F_S) ** 2 + norm(F_T) ** 2 + norm(case.X_S) ** 2 + norm(case.X_T) ** 2
    assert norm(whole - (kernel(case.X_S) - kernel(case.X_T))) <= 1e-13 * scale
    sums = partial_with(
        teacher=case.X_T,
        student=case.X_S,
        landmarks=LandmarkVectors(teacher=case.D_T, student=case.D_S, assignment=case.y, exact_centres=case.exact),
    )
    assert sums.between is not None
    assert sums.across is not None
    assert np.sqrt(sums.between + sums.across) == pytest.approx(norm(master(case)), rel=1e-9, abs=1e-13 * scale)


@drawn(seed=st.integers(0, 2**20))
def test_only_the_span_of_the_landmarks_matters_to_the_approximation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T = pair(seed=seed)
    D_S, D_T, mix = X_S[:3], X_T[:3], rng.standard_normal((3, 3)) + 3 * np.eye(3)
    plain = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=D_T, student=D_S))
    for change in (mix, np.vstack([np.eye(3), np.eye(3)[:2]]), 1e3 * np.eye(3), 1e-3 * np.eye(3)[[2, 0, 1]]):
        other = partial_with(
            teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=change @ D_T, student=change @ D_S)
        )
        assert other.dK == pytest.approx(plain.dK, rel=1e-9)
        for a, b in ((plain.student, other.student), (plain.teacher, other.teacher)):
            assert b.residual == pytest.approx(a.residual, rel=1e-9)
            assert b.A_norm_2 == pytest.approx(a.A_norm_2, rel=1e-9)
            assert b.rank == 3


@drawn(seed=st.integers(0, 2**20), n=st.integers(1, 20), d=st.integers(1, 6), m=st.integers(1, 9))
def test_residuals_shrink_with_rank_and_with_landmarks_and_never_pass_the_tail(
    seed: int, n: int, d: int, m: int
) -> None:
    rng = np.random.default_rng(seed)
    X, other = rng.standard_normal((n, d)), rng.standard_normal((n, 2))
    D, D_other = X[rng.integers(0, n, m)], other[rng.integers(0, n, m)]

    def side(D: np.ndarray, D_other: np.ndarray, rank: int | None = None):
        return partial_with(
            teacher=X, student=other, landmarks=LandmarkVectors(teacher=D, student=D_other), rank=rank
        ).teacher

    by_rank = [side(D, D_other, k) for k in range(m + 1)]
    by_set = [side(D[: k + 1], D_other[: k + 1]) for k in range(m)]
    slack = 1e-12 * by_rank[0].K_norm
    assert by_rank[0].residual == pytest.approx(by_rank[0].K_norm, rel=1e-12)
    for chain in (by_rank, by_set):
        assert all(b.residual <= a.residual + slack for a, b in itertools.pairwise(chain))
        assert all(found.residual >= found.tail - slack for found in chain)
        assert all(found.A_norm_2 <= norm(X, 2) * (1 + 1e-12) for found in chain)
    if m >= d and np.linalg.matrix_rank(D) == d:
        assert by_set[-1].residual <= slack


def test_principal_directions_as_landmarks_attain_the_tail() -> None:
    X_S, X_T = pair(20, 6, 6)
    D = np.linalg.svd(X_T)[2][:3]
    side = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=D, student=D)).teacher
    assert side.residual == pytest.approx(side.tail, rel=1e-12)
    assert side.tail == pytest.approx(tail(X_T, 3), rel=1e-12)


def test_residuals_of_class_centres_are_within_class_scatter_at_most() -> None:
    X_S, X_T = pair(60)
    y = np.arange(60) % 3
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    for X, side in ((X_S, sums.student), (X_T, sums.teacher)):
        assert side.FF_norm is not None
        assert side.residual <= side.FF_norm <= norm(X - means(X, y, 3)[y]) ** 2


def test_coordinate_rows_of_a_hadamard_matrix_miss_what_they_do_not_name() -> None:
    H = hadamard(64).astype(float)
    columns = [0, 1, 2, 5, 9]
    D = np.eye(5)[:2]
    side = partial_with(
        teacher=H[:, columns], student=H[:, [3, 4]], landmarks=LandmarkVectors(teacher=D, student=np.eye(2))
    ).teacher
    assert side.residual == pytest.approx(64 * np.sqrt(3), rel=1e-14)
    assert side.tail == pytest.approx(64 * np.sqrt(3), rel=1e-14)


def test_a_residual_a_hundred_million_times_smaller_keeps_twelve_digits() -> None:
    rng = np.random.default_rng(1)
    X = np.hstack([rng.standard_normal((300, 3)), np.zeros((300, 3))])
    rest = 1e-4 * rng.integers(-8, 9, (300, 3)) / 8
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    X[:, 3:] = rest
    D = np.hstack([rng.standard_normal((4, 3)), np.zeros((4, 3))])
    side = partial_with(teacher=X @ Q, student=X, landmarks=LandmarkVectors(teacher=D @ Q, student=D)).teacher
    assert side.residual / side.K_norm < 1e-8
    assert side.residual == pytest.approx(norm(rest.T @ rest), rel=1e-12, abs=0)
    best = np.linalg.svd(X, compute_uv=False)[3:]
    assert side.tail == pytest.approx(norm(best**2), rel=1e-7, abs=0)


def test_landmarks_of_condition_ten_million_are_not_squared() -> None:
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((8, 4)))[0].T
    D = np.linalg.qr(rng.standard_normal((4, 4)))[0] @ (np.logspace(0, -7, 4)[:, None] * basis)
    X = rng.standard_normal((50, 8))
    side = partial_with(teacher=X, student=X, landmarks=LandmarkVectors(teacher=D, student=D)).teacher
    rest = X - (X @ basis.T) @ basis
    assert side.rank == 4
    assert side.residual == pytest.approx(norm(rest.T @ rest), rel=1e-8)


@pytest.mark.parametrize("eta", [1e-2, 1e-5, 1e-8, 1e-10])
def test_the_difference_of_approximations_survives_near_equal_networks(eta: float) -> None:
    rng = np.random.default_rng(4)
    X_T = rng.integers(-4, 5, (40, 6)).astype(float)
    step = 2.0 ** round(np.log2(eta / 2))
    X_S = X_T * (1 + step)  # K_S = (1 + step)² K_T, and so with K~
    sums = partial(teacher=X_T, student=X_S, landmarks=given([0, 7, 9], 40))
    assert sums.dK == pytest.approx((2 * step + step**2) * norm(nystrom(X_T, X_T[[0, 7, 9]])), rel=1e-4, abs=0)


def test_equal_networks_differ_in_nothing() -> None:
    X = pair()[0]
    sums = partial(teacher=X, student=X.copy(), landmarks=class_means(np.arange(30) % 4))
    assert sums.partial_norm == sums.dW == sums.between == sums.across == sums.within == sums.dK == 0
    assert sums.dA <= 1e-14 * norm(X)


def test_stored_precision_decides_the_rank_and_not_the_arithmetic() -> None:
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200, 5))
    X[:, 4] = X[:, 0] + 1e-7 * rng.standard_normal(200)
    sums = partial(teacher=X.astype(np.float32), student=X, landmarks=uniform(200, 20))
    assert (sums.teacher.rank, sums.student.rank) == (4, 5)


@pytest.mark.parametrize("choose", [lambda y: class_means(y), lambda y: kmeans(X_LONG, 9), lambda y: uniform(4500, 30)])
def test_blocks_of_rows_and_given_grams_change_nothing(choose, tmp_path: Path) -> None:
    teacher, student = X_LONG, X_LONG[:, ::2].copy()
    landmarks = choose(np.arange(4500) % 11)
    whole = partial(teacher=teacher.astype(np.float64), student=student.astype(np.float64), landmarks=landmarks)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        stored = file.create_dataset("x", data=teacher)
        grams = gram_sums(teacher=stored, student=student)
        streamed = partial(teacher=stored, student=student, landmarks=landmarks, sums=grams)
    K = kernel(student.astype(np.float64)) - kernel(teacher.astype(np.float64))
    D = landmarks.of(student), landmarks.of(teacher)
    assert whole.partial_norm == pytest.approx(norm(student @ D[0].T - teacher @ D[1].T), rel=1e-6)
    assert streamed.partial_norm == pytest.approx(whole.partial_norm, rel=1e-13)
    assert streamed.dK == pytest.approx(whole.dK, rel=1e-12)
    assert streamed.teacher.residual == pytest.approx(whole.teacher.residual, rel=1e-12, abs=1e-12 * norm(K))
    if landmarks.is_partition:
        assert streamed.between is not None
        assert streamed.across is not None
        assert streamed.within is not None
        assert streamed.between + streamed.across + streamed.within == pytest.approx(norm(K) ** 2, rel=1e-12)


X_LONG = np.random.default_rng(8).standard_normal((4500, 6)).astype(np.float32)


def test_the_expanded_estimate_of_exact_centres_is_at_most_the_loss() -> None:
    X_S, X_T = pair(200)
    y = np.random.default_rng(0).integers(0, 10, 200)
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    f = truth(X_S, X_T)
    assert sums.expanded_norm is not None
    assert sums.expanded_norm <= f
    smallest = np.bincount(y).min()
    assert f >= np.sqrt(smallest) * sums.partial_norm
    assert sums.expanded_estimate == sums.expanded_norm / sums.teacher.K_norm
    assert sums.paper_estimate == sums.partial_norm / sums.teacher.K_norm
    assert sums.partial_ratio == sums.partial_norm / sums.teacher.C_norm


def test_given_rows_have_no_expanded_estimate_and_zero_landmarks_no_ratio() -> None:
    X_S, X_T = pair()
    assert partial(teacher=X_T, student=X_S, landmarks=given([0, 1], 30)).expanded_estimate is None
    X_T[3] = 0
    assert partial(teacher=X_T, student=X_S, landmarks=given([3], 30)).partial_ratio is None


def test_uniform_landmarks_are_unbiased() -> None:
    X_S, X_T = pair(60, 4, 3, seed=9)
    f, m, draws = truth(X_S, X_T), 15, 400
    found = [partial(teacher=X_T, student=X_S, landmarks=uniform(60, m, seed)).expanded_norm for seed in range(draws)]
    squares = np.array([value for value in found if value is not None]) ** 2
    assert len(squares) == draws
    assert abs(squares.mean() - f**2) <= 4 * squares.std() / np.sqrt(draws)


def test_all_rows_as_landmarks_give_the_loss_itself() -> None:
    X_S, X_T = pair(25)
    sums = partial(teacher=X_T, student=X_S, landmarks=uniform(25, 25))
    assert sums.expanded_norm == pytest.approx(truth(X_S, X_T), rel=1e-12)


def test_the_error_falls_to_nothing_once_the_landmarks_span_the_features() -> None:
    X_S, X_T = pair(100, 5, 8)
    grams = gram_sums(teacher=X_T, student=X_S)
    points = [partial(teacher=X_T, student=X_S, landmarks=uniform(100, m, 3), sums=grams) for m in (1, 2, 4, 8, 16)]
    residuals = [p.over_teacher(p.teacher.residual) for p in points]
    rounding = 1e-13  # once the landmarks span the features, what is left is in no order
    assert all(later <= max(earlier, rounding) for earlier, later in itertools.pairwise(residuals))
    assert residuals[-1] < rounding < residuals[2]
    assert all(p.over_teacher(p.teacher.tail) <= residual + 1e-15 for p, residual in zip(points, residuals))
    loss = truth(X_S, X_T) / norm(kernel(X_T))
    assert points[-1].over_teacher(points[-1].dK) == pytest.approx(loss, rel=1e-12)
    assert points[-1].expanded_estimate == pytest.approx(np.sqrt(100 / 16) * points[-1].paper_estimate)


def test_what_does_not_fit_is_refused() -> None:
    X_S, X_T = pair()
    landmarks = class_means(np.arange(30) % 3)
    with pytest.raises(Mismatch, match="groups of 30 examples, features have 29"):
        partial(teacher=X_T, student=X_S[1:], landmarks=landmarks)
    with pytest.raises(Mismatch, match="as many landmarks for both networks"):
        partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=X_T[:2], student=X_S[:3]))
    with pytest.raises(Mismatch, match="there are no landmarks"):
        partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=X_T[:0], student=X_S[:0]))
    with pytest.raises(Mismatch, match="must name one of 2 landmarks"):
        partial_with(
            teacher=X_T,
            student=X_S,
            landmarks=LandmarkVectors(teacher=X_T[:2], student=X_S[:2], assignment=np.full(30, 2)),
        )
    with pytest.raises(Mismatch, match="landmarks hold NaN"):
        partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=X_T[:2] * np.nan, student=X_S[:2]))
    for scale in (1e200, 1e80, 1e-80):
        with pytest.raises(DegenerateKernel, match=r"(multiply all features|divide both) by a common factor"):
            partial(teacher=X_T * scale, student=X_S * min(1, scale), landmarks=landmarks)
    with pytest.raises(DegenerateKernel, match="teacher features are all zero"):
        _ = partial(teacher=X_T * 0, student=X_S, landmarks=landmarks).paper_estimate
    for bad, rows in ((np.nan, [0, 1]), (np.inf, [5, 6])):
        spoilt = X_S.copy()
        spoilt[5, 0] = bad
        with pytest.raises(NumericalError, match="student features hold 1 NaN or infinite values, first in row 5"):
            partial(teacher=X_T, student=spoilt, landmarks=given(rows, 30))
        with pytest.raises(NumericalError, match="student features hold 1"):
            partial(teacher=X_T, student=spoilt, landmarks=landmarks)


def test_a_row_alone_in_its_group_is_at_no_distance_from_it() -> None:
    rng = np.random.default_rng(12)
    X = rng.standard_normal((300, 5)) * [1, 1, 1, 1, 1e-3]
    y = np.r_[np.arange(100), np.full(200, 100)]  # a hundred groups of one, and one of the rest
    sums = partial(teacher=X, student=X[:, :3], landmarks=class_means(y))
    for side, rows in ((sums.teacher, X), (sums.student, X[:, :3])):
        rest = rows[100:] - rows[100:].mean(axis=0)
        assert side.distances == pytest.approx(np.linalg.norm(rest, axis=1).sum(), rel=1e-12)
