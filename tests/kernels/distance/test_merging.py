"""Sums of shards are those of all rows, in any order, and their interval holds in whole numbers."""

import functools
import random
from fractions import Fraction

import numpy as np
import pytest

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.distance.merging import merged
from kernelscope.kernels.rows import Summed
from tests.kernels.integer_oracle import exact_gram, exact_squares_of_gram

D_S, D_T = 3, 4


def offsets(rng, n):
    """Means of up to 1e6, a small spread, and a student near the teacher's shape."""
    T = rng.standard_normal((n, D_T)) + 10.0 ** rng.uniform(2, 6, D_T)
    return T[:, :D_S] + 1e-3 * rng.standard_normal((n, D_S)), T


def tiny_loss(rng, n):
    """The teacher rotated, but for 1e-6 of it."""
    T = rng.standard_normal((n, D_T))
    T[:, -1] *= 1e-7
    Q = np.linalg.qr(rng.standard_normal((D_S, D_S)))[0]
    return T[:, :D_S] @ Q + 1e-6 * rng.standard_normal((n, D_S)), T


def mixed_scales(rng, n):
    """Columns and rows of sizes from 2^-30 to 2^30."""
    S, T = rng.standard_normal((n, D_S)), rng.standard_normal((n, D_T))
    sizes = 2.0 ** rng.integers(-15, 16, (n, 1))
    return S * sizes * 2.0 ** rng.integers(-15, 16, D_S), T * sizes[::-1] * 2.0 ** rng.integers(-15, 16, D_T)


def heavy_tails(rng, n):
    return rng.standard_cauchy((n, D_S)), rng.standard_cauchy((n, D_T))


def sorted_by_size(rng, n):
    """Shards that differ from one another as much as they can."""
    S, T = mixed_scales(rng, n)
    order = np.argsort(np.abs(T).sum(axis=1))
    return S[order], T[order]


KINDS = (offsets, tiny_loss, mixed_scales, heavy_tails, sorted_by_size)


def cut(X_S, X_T, ends):
    """Sums of every shard between two ends."""
    return [
        layer_sums(teacher={"t": X_T[a:b]}, student={"s": X_S[a:b]}, once=True) for a, b in zip([0, *ends[:-1]], ends)
    ]


def in_some_tree(shards, seed):
    """Two of what is there are merged until one is left."""
    rng, shards = random.Random(seed), list(shards)
    while len(shards) > 1:
        one, two = (shards.pop(rng.randrange(len(shards))) for _ in range(2))
        shards.append(merged(one, two))
    return shards[0]


def loss(sums, dtype):
    rows = Summed((sums.n, D_T), dtype), Summed((sums.n, D_S), dtype)
    return loss_from_sums(ScaledSums(*rows, sums.pair("t", "s"), 1.0, same=False, once=True))


def block_errors(pair, G):
    """‖what is wrong‖_F of the three blocks, exactly."""
    own = np.vectorize(Fraction, otypes=[object])(pair.gram) + np.vectorize(Fraction, otypes=[object])(pair.rest)
    parts = slice(0, D_S), slice(D_S, None)
    squares = ((own - G)[a, b] ** 2 for a, b in ((parts[0], parts[0]), (parts[1], parts[1]), (parts[0], parts[1])))
    return [float(square.sum()) ** 0.5 for square in squares]


def attack(kind, dtype, seed, trees):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3000, 3100))
    X_S, X_T = (X.astype(dtype) for X in kind(rng, n))
    ends = sorted({1, *rng.integers(1, n, 12).tolist(), n})
    G = exact_gram(np.hstack([X_S, X_T]))
    difference, teacher = exact_squares_of_gram(G, D_S)
    columns = np.hstack([X_S, X_T]).astype(np.float64)
    exact = [float(sum(map(Fraction, column.tolist()))) for column in columns.T]
    shards = cut(X_S, X_T, ends)
    for tree in range(trees):
        sums = in_some_tree(shards, tree)
        assert sums.n == n
        pair, found = sums.pair("t", "s"), loss(sums, dtype)
        low, high = map(Fraction, found.interval)
        assert low * low * teacher <= difference <= high * high * teacher
        for wrong, bound in zip(block_errors(pair, G), (pair.errors.student, pair.errors.teacher, pair.errors.cross)):
            assert wrong <= bound
        assert np.linalg.norm(pair.sums - exact) <= pair.sums_error * np.sqrt(n) * np.linalg.norm(columns)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_sums_merged_in_any_tree_are_right_to_their_interval(kind, dtype):
    attack(kind, dtype, seed=KINDS.index(kind), trees=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_draw_of_shards_leaves_the_interval(kind, seed):
    attack(kind, "float32" if seed % 2 else "float64", seed, trees=3)


def test_five_hundred_shards_of_six_rows_are_as_sharp_as_one():
    rng = np.random.default_rng(3)
    X_S, X_T = offsets(rng, 3000)
    many = functools.reduce(merged, cut(X_S, X_T, list(range(6, 3001, 6))))
    (one,) = cut(X_S, X_T, [3000])
    low, high = loss(many, "float64").interval
    assert low <= loss(one, "float64").value <= high
    assert high - low <= 1e-6 * loss(one, "float64").value


def test_halves_of_very_different_sizes_are_not_fitted_on():
    rng = np.random.default_rng(4)
    X_S, X_T = rng.standard_normal((40, D_S)), rng.standard_normal((40, D_T))
    alone = functools.reduce(merged, cut(X_S, X_T, list(range(1, 41))))
    assert alone.rows == (40, 0)
    assert alone.pair("t", "s").halves is None
    assert cut(X_S, X_T, [40])[0].pair("t", "s").halves is not None


def test_a_layer_that_is_another_constant_in_each_shard_is_not_constant():
    T = np.repeat([[1.0, 2.0], [1.0, 3.0]], 5, axis=0)
    shards = [layer_sums(teacher={"t": T[a : a + 5]}, student={"s": T[a : a + 5]}, once=True) for a in (0, 5)]
    assert all(shard.constant["teacher", "t"].so_far for shard in shards)
    assert not merged(*shards).constant["teacher", "t"].so_far
    assert merged(shards[0], shards[0]).constant["teacher", "t"].so_far
    assert merged(*shards).same == {("t", "s")}


def test_sums_of_other_layers_or_in_one_slice_do_not_add():
    X = np.random.default_rng(5).standard_normal((10, 3))
    one = layer_sums(teacher={"t": X}, student={"s": X[:, :2]}, once=True)
    with pytest.raises(Mismatch, match="other layers, or of other widths"):
        merged(one, layer_sums(teacher={"t": X}, student={"s": X}, once=True))
    with pytest.raises(Mismatch, match="not sliced"):
        merged(one, layer_sums(teacher={"t": X}, student={"s": X[:, :2]}))
