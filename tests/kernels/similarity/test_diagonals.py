"""Inner products of centred diagonals from sums are those of the diagonals."""

import numpy as np
import pytest

from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.similarity.diagonals import DiagonalSummation

KEYS = ("student", "s"), ("teacher", "t")


def summed(S, T):
    diagonals = DiagonalSummation(dict(zip(KEYS, (S, T))))
    return layer_sums(teacher={"t": T}, student={"s": S}, once=True, beside=[diagonals]), diagonals.total()


@pytest.mark.parametrize("offset", [0.0, 3.0, -20.0])
def test_inner_products_of_centred_diagonals_need_no_second_pass(offset):
    rng = np.random.default_rng(0)
    S, T = rng.standard_normal((300, 4)) + offset, rng.gamma(1.0, size=(300, 5)) - offset
    (_, one), (_, two), (sums, _) = (summed(S[at], T[at]) for at in (slice(0, 99), slice(99, None), slice(None)))
    k, l = (np.square(X - X.mean(axis=0)).sum(axis=1) for X in (S, T))
    found = one.merged(two).centred(sums.pair("t", "s"), *KEYS)
    assert found == pytest.approx((k @ k, l @ l, k @ l), rel=1e-9)


def test_means_that_carry_nearly_everything_leave_no_answer():
    rng = np.random.default_rng(1)
    S, T = rng.standard_normal((50, 4)) + 1e4, rng.standard_normal((50, 5))
    sums, diagonals = summed(S, T)
    assert diagonals.centred(sums.pair("t", "s"), *KEYS) is None
