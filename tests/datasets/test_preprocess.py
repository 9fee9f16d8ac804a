"""Preprocessing is what its list says, or a refusal."""

import numpy as np
import pytest
import torch

from kernelscope.datasets.preprocess import OPERATIONS, apply, require_known, split_geometry
from kernelscope.errors import Mismatch, UnreadableInput

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


def test_a_resize_is_pillows_to_less_than_a_grey_value():
    from PIL import Image

    images = np.random.default_rng(3).integers(0, 256, (4, 3, 37, 53), dtype=np.uint8)
    for size, sides in ((20, (20, 28)), ([41, 16], (41, 16)), (64, (64, 91)), (37, (37, 53))):
        found = apply([{"op": "resize", "size": size}], images).numpy()
        assert found.shape == (4, 3, *sides)
        for image, ours in zip(images, found):
            theirs = Image.fromarray(image.transpose(1, 2, 0)).resize(sides[::-1], Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(theirs).transpose(2, 0, 1) - ours).max() < 1.01
    down = apply([{"op": "resize", "size": 10, "interpolation": "bicubic"}], images).numpy()
    theirs = np.asarray(Image.fromarray(images[0].transpose(1, 2, 0)).resize((14, 10), Image.Resampling.BICUBIC))
    assert np.abs(theirs.transpose(2, 0, 1) - np.clip(down[0], 0, 255)).max() < 1.5


def test_a_portrait_image_is_resized_by_its_shorter_side_too():
    tall = np.zeros((1, 3, 60, 30), np.uint8)
    assert apply([{"op": "resize", "size": 20}], tall).shape == (1, 3, 40, 20)


def test_a_crop_is_the_middle():
    x = np.arange(7 * 9).reshape(1, 1, 7, 9).astype(np.float32)
    assert torch.equal(apply([{"op": "center_crop", "size": 3}], x)[0, 0], torch.from_numpy(x[0, 0, 2:5, 3:6]))
    assert apply([{"op": "center_crop", "size": [7, 2]}], x).shape == (1, 1, 7, 2)


def test_grey_becomes_colour_and_colour_grey():
    grey = apply([{"op": "channels", "to": 1}], RGB)
    np.testing.assert_allclose(grey[:, 0].numpy(), np.tensordot([0.299, 0.587, 0.114], RGB, (0, 1)), rtol=1e-5)
    colour = apply([{"op": "channels", "to": 3}], grey)
    assert torch.equal(colour, grey.expand(-1, 3, -1, -1))
    assert torch.equal(apply([{"op": "channels", "to": 3}], RGB), torch.from_numpy(RGB).float())


def test_images_of_different_sizes_give_what_each_gives_alone():
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (3, h, w), dtype=np.uint8) for h, w in ((20, 31), (44, 25), (16, 16))]
    operations = [{"op": "resize", "size": 16}, {"op": "center_crop", "size": 14}, {"op": "scale", "by": 1 / 255}]
    found = apply(operations, images)
    for image, ours in zip(images, found):
        assert torch.equal(apply(operations, image[None])[0], ours)
    with pytest.raises(Mismatch, match="do not make a batch"):
        apply([{"op": "scale", "by": 1}], images)


@pytest.mark.parametrize(
    ("operation", "piece"),
    [
        ({"op": "resize"}, "'size'"),
        ({"op": "resize", "size": 0}, "a side of 0, expected 1 to 8192"),
        ({"op": "resize", "size": 10**6}, "a side of 1000000"),
        ({"op": "resize", "size": [4, 4, 4]}, "too many values"),
        ({"op": "resize", "size": "big"}, "too many values"),
        ({"op": "resize", "size": 2.5}, "non-iterable"),
        ({"op": "resize", "size": True}, "a side of True"),
        ({"op": "resize", "size": 4, "interpolation": "area"}, "interpolation 'area'"),
        ({"op": "center_crop", "size": 5}, "a crop of 5 × 5 from 4 × 6"),
        ({"op": "channels", "to": 2}, "3 channels to 2"),
    ],
)
def test_a_geometric_operation_without_sense_is_refused_in_one_line(operation, piece):
    with pytest.raises(UnreadableInput, match=piece) as caught:
        apply([operation], RGB)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 200
    with pytest.raises(UnreadableInput, match="for images"):
        apply([{"op": "center_crop", "size": 1}], RGB[:, 0, 0])


def test_operations_from_the_command_line_are_known_or_refused():
    assert require_known([NORMALIZE]) == [NORMALIZE]
    for operations in ({}, [3], "scale", [{"op": "rotate"}], [{}]):
        with pytest.raises(ValueError, match=r"expected a list|is not one of"):
            require_known(operations)


def test_geometry_is_what_comes_before_anything_else():
    resize, crop = {"op": "resize", "size": 4}, {"op": "center_crop", "size": 2}
    assert split_geometry([resize, crop, NORMALIZE, crop]) == ([resize, crop], [NORMALIZE, crop])
    assert split_geometry([NORMALIZE]) == ([], [NORMALIZE]) and split_geometry([crop]) == ([crop], [])
