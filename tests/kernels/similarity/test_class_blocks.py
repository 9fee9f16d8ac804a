"""Shares of the loss by pairs of classes, straight from the differences and from class Grams."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kernelscope.errors import Mismatch, ResourceError
from kernelscope.kernels.distance.gram import gram_sums
from kernelscope.kernels.similarity.class_blocks import class_blocks
from tests.kernels.kernel_oracles import kernel, one_hot


def dense_blocks(X_S: np.ndarray, X_T: np.ndarray, y: np.ndarray) -> np.ndarray:
    Y = one_hot(y, int(y.max()) + 1)
    squares = Y.T @ np.square(kernel(X_S) - kernel(X_T)) @ Y
    return squares / squares.sum()


@pytest.mark.parametrize(("n", "L"), [(9, 3), (20, 1), (200, 7), (300, 200)])
def test_blocks_are_sums_of_squares_over_pairs_of_classes(n: int, L: int) -> None:
    rng = np.random.default_rng(n)
    X_S, X_T = rng.standard_normal((n, 4)), rng.standard_normal((n, 6))
    y = np.where(rng.random(n) < 0.1, -1, rng.integers(0, L, n))
    y[:L] = np.arange(L)[:n]
    found = class_blocks(teacher=X_T, student=X_S, classes=y)
    assert_allclose(found, dense_blocks(X_S, X_T, y), atol=1e-13)
    assert found.sum() == pytest.approx(1)
    assert_allclose(found, found.T, atol=1e-16)


@pytest.mark.parametrize("far", [True, False])
def test_classes_that_do_not_fit_together_take_more_passes_and_give_the_same(far: bool, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    X_T, y = rng.standard_normal((3000, 4)), rng.integers(0, 11, 3000)
    X_S = rng.standard_normal((3000, 4)) if far else X_T + 1e-5 * rng.standard_normal((3000, 4))
    sums = gram_sums(teacher=X_T, student=X_S)
    expected = dense_blocks(X_S, X_T, y)
    column = 2 * 8 * 8 * 11  # of 11 Grams of width 8, in half of the memory
    for columns_in_memory in (2, 3, 8):
        memory = column * columns_in_memory
        monkeypatch.setattr("kernelscope.kernels.similarity.class_blocks.BLOCK_ROWS", 700)  # several parts of the rows
        found = class_blocks(teacher=X_T, student=X_S, classes=y, sums=sums, memory_bytes=memory)
        assert_allclose(found, expected, atol=1e-13 if far else 1e-9)
    with pytest.raises(ResourceError, match="do not hold 1,408 for 11 classes"):
        class_blocks(teacher=X_T, student=X_S, classes=y, sums=sums, memory_bytes=column - 1)


def test_memory_is_what_was_given_and_two_blocks_of_rows() -> None:
    rng = np.random.default_rng(5)
    n, d, L, memory = 9000, 64, 150, 12 * 2**20
    X_T, y = rng.standard_normal((n, d)), rng.integers(0, L, n)
    X_S = X_T + rng.standard_normal((n, d))
    sums = gram_sums(teacher=X_T, student=X_S)
    tracemalloc.start()
    try:
        class_blocks(teacher=X_T, student=X_S, classes=y, sums=sums, memory_bytes=memory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 8 * L * (2 * d) ** 2 > memory  # all Grams at once would not fit
    assert peak <= memory + 2 * (8 * 4096 * 2 * d)


@pytest.mark.parametrize("exponent", [3, 8, 14, 22, 28])
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("n", [16, 200])
def test_a_small_loss_keeps_its_blocks(exponent: int, rotate: bool, n: int) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.integers(-4, 5, (n, 5)).astype(float), np.arange(n) % 3
    X_S = X * (1 + 2.0**-exponent)
    if rotate:
        X_S = np.hstack([X_S @ np.linalg.qr(rng.standard_normal((5, 5)))[0], np.zeros((n, 1))])
    found = class_blocks(teacher=X, student=X_S, classes=y)  # K_S − K_T is a multiple of K_T
    assert_allclose(found, dense_blocks(X, np.zeros((n, 1)), y), atol=1e-14 * 2**exponent + 1e-9)


def test_a_difference_in_one_class_stands_in_its_block() -> None:
    y = np.arange(60) % 4
    X_T = np.random.default_rng(3).standard_normal((60, 3))
    X_S = np.hstack([X_T, (y == 2)[:, None].astype(float)])
    expected = np.zeros((4, 4))
    expected[2, 2] = 1
    assert_allclose(class_blocks(teacher=X_T, student=X_S, classes=y), expected, atol=1e-12)


def test_equal_networks_have_no_block() -> None:
    X = np.random.default_rng(4).standard_normal((10, 3))
    assert not class_blocks(teacher=X, student=X, classes=np.arange(10) % 2).any()


def test_too_many_classes_and_labels_of_other_examples_are_refused() -> None:
    X = np.ones((300, 2))
    with pytest.raises(Mismatch, match="at most 200 classes"):
        class_blocks(teacher=X, student=X, classes=np.arange(300) % 201)
    with pytest.raises(Mismatch, match=r"expected \(300,\)"):
        class_blocks(teacher=X, student=X, classes=np.zeros(299, int))
    with pytest.raises(Mismatch, match="at least one class"):
        class_blocks(teacher=X, student=X, classes=np.full(300, -1))
