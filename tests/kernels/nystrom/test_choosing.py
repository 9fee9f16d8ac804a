"""Landmarks are groups of examples: the same groups in both spaces, chosen by seeded strategies."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from sklearn.kernel_approximation import Nystroem

from kernelscope.errors import KernelscopeError, Mismatch, NumericalError, UsageError
from kernelscope.kernels.nystrom.choosing import (
    Landmarks,
    class_means,
    given,
    kmeans,
    leverage,
    leverage_scores,
    parse,
    uniform,
)
from tests.kernels.kernel_oracles import means

RNG = np.random.default_rng(0)
BLOBS = RNG.integers(0, 5, 400)
X_T = 10 * np.eye(5, 6)[BLOBS] + RNG.standard_normal((400, 6))
X_S = RNG.standard_normal((400, 3))


def test_class_means_are_each_networks_own_means_over_the_same_rows() -> None:
    landmarks = class_means(BLOBS)
    assert (landmarks.strategy, landmarks.m, landmarks.seed, landmarks.is_partition) == ("class-means", 5, None, True)
    np.testing.assert_array_equal(landmarks.counts, np.bincount(BLOBS))
    for X in (X_T, X_S):
        np.testing.assert_allclose(landmarks.of(X), means(X, BLOBS, 5), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("labels", [[7, 7, 3, -1, 9], ["b", "b", "a", "c", "d"], [2.0, 2.0, 1.0, float("nan"), 5.0]])
def test_classes_need_be_neither_dense_nor_numbers_and_may_be_unknown(labels: list) -> None:
    landmarks = class_means(labels)
    assert landmarks.assignment is not None
    assert landmarks.assignment[0] == landmarks.assignment[1] == 1 > landmarks.assignment[2] == 0
    assert landmarks.counts.min() == 1
    if landmarks.m == 3:
        assert landmarks.assignment[3] == -1
        np.testing.assert_allclose(landmarks.of(np.arange(5.0)[:, None])[:, 0], [2, 0.5, 4])


def test_a_row_without_a_class_belongs_to_no_landmark() -> None:
    labels = np.where(np.arange(400) % 7 == 0, -1, BLOBS)
    landmarks = class_means(labels)
    assert landmarks.counts.sum() == np.count_nonzero(labels >= 0)
    np.testing.assert_allclose(landmarks.of(X_T), means(X_T, labels, 5), rtol=1e-13)


def test_uniform_rows_are_those_of_scikit_learn() -> None:
    theirs = Nystroem(kernel="linear", n_components=50, random_state=11).fit(X_T).component_indices_
    landmarks = uniform(400, 50, seed=11)
    np.testing.assert_array_equal(landmarks.indices, theirs)
    np.testing.assert_array_equal(landmarks.of(X_S), X_S[theirs])
    assert not landmarks.is_partition
    assert landmarks.repeats == 1


def test_kmeans_finds_blobs_and_leaves_no_group_empty() -> None:
    landmarks = kmeans(X_T, 5, seed=3)
    assert landmarks.m == 5
    assert landmarks.assignment is not None
    assert len({(a, b) for a, b in zip(landmarks.assignment, BLOBS)}) == 5
    np.testing.assert_array_equal(landmarks.assignment, kmeans(X_T, 5, seed=3).assignment)
    np.testing.assert_allclose(landmarks.of(X_S), means(X_S, landmarks.assignment, 5), rtol=1e-12, atol=1e-14)


def test_kmeans_is_not_misled_by_an_offset() -> None:
    landmarks = kmeans(X_T + 1e9, 5, seed=3)
    assert len({(a, b) for a, b in zip(landmarks.assignment, BLOBS)}) == 5


def test_collapsed_features_give_fewer_groups_than_asked_for() -> None:
    assert kmeans(np.eye(3)[BLOBS % 3], 40).m == 3
    assert kmeans(np.ones((10, 2)), 4).m == 1


def test_joint_kmeans_weighs_both_spaces_alike() -> None:
    side = np.arange(400) % 2
    cloud = 1e3 * np.random.default_rng(1).standard_normal((400, 2))  # no clusters, but a thousand times as large
    split = np.array([[1.0], [-1.0]])[side]
    both, alone = kmeans(cloud, 2, student=split), kmeans(cloud, 2)
    assert len({(a, b) for a, b in zip(both.assignment, side)}) == 2
    assert len({(a, b) for a, b in zip(alone.assignment, side)}) == 4


@drawn(k=st.integers(2, 4), seed=st.integers(0, 99))
def test_several_centres_per_class_refine_the_classes(k: int, seed: int) -> None:
    landmarks = class_means(BLOBS, centres_per_class=k, teacher=X_T, seed=seed)
    assert landmarks.strategy == f"class-means:{k}"
    assert landmarks.assignment is not None
    owners = {(int(a), int(b)) for a, b in zip(landmarks.assignment, BLOBS)}
    assert len(owners) == landmarks.m == 5 * k  # each group within one class
    assert landmarks.counts.min() > 0


def test_a_class_smaller_than_its_centres_gives_one_group_per_row() -> None:
    labels = np.array([0, 0, 0, 0, 1, -1])
    landmarks = class_means(labels, 3, teacher=np.arange(6.0)[:, None])
    assert landmarks.m == 4
    assert landmarks.assignment is not None
    assert landmarks.assignment[5] == -1


def test_leverage_scores_are_the_diagonal_of_the_hat_matrix() -> None:
    X = np.hstack([X_T, X_T[:, :2] @ [[1.0], [2.0]]])  # rank 6 of 7
    hat = X @ np.linalg.pinv(X, rcond=1e-10)
    np.testing.assert_allclose(leverage_scores(X), np.diag(hat), atol=1e-12)
    assert leverage_scores(X).sum() == pytest.approx(6, rel=1e-12)


def test_leverage_draws_the_row_nothing_else_explains_and_never_a_zero_row() -> None:
    X = np.zeros((50, 3))
    X[::2, :2] = RNG.standard_normal((25, 2))
    X[10, 2] = 1e-3
    drawn_rows = [leverage(X, 5, seed).indices for seed in range(50)]
    assert all(len(set(rows)) == 5 and not (rows % 2).any() for rows in drawn_rows if rows is not None)
    assert sum(10 in rows for rows in drawn_rows if rows is not None) > 40  # uniformly it would be 5
    with pytest.raises(Mismatch, match="only 25 teacher rows are not zero"):
        leverage(X, 26)


def test_given_rows_keep_their_order_and_may_repeat() -> None:
    rows = np.array([399, 0, 0, 17, 250])
    landmarks = given(rows, 400)
    np.testing.assert_array_equal(landmarks.of(X_T), X_T[rows])
    assert landmarks.repeats == 2


def test_means_of_rows_that_cancel_are_known_to_be_rounding() -> None:
    half = np.random.default_rng(2).standard_normal((50, 3))
    X = np.vstack([half, -half])
    landmarks = class_means(np.zeros(100, int))
    single = X.astype(np.float32)
    assert np.linalg.norm(landmarks.of(X)) <= landmarks.vectors(teacher=X, student=X).noise[0] <= 1e-14
    stored = 2.0**-24 * np.linalg.norm(X, axis=1).mean()
    assert landmarks.vectors(teacher=X, student=single).noise[0] == pytest.approx(stored, rel=1e-6)
    assert uniform(100, 3).vectors(teacher=X, student=X).noise == (0, 0)


def test_landmarks_read_any_rows(tmp_path: Path) -> None:
    X = np.random.default_rng(5).standard_normal((5000, 4)).astype(np.float32)
    labels = np.arange(5000) % 3
    many = (class_means(labels), uniform(5000, 40), given([4999, 0, 2048, 2047], 5000))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("x", data=X)
        for landmarks in many:
            exact = landmarks.of(X.astype(np.float64))
            np.testing.assert_allclose(landmarks.of(dataset), exact, rtol=1e-13)
            np.testing.assert_allclose(landmarks.of(torch.from_numpy(X)), exact, rtol=1e-13)
            rough = torch.from_numpy(X).bfloat16()
            np.testing.assert_allclose(landmarks.of(rough), landmarks.of(rough.double().numpy()), rtol=1e-13)
        np.testing.assert_array_equal(kmeans(dataset, 7).assignment, kmeans(X, 7).assignment)


def test_the_default_is_class_means_with_labels_else_a_tenth_as_many_cells() -> None:
    assert parse(None, n=400, labels=BLOBS, teacher=X_T).strategy == "class-means"
    default = parse(None, n=400, teacher=X_T)
    assert (default.strategy, default.m, default.seed) == ("kmeans", 40, 0)
    assert parse(None, n=3, teacher=X_T[:3]).m == 1


@pytest.mark.parametrize(
    ("spec", "strategy", "m"),
    [
        ("class-means", "class-means", 5),
        ("class-means:1", "class-means", 5),
        ("class-means:2", "class-means:2", 10),
        ("kmeans:8", "kmeans", 8),
        ("uniform:50", "uniform", 50),
        ("leverage:20", "leverage", 20),
        ("rows.npy", "given", 3),
    ],
)
def test_every_word_names_a_strategy(spec: str, strategy: str, m: int) -> None:
    landmarks = parse(spec, n=400, labels=BLOBS, teacher=X_T, seed=7, read_rows=lambda path: [5, 1, 9])
    assert (landmarks.strategy, landmarks.m) == (strategy, m)
    assert landmarks.seed == (7 if ":" in spec and spec != "class-means:1" else None)


@pytest.mark.parametrize(
    ("error", "spec", "piece"),
    [
        (UsageError, "clusters:5", "unknown landmarks 'clusters:5'; choose class-means"),
        (UsageError, "kmeans", "lack a positive whole number"),
        (UsageError, "kmeans:0", "lack a positive whole number"),
        (UsageError, "uniform:-3", "lack a positive whole number"),
        (UsageError, "leverage:1e3", "lack a positive whole number"),
        (UsageError, "uniform:²", "lack a positive whole number"),
        (UsageError, "", "unknown landmarks"),
        (UsageError, "rows.npy", "unknown landmarks"),
        (Mismatch, "uniform:401", "401 landmarks asked for, but there are 400 examples"),
        (Mismatch, "kmeans:401", "ask for at most 400"),
        (Mismatch, "leverage:401", "ask for at most 400"),
    ],
)
def test_a_bad_word_says_what_to_write(error: type[KernelscopeError], spec: str, piece: str) -> None:
    with pytest.raises(error, match=re.escape(piece)) as caught:
        parse(spec, n=400, labels=BLOBS, teacher=X_T)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Mismatch, match="row 400 is out of range; 400 examples have rows 0 to 399"):
        given([3, 400], 400)
    with pytest.raises(Mismatch, match="row -1 is out of range"):
        given([3, -1], 400)
    with pytest.raises(Mismatch, match="expected a list of whole numbers"):
        given([0.5], 400)
    with pytest.raises(UsageError, match="class-means need labels"):
        parse("class-means", n=400, teacher=X_T)
    with pytest.raises(Mismatch, match="400 labels for 399 examples"):
        parse("class-means", n=399, labels=BLOBS)
    with pytest.raises(Mismatch, match="none of the 3 examples has a label"):
        class_means([-1, -1, -1])
    with pytest.raises(Mismatch, match="groups of 400 examples, features have 399"):
        class_means(BLOBS).of(X_T[1:])
    with pytest.raises(UsageError, match="give the teacher's features"):
        class_means(BLOBS, 2)
    with pytest.raises(UsageError, match="either an assignment or row indices"):
        Landmarks("none", 1, 1)
    spoilt = X_T.copy()
    spoilt[6, 2] = np.nan
    for choose in (kmeans, leverage):
        with pytest.raises(NumericalError, match="1 NaN or infinite values, first in row 6"):
            choose(spoilt, 5)
