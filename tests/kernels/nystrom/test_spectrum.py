"""Spectra of landmarks, features and differences, against dense eigenvalues and closed forms."""

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from scipy.linalg import hadamard

from kernelscope.kernels.distance.tsqr import r_factor
from kernelscope.kernels.nystrom.spectrum import (
    _root,
    difference_spectrum,
    difference_spectrum_of_gram,
    effective_rank,
    feature_spectrum,
    landmark_basis,
    landmark_spectrum,
)
from tests.kernels.kernel_oracles import DATA, features, kernel, truth

norm = np.linalg.norm


@drawn(m=st.integers(1, 9), d=st.integers(1, 7), seed=st.integers(0, 2**20))
def test_landmark_eigenvalues_are_those_of_W(m: int, d: int, seed: int) -> None:
    D = np.random.default_rng(seed).standard_normal((m, d))
    found = landmark_spectrum(landmark_basis(D))
    W = np.sort(np.linalg.eigvalsh(D @ D.T))[::-1]
    np.testing.assert_allclose(found.eigenvalues, W, atol=1e-12 * W[0])
    assert len(found.eigenvalues) == m
    assert found.rank == min(m, d)
    assert found.max == found.eigenvalues[0]
    assert found.below_one == sum(v < 1 for v in found.eigenvalues)
    if m > d:
        assert found.min == 0
        assert found.condition is None
        assert found.eigenvalues[d:] == (0,) * (m - d)
    else:
        assert found.min == found.eigenvalues[-1] > 0
        assert found.condition == pytest.approx(found.max / found.min)


def test_a_smallest_eigenvalue_far_below_rounding_of_W_keeps_its_digits() -> None:
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((k, 4)))[0] for k in (4, 9))
    found = landmark_spectrum(landmark_basis(U * np.logspace(0, -12, 4) @ V.T))
    assert found.rank == 4
    assert found.min == pytest.approx(1e-24, rel=1e-3, abs=0)  # eigvalsh(W) is noise of 1e-16 here
    assert found.condition == pytest.approx(1e24, rel=1e-3)


def test_zero_sum_logits_have_one_rank_less_than_classes() -> None:
    D = np.random.default_rng(1).standard_normal((10, 10))
    found = landmark_spectrum(landmark_basis(D - D.mean(axis=1, keepdims=True)))
    assert (found.rank, found.min, found.condition) == (9, 0.0, None)


def test_no_landmark_has_no_rank() -> None:
    found = landmark_spectrum(landmark_basis(np.zeros((3, 4))))
    assert (found.rank, found.min, found.max, found.condition, found.below_one) == (0, 0.0, 0.0, None, 3)


@pytest.mark.parametrize(("roundoff", "rank"), [(0.0, 4), (2.0**-24, 3), (2.0**-11, 2), (2.0**-8, 2)])
def test_rank_counts_what_the_stored_type_can_tell(roundoff: float, rank: int) -> None:
    assert landmark_basis(np.diag([1, 0.1, 1e-5, 1e-8]), roundoff).rank == rank


def test_half_precision_does_not_cut_every_landmark_of_wide_features() -> None:
    D = np.random.default_rng(2).standard_normal((10, 512))
    assert landmark_basis(D, 2.0**-8).rank == 10


def test_cutting_at_a_rank_keeps_the_largest_and_remembers_the_rest() -> None:
    basis = landmark_basis(np.diag([3.0, 2, 1])).at_most(2)
    np.testing.assert_allclose(basis.sigma, [3, 2])
    np.testing.assert_allclose(basis.cut, [1])
    np.testing.assert_allclose(basis.V @ basis.V.T, np.diag([1, 1, 0]), atol=1e-15)


def test_effective_rank_counts_equal_eigenvalues() -> None:
    assert effective_rank(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_rank(np.array([5.0, 0, 0])) == 1
    assert effective_rank(np.array([1.0, 1e-300, 0])) == pytest.approx(1)
    assert effective_rank(np.array([0.75, 0.25])) == pytest.approx(4 / 3**0.75, rel=1e-12)


def test_features_of_known_singular_values_show_them() -> None:
    rng = np.random.default_rng(3)
    U, V = np.linalg.qr(rng.standard_normal((100, 3)))[0], np.linalg.qr(rng.standard_normal((8, 3)))[0]
    X = U * [2.0, 1.0, 1.0] @ V.T
    found = feature_spectrum(X.T @ X, 100)
    assert found.rank == 3
    assert found.top_share == pytest.approx(4 / 6)
    assert found.effective_rank == pytest.approx(np.exp(-(4 / 6) * np.log(4 / 6) - 2 / 6 * np.log(1 / 6)))
    assert feature_spectrum(np.zeros((4, 4)), 9) == type(found)(0, 0.0, 0.0)


@drawn(kind=st.sampled_from(DATA), seed=st.integers(0, 2**20))
def test_difference_eigenvalues_are_the_nonzero_ones_of_the_dense_difference(kind: str, seed: int) -> None:
    X_S, X_T, _ = features(kind, np.random.default_rng(seed))
    found = difference_spectrum(r_factor(X_S, X_T), X_S.shape[1])
    dense = np.linalg.eigvalsh(kernel(X_S) - kernel(X_T))
    scale = norm(X_S) ** 2 + norm(X_T) ** 2
    count = len(found.eigenvalues)
    nearest = dense[np.argsort(-np.abs(dense), kind="stable")]
    np.testing.assert_allclose(np.abs(found.eigenvalues), np.abs(nearest[:count]), atol=1e-14 * scale)
    assert np.abs(nearest[count:]).max(initial=0) <= 1e-14 * scale
    assert found.positive + found.negative == count
    assert found.positive <= X_S.shape[1]
    assert found.negative <= X_T.shape[1]
    f = truth(X_S, X_T)
    slack = 1e-13 * scale
    assert found.spectral_norm <= f + slack
    assert f <= found.nuclear_norm + slack
    assert found.nuclear_norm <= np.sqrt(X_S.shape[1] + X_T.shape[1]) * f + slack
    assert sum(found.eigenvalues) == pytest.approx(norm(X_S) ** 2 - norm(X_T) ** 2, abs=slack)


def test_hadamard_columns_give_whole_numbers_with_signs() -> None:
    n, S, T = 64, [0, 1, 2, 5, 9], [1, 2, 3, 9, 17, 33, 40]
    H = hadamard(n).astype(float)
    for found in (
        difference_spectrum(r_factor(H[:, S], H[:, T]), len(S)),
        difference_spectrum_of_gram(H[:, S + T].T @ H[:, S + T], len(S)),
    ):
        np.testing.assert_allclose(sorted(found.eigenvalues), [-n] * 4 + [n] * 2, rtol=1e-13)
        assert (found.positive, found.negative) == (2, 4)
        assert found.nuclear_norm == pytest.approx(n * 6, rel=1e-13)
        assert found.spectral_norm == pytest.approx(n, rel=1e-13)


def test_what_the_student_adds_is_positive() -> None:
    rng = np.random.default_rng(4)
    X, E = rng.standard_normal((40, 5)), rng.standard_normal((40, 2))
    for found in _both_ways(np.hstack([X, E]), X):
        assert (found.positive, found.negative) == (2, 0)
        np.testing.assert_allclose(found.eigenvalues, np.sort(np.linalg.svd(E, compute_uv=False) ** 2)[::-1], rtol=1e-9)


def test_equal_networks_have_no_nonzero_eigenvalue() -> None:
    X = np.random.default_rng(5).standard_normal((40, 5))
    rotated = X @ np.linalg.qr(np.random.default_rng(6).standard_normal((5, 5)))[0]
    for student in (X, rotated, np.hstack([X, np.zeros((40, 2))])):
        for found in _both_ways(student, X):
            assert found.eigenvalues == ()
            assert found.spectral_norm == found.nuclear_norm == found.positive == found.negative == 0


def test_a_difference_of_one_in_a_billion_has_its_signs() -> None:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((60, 4))
    weights = 1 + 1e-9 * np.array([1, -2, 3, -4])
    Q = np.linalg.qr(X)[0]
    found = difference_spectrum(r_factor(Q * weights, Q), 4)
    np.testing.assert_allclose(found.eigenvalues, 1e-9 * np.array([-8, 6, -4, 2]), rtol=1e-5)
    assert (found.positive, found.negative) == (2, 2)


def test_at_most_512_eigenvalues_are_listed_but_all_are_counted() -> None:
    Q = np.linalg.qr(np.random.default_rng(8).standard_normal((700, 600)))[0]
    found = difference_spectrum(r_factor(Q[:, :1], Q[:, 1:] * np.linspace(1, 2, 599)), 1)
    assert len(found.eigenvalues) == 512
    assert (found.positive, found.negative) == (1, 599)
    assert found.nuclear_norm == pytest.approx(1 + np.sum(np.linspace(1, 2, 599) ** 2))


def test_the_gram_counts_what_no_rounding_of_it_could_have_made() -> None:
    rng = np.random.default_rng(9)
    X_S, X_T = rng.standard_normal((80, 6)), rng.standard_normal((80, 5)) * np.logspace(0, -5, 5)
    by_factor, by_gram = _both_ways(X_S, X_T)
    assert (by_gram.positive, by_gram.negative) == (by_factor.positive, by_factor.negative) == (6, 5)
    np.testing.assert_allclose(by_gram.eigenvalues, by_factor.eigenvalues, rtol=1e-5)


def test_eigenvalues_below_the_floor_count_as_zero() -> None:
    Q = np.linalg.qr(np.random.default_rng(10).standard_normal((20, 3)))[0]
    for found in _both_ways(Q * [2.0, 1e-3, 1.0], Q[:, 2:], floor=1e-5):
        assert (found.positive, found.negative) == (1, 0)
        assert found.nuclear_norm == found.spectral_norm == pytest.approx(4)


def _both_ways(X_S: np.ndarray, X_T: np.ndarray, floor: float = 0.0):
    Z = np.hstack([X_S, X_T])
    return (
        difference_spectrum(r_factor(X_S, X_T), X_S.shape[1], floor=floor),
        difference_spectrum_of_gram(Z.T @ Z, X_S.shape[1], floor=floor),
    )


@pytest.mark.parametrize("centred", [True, False])
def test_a_root_gives_the_gram_back_and_its_largest_eigenvalue(centred: bool) -> None:
    rng = np.random.default_rng(11)
    X = rng.standard_normal((400, 30)) + 1
    if centred:
        X = np.vstack([X, -X])  # the vector of ones is no eigenvector then
    for columns in (X, np.hstack([X, X[:, :5]])):  # the second singular
        gram = columns.T @ columns
        R, largest = _root(gram)
        np.testing.assert_allclose(R.T @ R, gram, atol=1e-9)
        assert largest == pytest.approx(np.linalg.eigvalsh(gram)[-1], rel=0.2)
