"""Two slices of every number: Grams of rows that can be read once, sharp enough for small losses."""

from fractions import Fraction

import numpy as np
import pytest

from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.distance.slices import BITS, MOST_ROWS, sliced
from kernelscope.kernels.self_check.attacks import CHANGES, KINDS, pair_of_kind
from kernelscope.kernels.self_check.whole_numbers import exact_squares, lies_between


class Once:
    """Rows that refuse to be read a second time."""

    def __init__(self, X: np.ndarray) -> None:
        self._X, self._next, self.shape, self.dtype = X, 0, X.shape, X.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        assert rows.start == self._next, "read twice"
        self._next = rows.stop
        return self._X[rows]


def test_slices_add_up_and_their_leading_products_are_exact():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((MOST_ROWS, 3)) * [1e-30, 1.0, 1e20]
    cut = sliced(Z)
    assert np.array_equal(cut.H + cut.L, Z)
    assert np.array_equal(cut.both, cut.H + Z)
    H = cut.H.T
    product = H @ H.T
    for i in range(3):
        for j in range(3):
            assert product[i, j] == sum(Fraction(a) * Fraction(b) for a, b in zip(H[i].tolist(), H[j].tolist()))
    largest = np.abs(Z).max(axis=0)
    assert (np.abs(cut.L).max(axis=0) <= largest * 2.0**-BITS).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_read_once_give_certified_losses_down_to_1e_8(kind):
    resolved = 0
    for number in range(4):
        rng = np.random.default_rng(number)
        S, T = pair_of_kind(kind, CHANGES[number], 6000, 12, 10.0 ** (-2 * number - 1), rng)
        sums = layer_sums(teacher={"a": Once(T)}, student={"a": Once(S)}, once=True).pair("a", "a")
        loss = loss_from_sums(ScaledSums(Once(T), Once(S), sums, 1.0, False, once=True))
        assert loss.certified
        assert loss.route == "gram"
        assert lies_between(loss.interval, exact_squares(student=S, teacher=T))
        resolved += loss.resolved
    assert resolved >= 3


def test_a_plain_gram_could_not_have_done_it():
    rng = np.random.default_rng(0)
    T = np.maximum(rng.standard_normal((20_000, 24)), 0)
    S = T @ np.linalg.qr(rng.standard_normal((24, 24)))[0] + 1e-6 * rng.standard_normal(T.shape)
    losses = []
    for once in (False, True):
        sums = layer_sums(teacher={"a": T}, student={"a": S}, once=once).pair("a", "a")
        losses.append(loss_from_sums(ScaledSums(T, S, sums, 1.0, False), route="gram"))
    assert [loss.resolved for loss in losses] == [False, True]
    assert losses[1].interval[1] - losses[1].interval[0] < 1e-3 * (losses[0].interval[1] - losses[0].interval[0])


@pytest.mark.parametrize("once", [False, True])
def test_every_pair_of_layers_equals_its_own_sums(once):
    rng = np.random.default_rng(0)
    T = {"a": rng.standard_normal((5000, 6)), "b": rng.standard_normal((5000, 9)) + 3}
    S = {"c": rng.standard_normal((5000, 4)), "d": T["a"] @ rng.standard_normal((6, 7))}
    sums = layer_sums(teacher=T, student=S, once=once)
    for t, X_T in T.items():
        for s, X_S in S.items():
            found = sums.pair(t, s)
            Z = np.hstack([X_S, X_T])
            np.testing.assert_allclose(found.gram, Z.T @ Z, rtol=1e-11, atol=1e-9)
            np.testing.assert_allclose(found.sums, Z.sum(0), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found.halves[0], Z[::2].T @ Z[::2], rtol=1e-11, atol=1e-9)
            difference, teacher = exact_squares(student=X_S, teacher=X_T)
            assert abs(Fraction(found.difference_squared) - difference) <= Fraction(found.certified_bar())
            assert abs(Fraction(found.norm_teacher) ** 2 - teacher) <= 3 * Fraction(found.norm_error("teacher")) * 10**8


def test_errors_of_a_centred_sliced_gram_cover_the_exact_one():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((2500, 2)) + 50, rng.standard_normal((2500, 3)) - 20
    found = layer_sums(teacher={"a": X_T}, student={"a": X_S}, once=True).pair("a", "a").centred()
    Z = [[Fraction(float(v)) for v in row] for row in np.hstack([X_S, X_T])]
    total = [sum(z[i] for z in Z) for i in range(5)]
    for rows, columns, error in (
        (range(2), range(2), found.errors.student),
        (range(2, 5), range(2, 5), found.errors.teacher),
        (range(2), range(2, 5), found.errors.cross),
    ):
        off = Fraction(0)
        for i in rows:
            for j in columns:
                exact = sum(z[i] * z[j] for z in Z) - total[i] * total[j] / 2500
                off += (Fraction(float(found.gram[i, j])) + Fraction(float(found.rest[i, j])) - exact) ** 2
        assert 0 < off <= Fraction(error) ** 2
