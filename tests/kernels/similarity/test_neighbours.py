"""Neighbours against all pairs of rows, ties included; and where kernels and neighbourhoods part ways."""

import numpy as np
import pytest

from kernelscope.errors import Mismatch, ResourceError
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity import nearest
from kernelscope.kernels.similarity.neighbours import aligned, neighbours, shared


def places(Q, X, k):
    """What share of a place among the k nearest each row has, from all pairs; no row is its own neighbour."""
    D = ((Q[:, None] - X[None]) ** 2).sum(-1)
    np.fill_diagonal(D, np.inf)
    kth = np.sort(D, axis=1)[:, k - 1 : k]
    nearer = kth * (1 - 1e-11) > D
    at = ~nearer & (kth * (1 + 1e-11) >= D)
    return nearer + at * (k - nearer.sum(1, keepdims=True)) / at.sum(1, keepdims=True)


def some_pair(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 8))
    if kind == "lattice":
        X = rng.integers(0, 3, (n, 8)).astype(float)
    if kind == "offset":
        X += 1e4
    if kind == "outliers":
        X[:5] *= 1e4
    if kind == "repeated":
        X = np.repeat(X[: n // 30], 30, axis=0)
    if kind == "constant":
        return X, np.ones((n, 8))
    return X, X @ rng.standard_normal((8, 8)) + (0 if kind == "repeated" else 0.5) * rng.standard_normal((n, 8))


KINDS = ("normal", "lattice", "offset", "outliers", "repeated", "constant")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "k"), [(600, 10), (60, 3), (30, 29), (300, 1)])
def test_overlap_and_recall_equal_those_of_all_pairs(kind, dtype, n, k):
    X_T, X_S = (X.astype(dtype) for X in some_pair(kind, n))
    found = neighbours(well_scaled_sums(teacher=X_T, student=X_S), k=k)
    T, S = X_T.astype(float), X_S.astype(float)
    own, others, across = places(T, T, k), places(S, S, k), places(S, T, k)
    assert found.overlap == pytest.approx(np.minimum(own, others).sum() / (n * k), abs=1e-12)
    assert found.recall == pytest.approx(np.minimum(own, across).sum() / (n * k), abs=1e-12)
    assert found.chance == k / (n - 1)


def test_blocks_and_the_fallback_change_nothing(monkeypatch):
    X_T, X_S = some_pair("lattice", 900)
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    whole = neighbours(scaled, k=7)
    by_blocks = neighbours(scaled, k=7, memory_bytes=10**7)
    assert nearest.tile_rows(900, 2 * X_S.shape[1], 7, 10**7 * 3 // 4) == 225
    assert (by_blocks.overlap, by_blocks.recall) == pytest.approx((whole.overlap, whole.recall), abs=1e-12)
    monkeypatch.setattr(nearest, "MOST_CANDIDATES", 0)  # everything measured
    by_all = neighbours(scaled, k=7)
    assert (by_all.overlap, by_all.recall, by_all.tied) == pytest.approx((whole.overlap, whole.recall, whole.tied))


def test_too_little_memory_for_neighbours_is_refused():
    X_T, X_S = some_pair("normal", 900)
    with pytest.raises(ResourceError, match="for 7 neighbours; raise"):
        neighbours(well_scaled_sums(teacher=X_T, student=X_S), k=7, memory_bytes=10**5)


def test_float32_products_only_propose(monkeypatch):
    """Rows so close that float32 products cannot order them."""
    rng = np.random.default_rng(0)
    X = 1 + 1e-5 * rng.standard_normal((400, 6))
    X[0] = 50  # keeps the mean from removing the offset
    monkeypatch.setattr(nearest, "MOST_CANDIDATES", 10**6)
    found = neighbours(well_scaled_sums(teacher=X, student=X @ np.diag([1, 1, 1, 1, 1, 0.5])), k=5)
    S = X @ np.diag([1, 1, 1, 1, 1, 0.5])
    assert found.overlap == pytest.approx(np.minimum(places(X, X, 5), places(S, S, 5)).sum() / 2000, abs=1e-12)


@pytest.mark.parametrize("kind", ["normal", "lattice"])
def test_shared_neighbours_are_the_overlap_of_either_order(kind):
    X, Y = some_pair(kind, 300)
    overlap = neighbours(well_scaled_sums(teacher=Y, student=X), k=6, recall=False).overlap
    assert shared(X, Y, k=6) == shared(Y, X, k=6) == pytest.approx(overlap, abs=1e-12)
    assert kind != "normal" or shared(X, np.zeros((300, 2)), k=6) == pytest.approx(6 / 299)


def test_equal_networks_overlap_wholly_and_a_constant_one_is_at_chance():
    X, constant = some_pair("lattice", 500)[0], np.ones((500, 3))
    assert neighbours(well_scaled_sums(teacher=X, student=X), k=10).overlap == pytest.approx(1)
    blind = neighbours(well_scaled_sums(teacher=some_pair("normal", 500)[0], student=constant), k=10)
    assert blind.overlap == pytest.approx(blind.chance, abs=1e-12)
    assert blind.tied == 0.5


def test_unrelated_networks_are_at_chance():
    rng = np.random.default_rng(0)
    found = [
        neighbours(well_scaled_sums(teacher=rng.standard_normal((300, 5)), student=rng.standard_normal((300, 6))), k=10)
        for _ in range(20)
    ]
    overlaps = [f.overlap for f in found]
    assert np.mean(overlaps) == pytest.approx(found[0].chance, abs=4 * np.std(overlaps) / 20**0.5)


@pytest.mark.parametrize("d_S", [8, 5, 11])
def test_a_rotated_scaled_and_shifted_teacher_is_found_after_alignment(d_S):
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 8)) + 2
    Q = np.linalg.qr(rng.standard_normal((max(d_S, 8), max(d_S, 8))))[0][:8, :d_S]
    if d_S == 5:
        Q = np.linalg.svd(X_T - X_T.mean(0), full_matrices=False)[2][:5].T
    X_S = 0.2 * (X_T - X_T.mean(0)) @ Q - 3
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    np.testing.assert_allclose(aligned(scaled)[:400], X_T, atol=1e-9)
    found = neighbours(scaled, k=10)
    assert found.overlap == pytest.approx(1) and found.recall_aligned == pytest.approx(1)
    assert found.recall is None if d_S != 8 else found.recall < 0.2


def test_neighbours_ignore_rotation_scale_shift_and_order_of_a_network():
    rng = np.random.default_rng(0)
    X_T, X_S = some_pair("normal", 300)
    Q, order = np.linalg.qr(rng.standard_normal((8, 8)))[0], rng.permutation(300)
    one = neighbours(well_scaled_sums(teacher=X_T, student=X_S), k=6)
    other = neighbours(well_scaled_sums(teacher=X_T[order], student=(3 * X_S @ Q - 1)[order]), k=6)
    assert other.overlap == pytest.approx(one.overlap, abs=1e-12)
    assert other.recall_aligned == pytest.approx(one.recall_aligned, abs=0.01)


def test_kernels_can_agree_where_neighbourhoods_do_not():
    """A student with the five strong directions of the teacher, and one that is all of it, a little blurred."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 500)
    X_T = 4 * rng.standard_normal((5, 32))[y] + 0.6 * rng.standard_normal((500, 32))
    U, s, _ = np.linalg.svd(X_T, full_matrices=False)
    low_rank = (U * s)[:, :5]
    blurred = 1.08 * X_T + 0.05 * rng.standard_normal((500, 32))

    def both(X_S):
        scaled = well_scaled_sums(teacher=X_T, student=X_S)
        loss = scaled.sums.difference_squared**0.5 / scaled.sums.norm_teacher
        return loss, neighbours(scaled, k=10).overlap

    (loss_low, overlap_low), (loss_blurred, overlap_blurred) = both(low_rank), both(blurred)
    assert loss_low < loss_blurred
    assert overlap_low < 0.5 < 0.8 < overlap_blurred


@pytest.mark.parametrize("k", [0, -1, 20, 21])
def test_more_neighbours_than_examples_are_refused(k):
    X = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(Mismatch, match="neighbours"):
        neighbours(well_scaled_sums(teacher=X, student=X), k=k)
