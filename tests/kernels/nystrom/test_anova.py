"""The ANOVA of the loss: three shares that are squares, sum to the whole, and tell what class means cannot see."""

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.anova import anova
from kernelscope.kernels.nystrom.choosing import class_means, kmeans, uniform
from kernelscope.kernels.nystrom.intervals import class_centre_interval
from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
from kernelscope.kernels.nystrom.nystrom import partial, partial_with
from tests.kernels.kernel_oracles import DATA, features, kernel, projector, truth

norm = np.linalg.norm


def dense_shares(X_S: np.ndarray, X_T: np.ndarray, y: np.ndarray) -> np.ndarray:
    D, P = kernel(X_S) - kernel(X_T), projector(y)
    Q = np.eye(len(y)) - P
    parts = np.array([norm(P @ D @ P) ** 2, 2 * norm(P @ D @ Q) ** 2, norm(Q @ D @ Q) ** 2])
    return parts / norm(D) ** 2


@drawn(kind=st.sampled_from(DATA), seed=st.integers(0, 2**20), unknown=st.booleans())
def test_shares_are_those_of_the_dense_projections_and_sum_to_one(kind: str, seed: int, unknown: bool) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T, y = features(kind, rng)
    if unknown and len(y) > 1:
        y[0] = -1  # a row of no class is part of what class means do not see
    y = class_means(y).assignment if (y >= 0).any() else np.zeros(len(y), int)
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    shares = anova(sums)
    f, scale = truth(X_S, X_T), float(norm(kernel(X_S)) + norm(kernel(X_T)))
    if shares is None:
        assert f <= 2e-13 * scale
        return
    found = np.array([shares.mean_mean, shares.mean_within, shares.within_within])
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, rel=1e-15)
    if f > 1e-7 * scale:
        np.testing.assert_allclose(found, dense_shares(X_S, X_T, y), atol=1e-14 * scale / f)
        assert sums.between is not None
        assert sums.across is not None
        assert sums.within is not None
        assert sums.between + sums.across + sums.within == pytest.approx(f**2, rel=1e-13 * scale / f)


@pytest.mark.parametrize("exponent", [4, 12, 20, 30])
def test_shares_keep_their_digits_however_small_the_loss(exponent: int) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.integers(-4, 5, (60, 5)).astype(float), np.arange(60) % 4
    shares = anova(partial(teacher=X, student=X * (1 + 2.0**-exponent), landmarks=class_means(y)))
    assert shares is not None  # K_S is a multiple of K_T: the shares are those of K_T itself, whatever the factor
    expected = dense_shares(X, np.zeros((60, 1)), y)
    found = (shares.mean_mean, shares.mean_within, shares.within_within)
    np.testing.assert_allclose(found, expected, atol=1e-15 * 2**exponent + 1e-14)


def test_a_shift_of_one_class_is_seen_and_noise_within_classes_is_not() -> None:
    y = np.repeat([0, 1], 10)
    base = np.eye(2, 6)[y] * 5
    signs = np.where(np.arange(20) % 2, 1.0, -1.0)
    noisy = base.copy()
    noisy[:, 4] += signs * (y == 0)
    unseen = anova(partial(teacher=base, student=noisy, landmarks=class_means(y)))
    assert unseen is not None
    assert unseen.within_within == 1
    seen = anova(partial(teacher=base, student=base + np.eye(6)[0] * (y == 1)[:, None], landmarks=class_means(y)))
    assert seen is not None
    assert seen.mean_mean == pytest.approx(1, rel=1e-14)


@drawn(seed=st.integers(0, 2**20))
def test_finer_classes_see_more_and_their_order_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((24, 4)), rng.standard_normal((24, 5))
    fine = rng.permutation(np.arange(24) % 12)
    previous = 0.0
    for classes in (np.zeros(24, int), fine // 6, fine // 3, fine, np.arange(24)):
        low, high = class_centre_interval(partial(teacher=X_T, student=X_S, landmarks=class_means(classes)))
        assert low >= previous - 1e-12
        assert low <= truth(X_S, X_T) * (1 + 1e-12) <= high * (1 + 2e-12)
        previous = low
    assert previous == pytest.approx(truth(X_S, X_T), rel=1e-12)
    relabelled = anova(partial(teacher=X_T, student=X_S, landmarks=class_means(rng.permutation(12)[fine])))
    plain = anova(partial(teacher=X_T, student=X_S, landmarks=class_means(fine)))
    assert plain is not None
    assert relabelled is not None
    assert relabelled.mean_mean == pytest.approx(plain.mean_mean, rel=1e-12)
    assert relabelled.mean_within == pytest.approx(plain.mean_within, rel=1e-12)


def test_what_centres_see_of_the_difference_is_the_weighted_partial_difference() -> None:
    rng = np.random.default_rng(2)
    X_S, X_T, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 3)), rng.integers(0, 4, 30)
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    assert sums.expanded_norm == pytest.approx(norm(projector(y) @ (kernel(X_S) - kernel(X_T))), rel=1e-13)


def test_cells_of_kmeans_have_shares_and_other_landmarks_do_not() -> None:
    rng = np.random.default_rng(3)
    X_S, X_T = rng.standard_normal((30, 4)), rng.standard_normal((30, 3))
    cells = kmeans(X_T, 5)
    shares = anova(partial(teacher=X_T, student=X_S, landmarks=cells))
    assert shares is not None
    assert cells.assignment is not None
    np.testing.assert_allclose(
        (shares.mean_mean, shares.mean_within, shares.within_within),
        dense_shares(X_S, X_T, cells.assignment),
        atol=1e-13,
    )
    stale = partial_with(
        teacher=X_T,
        student=X_S,
        landmarks=LandmarkVectors(teacher=cells.of(X_T) + 0.1, student=cells.of(X_S), assignment=cells.assignment),
    )
    for sums in (stale, partial(teacher=X_T, student=X_S, landmarks=uniform(30, 3))):
        with pytest.raises(Mismatch, match="landmarks are not the exact means of groups"):
            anova(sums)


def test_equal_kernels_have_no_shares() -> None:
    X = np.random.default_rng(4).standard_normal((30, 4))
    assert anova(partial(teacher=X, student=X[:, ::-1].copy(), landmarks=class_means(np.arange(30) % 3))) is None
