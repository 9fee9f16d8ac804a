"""The chain of roundings that a proof counts is the one that sums make, in NumPy's and torch's hands."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from kernelscope import devices
from kernelscope.kernels.distance.accumulate import (
    CPU,
    PLAINLY,
    BlockSum,
    CrossSum,
    OnDevice,
    OwnSum,
    PairSum,
    block_rows,
    place_of,
    summation_chain,
)
from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.rounding import gamma
from kernelscope.kernels.self_check.attacks import PANELS, many_rows
from kernelscope.kernels.self_check.whole_numbers import lies_between
from kernelscope.kernels.snapshot import Teacher


@pytest.mark.parametrize("zeros", [lambda: np.zeros(()), lambda: torch.zeros((), dtype=torch.float64)])
def test_blocks_that_all_round_one_way_are_added_with_few_roundings(zeros):
    total, exact = BlockSum(zeros), Fraction(1)
    total.add(zeros() + 1)
    tiny = 2.0**-53 * 1.01
    for _ in range(20_000):
        total.add(zeros() + tiny)
        exact += Fraction(tiny)
    plainly = 1.0
    for _ in range(20_000):
        plainly += tiny
    assert abs(Fraction(plainly) / exact - 1) > gamma(5000)  # one chain would be far off
    assert abs(Fraction(float(total.total())) / exact - 1) <= gamma(PLAINLY + 2)
    high, low = (Fraction(float(part)) for part in total.in_two())
    assert abs((high + low) / exact - 1) <= gamma(PLAINLY + 2)


def test_blocks_to_be_exact_are_added_exactly():
    rng = np.random.default_rng(0)
    total, exact = BlockSum(lambda: np.zeros(1), plainly=1), Fraction(0)
    for value in rng.standard_normal(500) * 10.0 ** rng.uniform(-8, 8, 500):
        total.add(np.array([value]))
        exact += Fraction(float(value))
    high, low = total.in_two()
    assert abs(Fraction(float(high[0])) + Fraction(float(low[0])) - exact) <= 2.0**-100 * abs(exact)


@pytest.mark.parametrize(
    ("width", "rows"), [(1, 4096), (1024, 4096), (2000, 2048), (2048, 2048), (8192, 1024), (10**7, 1024)]
)
def test_a_block_has_a_power_of_two_of_rows_that_fits_its_width(width, rows):
    assert block_rows(width) == rows


def test_the_chain_stops_growing_with_the_examples():
    assert summation_chain(100, 4096) == 100 + 1 + 2
    assert summation_chain(10**9, 4096) == 4096 + 64 + 2


@pytest.mark.parametrize("n", [1, 100, 4096, 4097, 12_289])
def test_sums_are_those_of_all_rows_whatever_their_blocks(n):
    rng = np.random.default_rng(n)
    X_S, X_T = rng.standard_normal((n, 3)), rng.standard_normal((n, 700)).astype(np.float32)
    Z = np.hstack([X_S, X_T])
    for kind in (PairSum(3, 700, True), PairSum(3, 700, True, OnDevice("cpu"))):
        kind.add(X_S[: n // 2], X_T[: n // 2])
        kind.add(X_S[n // 2 :], X_T[n // 2 :])
        np.testing.assert_allclose(kind.gram(), Z.T @ Z, rtol=1e-11, atol=1e-11 * n)
        np.testing.assert_allclose(kind.sums, Z.sum(0), rtol=1e-10, atol=1e-10)
    own, cross = OwnSum(3), CrossSum(3, 700)
    own.add(X_S)
    cross.add(X_S, X_T.astype(np.float64))
    np.testing.assert_allclose(own.gram(), X_S.T @ X_S, rtol=1e-11, atol=1e-11 * n)
    np.testing.assert_allclose(cross.total(), X_S.T @ X_T.astype(float), rtol=1e-10, atol=1e-11 * n)


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("panel", PANELS[::3])
def test_ten_million_rows_that_all_round_one_way_keep_the_proved_error(panel, device, monkeypatch):
    student, teacher, truth = many_rows(10_000_000, panel)
    if device == "torch":  # what another device would run, on this one
        monkeypatch.setattr("kernelscope.kernels.distance.gram.place_of", OnDevice)
    sums = gram_sums(teacher=teacher, student=student)
    exact = 1 + (len(teacher) - 1) * Fraction(float(teacher[1, 0])) ** 2
    assert abs(Fraction(float(sums.G_TT[0, 0])) - exact) <= Fraction(sums.errors.teacher)
    found = transfer_loss(teacher=teacher, student=student)
    assert found.certified
    assert lies_between(found.interval, truth)


def test_a_device_without_double_precision_leaves_sums_to_the_cpu():
    assert place_of("cpu") is CPU is place_of("mps") is place_of("mps:0")
    assert devices.for_double("cuda:1") == "cuda:1"


def test_layers_snapshots_and_streams_keep_the_same_error():
    student, teacher, truth = many_rows(1_000_000, 256)
    exact = 1 + (len(teacher) - 1) * Fraction(float(teacher[1, 0])) ** 2
    for once in (False, True):
        sums = layer_sums(teacher={"a": teacher}, student={"a": student}, once=once).pair("a", "a")
        assert abs(Fraction(float(sums.G_TT[0, 0])) - exact) <= Fraction(sums.errors.teacher) + Fraction(2.0**-52)
    value = Teacher(teacher, np.zeros(len(teacher), int)).against(student).transfer_loss
    assert abs(Fraction(value) ** 2 * truth[1] - truth[0]) <= 1e-11 * truth[1]
