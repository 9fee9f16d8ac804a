"""Preprocessing is what its list says, or a refusal."""

import numpy as np
import pytest
import torch

from kernelscope.datasets.preprocess import OPERATIONS, apply
from kernelscope.errors import UnreadableInput

RGB = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
NORMALIZE = {"op": "normalize", "mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 0.5]}


def test_operations_are_applied_in_order_and_per_channel():
    found = apply([{"op": "scale", "by": 1 / 255}, NORMALIZE], RGB)
    mean, std = (np.array(NORMALIZE[key])[None, :, None, None] for key in ("mean", "std"))
    np.testing.assert_allclose(found.numpy(), (RGB / 255 - mean) / std, rtol=1e-6, atol=1e-6)
    assert found.dtype == torch.float32
    other = apply([NORMALIZE, {"op": "scale", "by": 1 / 255}], RGB)
    assert not torch.allclose(found, other)


def test_vectors_are_normalised_per_feature():
    x = np.random.default_rng(1).normal(size=(7, 3))
    np.testing.assert_allclose(apply([NORMALIZE], x).numpy(), (x - NORMALIZE["mean"]) / NORMALIZE["std"], rtol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, ">i2", np.float16, np.float32, np.float64])
def test_every_kind_of_number_and_of_array_comes_out_the_same(kind):
    operations = [{"op": "scale", "by": 0.5}, NORMALIZE]
    expected = apply(operations, RGB)
    raw = RGB.astype(kind)
    raw.setflags(write=False)
    assert torch.equal(apply(operations, raw), expected)
    assert torch.equal(apply(operations, raw[::-1])[torch.arange(4, -1, -1)], expected)
    assert torch.equal(apply(operations, torch.from_numpy(RGB)), expected)


@pytest.mark.parametrize("raw", [np.ones((2, 1, 2, 2), np.float32), torch.ones(2, 1, 2, 2)])
def test_what_comes_out_is_always_a_copy(raw):
    apply([], raw).zero_()
    assert float(raw.sum()) == 8


def test_an_operation_outside_the_closed_list_is_refused_with_the_list():
    with pytest.raises(UnreadableInput, match=f"preprocessing 'blur' is not one of {', '.join(OPERATIONS)}"):
        apply([{"op": "blur"}], RGB)


@pytest.mark.parametrize(
    ("operation", "piece"),
    [
        ({"op": "scale"}, "'by'"),
        ({"op": "scale", "by": "much"}, "could not convert"),
        ({"op": "scale", "by": float("nan")}, "not finite"),
        ({"op": "scale", "by": 1e300}, "not finite"),
        ({"op": "normalize", "mean": [0.0]}, "'std'"),
        ({"op": "normalize", "mean": [0.0], "std": [1.0]}, "1 means, 1 stds"),
        ({"op": "normalize", "mean": [0.0] * 3, "std": [1.0]}, "3 means, 1 stds"),
        ({"op": "normalize", "mean": [0.0] * 3, "std": [1.0, 0.0, 1.0]}, "a std is not positive"),
        ({"op": "normalize", "mean": 0.5, "std": 1.0}, "not iterable"),
        ({}, "None is not one of"),
        ("scale", "has no attribute"),
        (["scale", 2], "has no attribute"),
    ],
)
def test_an_operation_without_sense_is_refused_in_one_line(operation, piece):
    with pytest.raises(UnreadableInput, match=piece) as caught:
        apply([operation], RGB)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 200


def test_three_means_do_not_turn_one_channel_into_three():
    with pytest.raises(UnreadableInput, match=r"shape \(5, 1, 4, 6\) \(3 means, 3 stds\)"):
        apply([NORMALIZE], RGB[:, :1])
