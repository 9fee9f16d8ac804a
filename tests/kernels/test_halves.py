"""Halves of the rows that a head is fitted and measured on: whole groups, on every route, and never one so small."""

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.distance.tsqr import half_factors
from kernelscope.kernels.halves import second_half
from kernelscope.kernels.similarity.head import head_held_out


def held_out(S, T, second):
    """Both ways, from the definition."""
    found = []
    for fitted, tested in ((~second, second), (second, ~second)):
        A = np.linalg.lstsq(S[fitted], T[fitted], rcond=None)[0]
        X = S[tested] @ A
        K_T = T[tested] @ T[tested].T
        found.append(np.linalg.norm(X @ X.T - K_T) / np.linalg.norm(K_T))
    return np.sqrt(np.mean(np.square(found)))


def grouped(seed, groups=40, d_S=6, d_T=9):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), rng.integers(3, 9, groups))
    rng.shuffle(codes)
    T = rng.standard_normal((groups, d_T))[codes] + 0.05 * rng.standard_normal((len(codes), d_T))
    S = rng.standard_normal((groups, d_S))[codes] + 0.05 * rng.standard_normal((len(codes), d_S))
    return S, T, codes


@pytest.mark.parametrize("seed", range(3))
def test_whole_groups_are_held_out_on_every_route(seed):
    S, T, codes = grouped(seed)
    second = second_half(codes)
    assert not set(codes[second]) & set(codes[~second])
    expected = held_out(S, T, second)
    scaled = well_scaled_sums(teacher=T, student=S, halves=True, second=second)
    assert head_held_out(scaled) == pytest.approx(expected, rel=1e-9)
    (pair,) = ks.measure(teacher=T, student=S, groups=codes, neighbours=0)
    (of_grid,) = ks.measure(teacher={"t": T}, student={"s": S}, groups=codes, pairs="all")
    assert pair.ladder.head_held_out == pytest.approx(expected, rel=1e-9)
    assert of_grid.ladder.head_held_out == pytest.approx(expected, rel=1e-9)
    for R, rows in zip(half_factors(S, T, second=second), (~second, second)):
        both = np.hstack([S, T])[rows]
        np.testing.assert_allclose(R.T @ R, both.T @ both, rtol=1e-9, atol=1e-9)


def test_rows_that_are_alike_are_not_seen_on_both_sides():
    S, T, codes = grouped(5, groups=30, d_S=12)
    (single,) = ks.measure(teacher=T, student=S, neighbours=0)
    (whole,) = ks.measure(teacher=T, student=S, groups=codes, neighbours=0)
    assert single.ladder.head_held_out < 1 < whole.ladder.head_held_out
    assert single.ladder.head == pytest.approx(whole.ladder.head, rel=1e-9)


def test_nothing_is_fitted_on_a_half_that_one_group_leaves_too_small():
    S, T, codes = grouped(7)
    (pair,) = ks.measure(teacher=T, student=S, groups=np.where(codes < 38, 0, codes), neighbours=0)
    assert pair.ladder.head_held_out is None and pair.ladder.head is not None
