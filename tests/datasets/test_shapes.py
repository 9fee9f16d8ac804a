"""Procedural images are what their name says, for good, and can be told apart by what makes their class."""

import hashlib

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from kernelscope.datasets import shapes as shapes_module
from kernelscope.datasets.shapes import LIMITS, Shapes
from kernelscope.datasets.sources import load, splits
from kernelscope.errors import UsageError


def test_the_same_name_means_the_same_images_for_good():
    """Checkpoints store this fingerprint: other images would make every saved one unusable."""
    test = load("shapes(size=16,classes=6,n=48,difficulty=0.5)", "test")
    assert test.order_sha256 == hashlib.sha256(test.ids.tobytes()).hexdigest()
    assert (test.n, test.inputs.shape, test.inputs.dtype) == (12, (12, 3, 16, 16), np.uint8)
    assert test.order_sha256[:16] == "da24001f96ac8376"


def test_a_name_with_defaults_is_written_out_with_all_options():
    data = load("shapes", "test")
    assert data.name == "shapes(size=32,classes=10,n=2000,difficulty=0.3,seed=0)"
    assert load(data.name, "test").order_sha256 == data.order_sha256
    assert splits("shapes") == ("train", "validation", "test")
    assert load("shapes( n=2000, classes = 10)", "test").order_sha256 == data.order_sha256


def test_splits_seeds_and_difficulties_share_no_image():
    name = "shapes(size=16,classes=4,n=64,seed={})"
    parts = [load(name.format(seed), split) for seed in (0, 1) for split in ("train", "validation", "test")]
    parts.append(load("shapes(size=16,classes=4,n=64,difficulty=0.4)", "train"))
    assert [part.n for part in parts] == [64, 8, 16, 64, 8, 16, 64]
    assert len({bytes(i) for part in parts for i in part.ids}) == sum(part.n for part in parts)


def test_an_image_depends_on_its_number_alone():
    few, many = (load(f"shapes(size=12,classes=5,n={n})", "train") for n in (20, 200))
    np.testing.assert_array_equal(few.inputs, many.inputs[:20])
    assert few.labels.tolist() == many.labels[:20].tolist() == [0, 1, 2, 3, 4] * 4


def test_images_that_are_not_kept_are_drawn_the_same_again(monkeypatch):
    name = "shapes(size=12,classes=5,n=20,difficulty=1)"
    kept = load(name, "train")
    monkeypatch.setattr(shapes_module, "KEPT_BYTES", 0)
    drawn = load(name, "train")
    assert not isinstance(drawn.inputs, np.ndarray) and drawn.order_sha256 == kept.order_sha256
    rows = np.array([7, 0, 19, 7])
    np.testing.assert_array_equal(drawn.raw(rows), kept.inputs[rows])
    np.testing.assert_array_equal(drawn.take(rows).raw(np.array([0, 2])), kept.inputs[[7, 19]])
    np.testing.assert_array_equal(drawn.in_memory().inputs, kept.inputs)


@pytest.mark.parametrize("classes", [2, 10, 100, 257, 1024])
def test_every_class_is_another_combination_and_every_factor_is_used(classes):
    shapes = Shapes(classes=classes)
    combinations = {shapes.class_factors(label) for label in range(classes)}
    assert len(combinations) == classes
    used = [len({combination[factor] for combination in combinations}) for factor in range(4)]
    assert used == list(shapes.factors()) and all(u <= most for u, most in zip(used, LIMITS))
    if classes >= 16:  # no factor alone tells classes apart: each of its values has many
        assert all(2 <= u <= classes // 2 for u in used)


def test_a_harder_set_is_harder_for_a_linear_classifier():
    scores = []
    for difficulty in (0, 0.4, 1):
        train, test = (
            load(f"shapes(size=16,classes=4,n=400,difficulty={difficulty})", split) for split in ("train", "test")
        )
        fit = RidgeClassifier(1e6).fit(train.inputs.reshape(400, -1), train.labels)
        scores.append(fit.score(test.inputs.reshape(test.n, -1), test.labels))
    assert scores[0] > 0.95 and scores[0] > scores[1] > scores[2] + 0.2, scores


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        ("clases=3", "did you mean classes"),
        ("classes=1", "classes from 2 to 1024, not 1"),
        ("classes=1025", "not 1025"),
        ("size=4", "size from 8"),
        ("size=100000", "size from 8 to 512"),
        ("n=2.5", "not 2.5"),
        ("difficulty=2", "difficulty from 0 to 1"),
        ("difficulty=hard", "not 'hard'"),
        ("seed=-1", "seed from 0"),
        ("n=10**9", "shapes takes n from 8"),
        ("5", "is not NAME"),
        ("n=(1", "is not NAME"),
        ("**x", "is not NAME"),
        ("n=__import__('os')", "is not NAME"),
    ],
)
def test_an_option_without_sense_is_refused_in_one_line(options, piece):
    with pytest.raises(UsageError, match=piece.replace("(", r"\(")) as caught:
        load(f"shapes({options})", "test")
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 200
