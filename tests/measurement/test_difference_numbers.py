"""What carries the difference, in reports: the kernels that were measured, the examples' names, their thumbnails."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import kernelscope as ks
from kernelscope.report.report import TransferReport


def two_networks(n=70, d_T=6, d_S=5, seed=0):
    rng = np.random.default_rng(seed)
    X_T = np.maximum(rng.standard_normal((n, d_T)) + 1, 0)
    return X_T, X_T[:, :1] * 2 + rng.standard_normal((n, d_S))


def of(X_T, X_S, **asked):
    return ks.measure(teacher=X_T, student=X_S, neighbours=0, **asked).pairs[0].difference_eigenvectors


def unit_rows(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def without_mean(X):
    return X - X.mean(axis=0)


@pytest.mark.parametrize(
    ("asked", "prepared"),
    [
        ({}, lambda X: X),
        ({"centre": True}, without_mean),
        ({"kernel": "cosine"}, unit_rows),
        ({"centre": True, "normalize": True}, lambda X: unit_rows(without_mean(X))),
    ],
    ids=["as it is", "centred", "cosine", "centred cosine"],
)
@pytest.mark.parametrize("sizes", [{}, {"n": 12, "d_T": 30, "d_S": 20}], ids=["long", "wide"])
@pytest.mark.parametrize("size", [1.0, 1e-120])
def test_they_are_of_the_kernels_that_were_measured(asked, prepared, sizes, size):
    X_T, X_S = two_networks(**sizes)
    K_T, K_S = (prepared(X) @ prepared(X).T for X in (X_T, X_S))
    values, vectors = np.linalg.eigh(K_S - K_T)
    order = np.argsort(-np.abs(values))[:3]
    unit = size**2 if "kernel" not in asked and "normalize" not in asked else 1.0
    for each, k in zip(of(size * X_T, size * X_S, **asked), order, strict=True):
        v = vectors[:, k] * np.sign(vectors[np.abs(vectors[:, k]).argmax(), k])
        assert each.eigenvalue == pytest.approx(values[k] * unit)
        assert each.interval[0] <= each.eigenvalue <= each.interval[1]
        assert each.share == pytest.approx(values[k] ** 2 / np.sum(values**2))
        largest = np.argsort(-v)[:4]
        assert [end.index for end in each.positive] == [i for i in largest if v[i] > 0]
        assert [end.entry for end in each.negative] == pytest.approx(sorted(v)[: len(each.negative)])


def test_examples_have_their_ids_and_labels(tmp_path):
    X_T, X_S = two_networks()
    y = np.arange(70) % 3
    for each in of(X_T, X_S, labels=y):
        assert all(end.label == str(end.index % 3) and end.thumbnail is None for end in each.positive + each.negative)
        assert each.dimension == 1


def test_equal_features_have_none_and_a_loss_within_rounding_is_null():
    X_T, _ = two_networks()
    assert of(X_T, X_T) == ()
    report = ks.measure(teacher=X_T, student=X_T * (1 + 1e-9), neighbours=0)
    assert report.difference_eigenvectors is None
    assert any("too small to attribute to examples" in note for note in report.notes)


def test_sums_alone_have_none_and_say_so():
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, 3)) for _ in range(2)]
    data = (np.random.default_rng(0).standard_normal((40, 1, 8, 8)).astype(np.float32), np.arange(40) % 3)
    report = ks.measure(teacher=networks[0], student=networks[1], data=data, features=False, layers="embedding")
    assert report.difference_eigenvectors is None
    assert any("one pass" in note for note in report.notes)


def test_a_saved_report_has_them_again(tmp_path):
    report = ks.measure(teacher=two_networks()[0], student=two_networks()[1], neighbours=0)
    again = TransferReport.load(report.save(tmp_path / "r.json"))
    assert again.difference_eigenvectors == report.difference_eigenvectors


class Embedding(nn.Module):
    def __init__(self, width, pixels):
        super().__init__()
        self.first, self.fc = nn.Linear(pixels, width), nn.Linear(width, 3)

    def forward(self, x):
        return self.fc(self.first(x.flatten(1)))


def on_images(images, **asked):
    vectors = measured_on_images(images, **asked).difference_eigenvectors
    return [end for each in vectors for end in each.positive + each.negative]


def measured_on_images(images, **asked):
    torch.manual_seed(0)
    pixels = int(np.prod(images.shape[1:]))
    given = {"teacher": Embedding(8, pixels), "student": Embedding(4, pixels), "cache": False, "neighbours": 0}
    return ks.measure(**given, data=(images, np.arange(len(images)) % 3), layers="embedding", **asked)


def decoded(thumbnail):
    head, _, content = thumbnail.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("sample", [None, 30])
def test_small_grey_images_are_their_thumbnails(sample):
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 9, 7), np.uint8)
    ends = on_images(images, sample=sample)
    assert len(ends) >= 12
    shown = {tuple(np.asarray(decoded(end.thumbnail)).ravel()) for end in ends}
    assert shown <= {tuple(image.ravel()) for image in images}
    if sample is None:
        for end in ends:
            np.testing.assert_array_equal(np.asarray(decoded(end.thumbnail)), images[end.index, 0])


def test_large_colour_images_have_small_thumbnails_of_their_colour():
    images = np.zeros((40, 3, 64, 128), np.uint8)
    images += np.random.default_rng(0).integers(0, 256, (40, 3, 1, 1), np.uint8)
    for end in on_images(images):
        image = decoded(end.thumbnail)
        assert image.size == (48, 24)
        np.testing.assert_allclose(image.convert("RGB").getpixel((20, 10)), images[end.index, :, 0, 0], atol=4)
        assert len(end.thumbnail) < 2000


def test_images_of_a_few_levels_are_stretched_to_be_seen():
    images = np.random.default_rng(0).integers(0, 17, (60, 1, 9, 7), np.uint8)
    for end in on_images(images):
        whole = images[end.index, 0].astype(float)
        expected = np.round(255 * (whole - whole.min()) / (whole.max() - whole.min()))
        np.testing.assert_array_equal(np.asarray(decoded(end.thumbnail)), expected)


def test_the_first_of_the_worst_examples_have_their_images():
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 9, 7), np.uint8)
    worst = measured_on_images(images).worst
    for each in worst[:8]:
        np.testing.assert_array_equal(np.asarray(decoded(each.thumbnail)), images[each.index, 0])
    assert {each.thumbnail for each in worst[8:]} == {None}


def test_numbers_that_are_no_image_have_no_thumbnail():
    vectors = np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)
    assert {end.thumbnail for end in on_images(vectors)} == {None}
