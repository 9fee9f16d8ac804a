"""Strongest eigenvectors of K_S − K_T against dense ones, closed forms, and eigenvalues of 50 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.distance.tsqr import r_factor
from kernelscope.kernels.nystrom.spectrum import decomposed, decomposed_gram
from kernelscope.kernels.similarity.difference_eigenvectors import Eigenspace, difference_eigenvectors
from tests.kernels.kernel_oracles import DATA, features, kernel

norm = np.linalg.norm


def found(X_S: np.ndarray, X_T: np.ndarray, *, by_rows: bool = False, **asked: int) -> list[Eigenspace]:
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    d_S = X_S.shape[1]
    both = decomposed(r_factor(scaled.student, scaled.teacher), d_S) if by_rows else None
    return difference_eigenvectors(scaled, both or decomposed_gram(scaled.sums.gram, d_S), **asked)


def vector(space: Eigenspace, n: int) -> np.ndarray:
    v = np.zeros(n)
    v[space.positive.rows], v[space.negative.rows] = space.positive.entries, -space.negative.entries
    return v


def lost_column(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A student that lacks the teacher's last column, and has the first 1.5 times."""
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((n, 3)))[0] * [4, 3, 2]
    return X[:, :2] * [1.5, 1], X


@settings(max_examples=60)
@drawn(kind=st.sampled_from(DATA), by_rows=st.booleans(), seed=st.integers(0, 2**20))
def test_they_solve_the_dense_eigenproblem(kind: str, by_rows: bool, seed: int) -> None:
    X_S, X_T, _ = features(kind, np.random.default_rng(seed))
    D, n = kernel(X_S) - kernel(X_T), len(X_S)
    scale = norm(X_S) ** 2 + norm(X_T) ** 2
    if not X_T.any() or norm(D) < 1e-3 * scale:  # smaller ones: see below
        return
    dense, V = np.linalg.eigh(D)
    for space in found(X_S, X_T, by_rows=by_rows, at_an_end=n):
        near = np.abs(dense - space.eigenvalue)
        assert space.low - 1e-14 * scale <= dense[near.argmin()] <= space.high + 1e-14 * scale
        if space.dimension == 1:
            v = vector(space, n)
            assert norm(D @ v - space.eigenvalue * v) <= 0.51 * (space.high - space.low) + 1e-13 * scale
            assert norm(v) == pytest.approx(1, abs=1e-7 + (space.high - space.low) / abs(space.eigenvalue))
            assert v[np.abs(v).argmax()] > 0
        else:
            members, others = np.split(near.argsort(), [space.dimension])
            inside, gap = V[:, members], near[others].min(initial=np.inf) - near[members].max()
            turned = 4 * (space.high - space.low) / gap  # by as much as that rounding may turn the space
            np.testing.assert_allclose(vector(space, n), norm(inside, axis=1), rtol=0, atol=1e-6 + turned)


@pytest.mark.parametrize(("d_S", "d_T", "n"), [(5, 9, 300), (9, 5, 200), (40, 30, 25), (1, 1, 2)])
def test_they_are_the_strongest_of_the_dense_ones_in_order(d_S: int, d_T: int, n: int) -> None:
    rng = np.random.default_rng(n)
    X_S, X_T = rng.standard_normal((n, d_S)), rng.standard_normal((n, d_T))
    dense = np.linalg.eigvalsh(kernel(X_S) - kernel(X_T))
    strongest = dense[np.argsort(-np.abs(dense))][:3]
    spaces = found(X_S, X_T)
    np.testing.assert_allclose([space.eigenvalue for space in spaces], strongest, rtol=1e-12)
    assert [space.squares for space in spaces] == pytest.approx(strongest**2)


def test_columns_that_repeat_and_columns_of_zeros_change_nothing() -> None:
    rng = np.random.default_rng(1)
    X_S, X_T = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    more_S = np.hstack([X_S, X_S[:, :2], np.zeros((60, 2))]) @ np.diag([0.8, 0.6, 1, 1, 0.6, 0.8, 1, 1])
    more_T = np.hstack([X_T * 0.6, X_T * 0.8])
    for before, after in zip(found(X_S, X_T), found(more_S, more_T), strict=True):
        assert after.eigenvalue == pytest.approx(before.eigenvalue)
        np.testing.assert_array_equal(after.positive.rows, before.positive.rows)
        np.testing.assert_allclose(after.negative.entries, before.negative.entries, atol=1e-9)


def test_what_was_added_is_positive_and_what_was_lost_negative() -> None:
    student, teacher = lost_column(50)
    added, lost = found(student, teacher)
    assert (added.eigenvalue, lost.eigenvalue) == pytest.approx((16 * 1.25, -4))
    for space, column in ((added, teacher[:, 0] / 4), (lost, teacher[:, 2] / 2)):
        assert space.positive.rows[0] == np.abs(column).argmax()
        np.testing.assert_allclose(space.positive.entries[0], np.abs(column).max())


def test_a_student_times_a_number_has_the_teachers_own_directions() -> None:
    X = np.random.default_rng(2).standard_normal((40, 3)) * [3, 2, 1]
    U, sigma, _ = np.linalg.svd(X, full_matrices=False)
    for space, u, s in zip(found(2 * X, X, at_an_end=40), U.T, sigma, strict=True):
        assert space.eigenvalue == pytest.approx(3 * s * s)
        np.testing.assert_allclose(vector(space, 40), u * np.sign(u[np.abs(u).argmax()]), atol=1e-8)


def test_nothing_carries_a_difference_that_is_none() -> None:
    X = np.random.default_rng(3).standard_normal((40, 5))
    rotated = X @ np.linalg.qr(np.random.default_rng(4).standard_normal((5, 5)))[0]
    for student in (X, rotated, np.hstack([X, np.zeros((40, 2))])):
        assert found(student, X) == []
        assert found(student, X, by_rows=True) == []


def test_equal_eigenvalues_are_a_space_and_ties_stand_in_order_of_rows() -> None:
    i, S, T = np.arange(64), [0, 1, 2, 5, 9], [1, 2, 3, 9, 17, 33, 40]
    H = np.array([[1 - 2 * (int(a & b).bit_count() % 2) for b in range(64)] for a in i], float)
    lost, added = found(H[:, S], H[:, T])
    assert [(space.dimension, space.eigenvalue) for space in (lost, added)] == [(4, -64), (2, 64)]
    for space in (lost, added):
        np.testing.assert_allclose(space.positive.entries, np.sqrt(space.dimension / 64))
        assert space.positive.rows.tolist() == [0, 1, 2, 3]
        assert len(space.negative.rows) == 0


def test_eigenvalues_that_differ_by_rounding_alone_are_one_space() -> None:
    rng = np.random.default_rng(5)
    Q, turn = (np.linalg.qr(rng.standard_normal(shape))[0] for shape in ((90, 6), (4, 4)))
    X_S, X_T = (Q[:, :4] * [3, 3, 3, 2]) @ turn, Q[:, 4:] * [1, 1.001]
    spaces = found(X_S, X_T)
    assert [space.dimension for space in spaces] == [3, 1, 1]
    lengths = norm(Q[:, :3], axis=1)
    assert spaces[0].positive.rows.tolist() == np.argsort(-lengths)[:4].tolist()
    np.testing.assert_allclose(spaces[0].positive.entries, np.sort(lengths)[:-5:-1])
    assert spaces[0].squares == pytest.approx(3 * 81)


def test_of_two_equal_ends_the_first_row_is_positive() -> None:
    v = np.zeros((6, 1))
    v[[2, 4]] = [[-1], [1]]
    (space,) = found(v, np.ones((6, 1)) * 1e-3, strongest=1)
    assert (space.positive.rows.tolist(), space.negative.rows[:1].tolist()) == ([2], [4])


def test_a_vector_of_one_sign_has_one_end() -> None:
    (space,) = found(np.arange(1.0, 9)[:, None], 1e-4 * np.arange(1.0, 9)[:, None], at_an_end=3)
    assert space.positive.rows.tolist() == [7, 6, 5]
    assert len(space.negative.rows) == 0


def exact_eigenvalues(X_S: np.ndarray, X_T: np.ndarray) -> list[float]:
    """Of K_S − K_T for these very floats, largest first, from Grams of whole numbers and 60 digits."""
    Z = np.array([[int(x) for x in row] for row in np.ldexp(np.hstack([X_S, X_T]), 60)], object)
    with mpmath.workdps(60):
        R = mpmath.cholesky(mpmath.matrix((Z.T @ Z).tolist()) / mpmath.mpf(2) ** 120).T
        J = mpmath.diag([1] * X_S.shape[1] + [-1] * X_T.shape[1])
        values = mpmath.eigsy(R * J * R.T, eigvals_only=True)
        return sorted(values, key=lambda value: -abs(value))


@pytest.mark.parametrize(("noise", "by_rows"), [(1.0, False), (1.0, True), (3e-2, False), (1e-4, True)])
def test_an_exact_eigenvalue_lies_in_every_interval_at_3000_rows(noise: float, by_rows: bool) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X_T = np.maximum(rng.standard_normal((3100, 4)) + 1.5, 0).astype(np.float32).astype(float)
        X_S = X_T[:, :3] + X_T[:, 3:] * 0.1 + noise * rng.standard_normal((3100, 3))
        if noise < 1e-2:
            X_S = X_T + noise * rng.standard_normal(X_T.shape)
        X_S = X_S.astype(np.float32).astype(float)
        exact = exact_eigenvalues(X_S, X_T)
        spaces = found(X_S, X_T, by_rows=by_rows)
        assert len(spaces) == 3
        for space, value in zip(spaces, exact):
            assert space.low <= value <= space.high
            assert space.eigenvalue == pytest.approx(float(value), rel=1e-9)
            assert (space.high - space.low) / 2 <= 1e-11 * norm(X_T) ** 2
