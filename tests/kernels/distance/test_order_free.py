"""Sums that no order of rows changes: whole numbers of 30 bits, exact in any blocks, shards and trees of them."""

import functools
import hashlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelscope.errors import Mismatch, NumericalError
from kernelscope.kernels.distance import order_free
from kernelscope.kernels.distance.column_grid import BITS, LARGEST, Grid
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.distance.merging import merged
from kernelscope.kernels.nystrom.class_sums import ClassSummation
from kernelscope.kernels.rows import BLOCK_ROWS, Summed
from kernelscope.kernels.similarity.diagonals import DiagonalSummation
from tests.kernels.integer_oracle import exact_gram, exact_squares_of_gram

KEYS = (("student", "s"), ("teacher", "t"))


def layers(S, T):
    return {KEYS[0]: S, KEYS[1]: T}


def summed(S, T, y=None, grid=None, ids=None):
    """Sums of every kind over these rows, in one pass after the grid."""
    grid = grid or Grid.of(layers(S, T))
    diagonals = DiagonalSummation(layers(S, T), grid)
    classes = ClassSummation(np.zeros(len(S), int) if y is None else y, layers(S, T), grid)
    second = None if ids is None else (lambda start, stop: ids[start:stop] % 2 == 1)
    sums = layer_sums(
        teacher={"t": T}, student={"s": S}, grid=grid, beside=[diagonals, classes], second=second, once=True
    )
    return sums, diagonals.total(), classes.total()


def together(one, two):
    return merged(one[0], two[0]), one[1].merged(two[1]), one[2].merged(two[2])


def bits(found):
    """A hash of every number that a report is made from."""
    sums, diagonals, classes = found
    pair = sums.pair("t", "s")
    errors = pair.errors
    arrays = [pair.gram, pair.rest, pair.sums, *(pair.halves or ())]
    arrays += [np.array([errors.student, errors.teacher, errors.cross, pair.sums_error])]
    arrays += [*diagonals.products, *(part for key in KEYS for part in diagonals.weighted[key])]
    arrays += [classes.counts, *(part for of in (classes.sums, classes.squares) for key in KEYS for part in of[key])]
    digest = hashlib.blake2b(repr((sums.rows, sorted(sums.zero), sorted(sums.same))).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def drawn(rng, n, d_S, d_T):
    """Heavy tails, columns of all sizes, some of them zero, some constant."""
    T = rng.standard_cauchy((n, d_T)) * 2.0 ** rng.integers(-20, 20, d_T)
    S = rng.standard_normal((n, d_S)) * 2.0 ** rng.integers(-30, 10, d_S)
    T[:, 0], S[:, -1] = 0, 3.0
    return S.astype(np.float32).astype(np.float64), T


def in_any_order(seed, n, d_S, d_T, orders):
    rng = np.random.default_rng(seed)
    S, T = drawn(rng, n, d_S, d_T)
    y, ids = rng.integers(0, 5, n), rng.integers(0, 256, n)
    wanted = bits(summed(S, T, y, ids=ids))
    grid = Grid.of(layers(S, T))
    for number in range(orders):
        order = rng.permutation(n)
        S_, T_, y_, ids_ = S[order], T[order], y[order], ids[order]
        if number % 3:
            ends = [0, *sorted(rng.choice(np.arange(1, n), [0, 1, 6][number % 3], replace=False)), n]
            shards = [summed(S_[a:b], T_[a:b], y_[a:b], grid, ids_[a:b]) for a, b in itertools.pairwise(ends)]
            found = functools.reduce(together, shards)
        else:
            found = summed(S_, T_, y_, ids=ids_)
        assert bits(found) == wanted


def test_thirty_orders_in_one_two_or_seven_shards_are_the_same_bits():
    in_any_order(0, 4500, 5, 6, 30)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_a_hundred_orders_of_many_rows_are_the_same_bits(seed):
    in_any_order(seed, 20_000, 64, 64, 100)


def whole(grid, key, X):
    """The rows on their grid, as Python's whole numbers, and what those of each column are worth."""
    numbers = grid.rounded(key, X)
    assert (numbers == np.rint(numbers)).all() and np.abs(numbers).max(initial=0) <= 2 ** (BITS - 1)
    return numbers.astype(np.int64).astype(object), [Fraction(2) ** int(p) for p in grid.powers(key)]


def is_exact(S, T):
    grid = Grid.of(layers(S, T))
    (k_S, w_S), (k_T, w_T) = (whole(grid, key, X) for key, X in layers(S, T).items())
    k, w = np.hstack([k_S, k_T]), w_S + w_T
    pair = layer_sums(teacher={"t": T}, student={"s": S}, grid=grid).pair("t", "s")
    G, total = k.T @ k, k.sum(axis=0)
    for i in range(len(w)):
        assert abs(Fraction(float(pair.sums[i])) - total[i] * w[i]) <= abs(total[i] * w[i]) * Fraction(2) ** -53
        for j in range(len(w)):
            found = Fraction(float(pair.gram[i, j])) + Fraction(float(pair.rest[i, j]))
            assert found == G[i, j] * w[i] * w[j]
    for key, X in layers(S, T).items():
        numbers, worth = whole(grid, key, X)
        off = np.array([[Fraction(float(x)) for x in row] for row in X]) - numbers * np.array(worth)
        assert (off * off).sum() <= Fraction(grid.row_error(key, len(X))) ** 2


def test_sums_are_those_of_whole_numbers_on_the_grid():
    is_exact(*drawn(np.random.default_rng(1), 3000, 3, 4))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 4), st.integers(-140, 140), st.integers(0, 2**32 - 1))
def test_sums_are_exact_whatever_the_widths_and_scales(n, d_S, d_T, scale, seed):
    S, T = drawn(np.random.default_rng(seed), n, d_S, d_T)
    T[:, 0] += 1.0
    is_exact(np.ldexp(S, scale), np.ldexp(T, -scale))


def test_columns_of_the_least_and_the_largest_numbers_are_rounded_like_others():
    X = np.array([[5e-324, 1.7e308, 1e-310, 0.0], [0.0, -3.0, 4.5e-310, 0.0], [1e-323, 1e307, -1e-309, 0.0]])
    grid = Grid.of({KEYS[1]: X})
    k, worth = whole(grid, KEYS[1], X)
    assert np.abs(k[:, :3].astype(float)).max(axis=0).min() >= 2 ** (BITS - 2)
    assert [float(a * b) for a, b in zip(k[2], worth, strict=True)] == pytest.approx(X[2].tolist(), rel=1e-6)


@pytest.mark.parametrize("noise", [1e-1, 1e-4, 1e-7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_to_the_grid_is_inside_the_interval(noise, dtype):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        T = (rng.standard_normal((500, 5)) * 10.0 ** rng.integers(-3, 4, 5)).astype(dtype)
        S = (T[:, :4] + noise * rng.standard_normal((500, 4)) * np.abs(T[:, :4]).max(axis=0)).astype(dtype)
        sums = summed(S, T)[0].pair("t", "s")
        rows = Summed(T.shape, dtype), Summed(S.shape, dtype)
        loss = loss_from_sums(ScaledSums(*rows, sums, 1.0, same=False, once=True))
        low, high = map(Fraction, loss.interval)
        difference, teacher = exact_squares_of_gram(exact_gram(np.hstack([S, T]).astype(np.float64)), 4)
        assert loss.certified and low * low * teacher <= difference <= high * high * teacher
        assert loss.interval[1] ** 2 - loss.interval[0] ** 2 < 1e-6


def test_more_rows_than_are_added_at_once_are_put_in_two_parts_before(monkeypatch):
    S, T = drawn(np.random.default_rng(2), 3000, 3, 4)
    wanted = bits(summed(S, T))
    monkeypatch.setattr(order_free, "MOST_ROWS", 1100)
    assert bits(summed(S, T)) == wanted


def test_sums_on_two_grids_do_not_add():
    S, T = drawn(np.random.default_rng(3), 50, 2, 3)
    one = summed(S, T)[0]
    with pytest.raises(Mismatch, match=r"column 1 of student layer s was rounded on two grids \(below 2\^2, and below"):
        merged(one, summed(S * [1.0, 4.0], T)[0])
    with pytest.raises(Mismatch, match="one part was summed on a grid and one was not"):
        merged(one, layer_sums(teacher={"t": T}, student={"s": S}, once=True))


def test_entries_beyond_a_grid_are_refused_and_not_cut():
    S, T = drawn(np.random.default_rng(4), 50, 2, 3)
    grid = Grid.of(layers(S, T))
    with pytest.raises(Mismatch, match="column 1 of student layer s has entries beyond the grid"):
        summed(S * [1.0, 4.0], T, grid=grid)
    T[7, 0] = 1e-3  # of a column that the grid knows as all zero
    with pytest.raises(Mismatch, match="column 0 of teacher layer t has entries beyond the grid"):
        summed(S, T, grid=grid)
    assert bits(summed(S, T, grid=grid.with_room_for(Grid.of(layers(S, T)))))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named_with_their_row(bad):
    S, T = drawn(np.random.default_rng(5), 50, 2, 3)
    grid = Grid.of(layers(S, T))
    T[7, 1] = bad
    for how in (lambda: Grid.of(layers(S, T)), lambda: summed(S, T, grid=grid)):
        with pytest.raises(NumericalError, match="teacher features of layer t hold 1 NaN or infinite values, first in"):
            how()


def test_no_sum_of_the_largest_whole_numbers_passes_2_to_the_53():
    top = int(LARGEST)
    k = np.array([top, -top, top - 1, top - 2**14, 2**14 + 1, 0.0, *np.random.default_rng(6).integers(-top, top, 999)])
    high, low, both = order_free.halves(k[:, None])
    assert np.array_equal(high * 2.0**order_free.HALF + low, k[:, None])
    assert float(np.max(both**2)) * order_free.MOST_ROWS <= 2.0**53
    grid = Grid({KEYS[0]: np.full(7, 3)})
    digits, powers = grid.row_squares(KEYS[0], np.full((2, 7), LARGEST))
    assert float(digits.max()) * LARGEST * BLOCK_ROWS <= 2.0**53
    assert sum(np.ldexp(digits[0], powers)) == 7 * 8.0**2
