"""Error-free transformations against rationals, and sums that cancel."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernelscope.kernels.rounding import (
    AT_A_TIME,
    evaluation_error,
    frobenius,
    gamma,
    norm_roundings,
    sum_of_products,
    sum_of_squares,
    two_product,
    two_sum,
)

finite = st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100)


@given(a=finite, b=finite)
def test_a_sum_and_its_error_are_the_sum(a, b):
    s, e = two_sum(np.float64(a), np.float64(b))
    assert s == a + b
    assert Fraction(float(s)) + Fraction(float(e)) == Fraction(a) + Fraction(b)


@given(a=finite, b=finite)
def test_a_product_and_its_error_are_the_product(a, b):
    p, e = two_product(np.float64(a), np.float64(b))
    assert p == a * b
    assert Fraction(float(p)) + Fraction(float(e)) == Fraction(a) * Fraction(b)


def test_sums_without_error_hold_for_tensors():
    a, b = torch.tensor([1.0, 2.0**60], dtype=torch.float64), torch.tensor([2.0**-60, 1.0], dtype=torch.float64)
    s, e = two_sum(a, b)
    assert s.tolist() == [1.0, 2.0**60]
    assert e.tolist() == [2.0**-60, 1.0]


@pytest.mark.parametrize("entries", [1, 7, AT_A_TIME, 3 * AT_A_TIME + 5])
def test_squares_that_cancel_are_summed_to_the_last_bits(entries):
    rng = np.random.default_rng(entries)
    A = rng.standard_normal((entries, 1)) * 10.0 ** rng.uniform(-6, 6, (entries, 1))
    B = A * (1 + 1e-14 * rng.standard_normal(A.shape))
    exact = sum(Fraction(float(a)) ** 2 - Fraction(float(b)) ** 2 for a, b in zip(A.ravel(), B.ravel()))
    found = sum_of_squares((1.0, A), (-1.0, B))
    allowed = 2 * 2.0**-53 * abs(exact) + evaluation_error(2 * entries, 2 * float(np.sum(A * A)))
    assert abs(Fraction(found) - exact) <= allowed
    assert allowed < 1e-10 * abs(exact)


def test_products_pair_equal_entries_whatever_the_memory_order():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((40, 30)), np.asfortranarray(rng.standard_normal((40, 30)))
    square = rng.standard_normal((50, 50))
    assert sum_of_products([(2.0, A, B)]) == pytest.approx(2 * float(np.sum(A * B)), rel=1e-14)
    assert sum_of_products([(1.0, square, square.T)]) == pytest.approx(float(np.sum(square * square.T)), rel=1e-13)
    assert sum_of_products([(1.0, B[3:9, ::2], A[3:9, ::2])]) == pytest.approx(float(np.sum(A[3:9, ::2] * B[3:9, ::2])))


@pytest.mark.parametrize("scale", [1e-170, 1.0, 1e170])
@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3)])
def test_a_norm_makes_no_more_roundings_than_it_says(shape, scale):
    A = np.random.default_rng(0).standard_normal(shape) * scale
    exact = sum(Fraction(float(v)) ** 2 for v in A.ravel())
    found = Fraction(frobenius(A))
    bound = Fraction(1 + gamma(norm_roundings(A)))
    assert found**2 <= exact * bound**2
    assert exact <= found**2 * bound**2


def test_norms_of_nothing_and_of_infinities_are_themselves():
    assert frobenius(np.zeros((3, 2))) == 0
    assert frobenius(np.zeros((0, 2))) == 0
    assert frobenius(np.array([[np.inf, 1.0]])) == np.inf
