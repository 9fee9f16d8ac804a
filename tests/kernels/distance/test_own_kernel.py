"""Kernels of few examples, and rows that stand for wider ones, against kernels of whole numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from kernelscope.errors import NumericalError
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums, transfer_loss, well_scaled_sums
from kernelscope.kernels.distance.kernel_pair import KernelPair
from kernelscope.kernels.distance.own_kernel import Narrowed, narrowed, own_kernel
from kernelscope.kernels.rows import columns, kernel_error
from kernelscope.kernels.similarity import kernel_ladder, ladder

BITS = 20  #: features below are multiples of 2^-20 that float32 holds, so that kernels in whole numbers fit in int64


def grid(X: np.ndarray) -> np.ndarray:
    return (np.clip(np.rint(X * 2.0**BITS), -(2**23), 2**23) / 2.0**BITS).astype(np.float32)


def whole_kernel(X: np.ndarray) -> np.ndarray:
    X = (X.astype(np.float64) * 2**BITS).astype(np.int64)
    return (X @ X.T).astype(object)


def exact_squares(S: np.ndarray, T: np.ndarray) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """‖K_S − K_T‖², ‖K_S‖², ‖K_T‖² and ⟨K_S, K_T⟩."""
    K_S, K_T = whole_kernel(S), whole_kernel(T)
    unit = Fraction(1, 2 ** (4 * BITS))
    return tuple(int(np.sum(A * B)) * unit for A, B in ((K_S - K_T, K_S - K_T), (K_S, K_S), (K_T, K_T), (K_S, K_T)))


def lies_between(interval: tuple[float, float], squared: Fraction) -> bool:
    low, high = (Fraction(end) for end in interval)
    return low * low <= squared <= high * high


def case(size: tuple[int, int], noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    T = grid(np.maximum(rng.standard_normal(size) + rng.standard_normal((size[0], 1)) + 0.3, 0))
    moved = rng.random(size) < min(1.0, noise * 2.0**BITS)  # by one step of the grid at least
    return grid(T + moved * max(noise, 2.0**-BITS) * rng.choice([-1.0, 1.0], size)), T


SIZES = [(24, 3000), (60, 700), (7, 20_000)]
NOISES = [1e-1, 1e-3, 1e-5, 1e-7]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("noise", NOISES)
def test_intervals_of_wide_layers_contain_the_loss_in_whole_numbers(size, noise):
    for seed in range(2):
        S, T = case(size, noise, seed)
        difference, own_S, own_T, inner = exact_squares(S, T)
        loss, scaled = difference / own_T, 1 - inner * inner / own_S / own_T
        pair = KernelPair.of(student=own_kernel(S), teacher=own_kernel(T))
        sums = well_scaled_sums(teacher=narrowed(T), student=narrowed(S))
        for found in (
            pair.loss(1e-6, 1e-9),
            loss_from_sums(sums),
            transfer_loss(teacher=narrowed(T), student=narrowed(S)),
            transfer_loss(teacher=T, student=S),
        ):
            assert found.certified
            assert found.resolved
            assert lies_between(found.interval, loss)
        for rung in (kernel_ladder.best_scaled(pair), ladder.best_scaled(sums)):
            assert lies_between(rung.interval, scaled)


@pytest.mark.parametrize("d_S", [3, 40, 5000])
def test_a_wide_teacher_meets_students_of_any_width(d_S):
    rng = np.random.default_rng(d_S)
    T = grid(rng.standard_normal((50, 3000)))
    S = grid(np.maximum(T @ rng.standard_normal((3000, d_S)) / 54, -0.5))
    difference, _, own_T, _ = exact_squares(S, T)
    pair = KernelPair.of(student=own_kernel(S), teacher=own_kernel(T))
    sums = well_scaled_sums(teacher=narrowed(T), student=narrowed(S))
    for found in (pair.loss(1e-6, 1e-9), loss_from_sums(sums)):
        assert lies_between(found.interval, difference / own_T)


def test_narrowed_rows_have_the_kernel_of_the_wide_ones_and_remember_them():
    T = case((40, 900), 1e-2, 0)[1]
    F = narrowed(T)
    assert isinstance(F, Narrowed)
    assert (F.shape, columns(F)) == ((40, 40), 900)
    exact = whole_kernel(T).astype(np.float64) / 2.0 ** (2 * BITS)
    assert 0 < kernel_error(F) < 1e-10 * np.linalg.norm(exact)
    assert np.linalg.norm(F[0:40] @ F[0:40].T - exact) <= kernel_error(F)
    assert narrowed(T[:, :40]).shape == (40, 40)
    assert not isinstance(narrowed(T[:, :40]), Narrowed)
    assert transfer_loss(teacher=F, student=narrowed(T.copy())).interval == (0.0, 0.0)
    turned = T[:, np.random.default_rng(0).permutation(900)]  # an equal kernel of other rows
    assert transfer_loss(teacher=F, student=narrowed(turned)).interval[1] > 0


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e4])
def test_the_centred_kernel_is_that_of_rows_less_their_mean(offset):
    X = (np.random.default_rng(0).standard_normal((30, 200)) + offset).astype(np.float32)
    own = own_kernel(X).centred()
    exact = X.astype(np.longdouble) - X.astype(np.longdouble).mean(axis=0)
    exact = (exact @ exact.T).astype(np.float64)
    assert np.linalg.norm(own.K - exact) <= own.error <= 1e-7 * np.linalg.norm(exact)
    assert own.rows @ own.rows.T == pytest.approx(exact, abs=1e-7 * np.linalg.norm(exact))
    assert own.spectrum[:29] == pytest.approx(np.linalg.eigvalsh(exact)[:0:-1], rel=1e-6)


def test_features_that_are_the_same_for_all_examples_have_no_centred_kernel():
    for X in (np.full((20, 300), 0.1), np.full((20, 300), np.float32(0.1)), np.full((20, 3), 0.1)):
        own = own_kernel(X)
        assert own.constant
        assert not own.centred().K.any()
        sums = centre(well_scaled_sums(teacher=np.random.default_rng(0).standard_normal((20, 4)), student=narrowed(X)))
        assert sums.sums.norm_student == 0


class Watched:
    """Rows that remember the most numbers they gave at a time."""

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.shape, self.dtype, self.most = X, X.shape, X.dtype, 0

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        self.most = max(self.most, self.X[rows].size)
        return self.X[rows]


def test_wide_rows_are_read_in_blocks_that_fit():
    X = np.random.default_rng(0).standard_normal((100, 6000))
    rows = Watched(X)
    own = own_kernel(rows, memory_bytes=2**20)
    np.testing.assert_allclose(own.K, X @ X.T, rtol=1e-12, atol=1e-9)
    assert 8 * rows.most <= 2**20


def test_what_is_not_finite_is_named():
    X = np.ones((5, 30))
    X[3, 7] = math.nan
    with pytest.raises(NumericalError, match=r"wide rows hold 1 NaN .* first in row 3"):
        narrowed(X, "wide rows")
