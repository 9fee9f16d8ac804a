"""Whole numbers are known as such in every type, without a warning."""

import numpy as np
import pytest

from kernelscope.numpy_files import are_whole


@pytest.mark.parametrize("kind", ["?", "i1", "u8", "f2", "f4", "f8"])
def test_whole_numbers_of_any_type_are_whole(kind):
    assert are_whole(np.array([0, 1, 1], kind))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf, -np.inf])
def test_what_is_no_whole_number_is_none(odd, kind):
    assert not are_whole(np.array([1, odd], kind))


@pytest.mark.parametrize("values", [np.array([1e300]), np.array([1j]), np.array(["1"]), np.zeros(2, "M8[s]")], ids=str)
def test_what_64_bits_do_not_hold_or_is_no_number_is_none(values):
    assert not are_whole(values)
