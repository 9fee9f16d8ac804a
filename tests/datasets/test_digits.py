"""The embedded digits are scikit-learn's, split by class, for good."""

import numpy as np
import pytest

from kernelscope.datasets import sources
from kernelscope.datasets.digits import _stored, digits
from kernelscope.errors import UsageError

SPLITS = ("train", "validation", "test")
ORDERS = {"train": "e1078f3306dd2ebc", "validation": "c960329b6f4c505f", "test": "aac6bfbd40b87eaa"}


@pytest.fixture(scope="module")
def parts():
    return {split: digits(split) for split in SPLITS}


def test_the_embedded_copy_is_scikit_learns():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    images, labels = _stored()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.uint8
    assert np.array_equal(images[:, 0], theirs.images) and np.array_equal(labels, theirs.target)


def test_the_data_file_names_its_authors_and_licence():
    import importlib.resources

    resource = importlib.resources.files("kernelscope.datasets") / "digits.npz"
    with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        assert "Alpaydin" in str(file["attribution"]) and "CC BY 4.0" in str(file["attribution"])


def test_the_splits_are_disjoint_and_together_everything(parts):
    images, _ = _stored()
    together = np.concatenate([part.inputs for part in parts.values()])
    assert sorted(x.tobytes() for x in together) == sorted(x.tobytes() for x in images)
    ids = {bytes(row) for part in parts.values() for row in part.ids}
    assert len(ids) == len(images) == sum(part.n for part in parts.values())


def test_every_class_is_cut_in_the_same_proportions(parts):
    _, labels = _stored()
    for label in range(10):
        size = int((labels == label).sum())
        test, validation, train = (int((parts[s].labels == label).sum()) for s in ("test", "validation", "train"))
        assert abs(test - 0.25 * size) <= 0.5
        assert abs(validation - 0.10 * (size - test)) <= 0.5
        assert train == size - test - validation


def test_labels_stay_with_their_images(parts):
    images, labels = _stored()
    label_of = {x.tobytes(): int(y) for x, y in zip(images, labels)}
    for part in parts.values():
        assert part.labels.dtype == np.int64
        assert [label_of[x.tobytes()] for x in part.inputs] == part.labels.tolist()


def test_the_default_split_never_changes(parts):
    """Checkpoints store these fingerprints: another split would make every saved one unusable."""
    assert {name: part.order_sha256[:16] for name, part in parts.items()} == ORDERS
    assert {name: part.n for name, part in parts.items()} == {"train": 1211, "validation": 136, "test": 450}


def test_the_seed_draws_another_split_of_the_same_sizes(parts):
    again, other = digits("test"), digits("test", seed=1)
    assert np.array_equal(again.ids, parts["test"].ids)
    assert other.n == again.n and other.order_sha256 != again.order_sha256
    assert (again.seed, other.seed) == (0, 1)


def test_preprocessed_training_images_have_mean_0_and_deviation_1(parts):
    x = parts["train"].batch(0, parts["train"].n).double()
    assert abs(float(x.mean())) < 1e-6 and float(x.std(unbiased=False)) == pytest.approx(1, abs=1e-6)
    scale, normalize = parts["train"].preprocess
    assert scale == {"op": "scale", "by": 1 / 16}
    assert [type(v) for v in (*normalize["mean"], *normalize["std"])] == [float, float]


def test_all_splits_are_preprocessed_alike_by_the_training_splits_numbers(parts):
    assert parts["test"].preprocess == parts["train"].preprocess == parts["validation"].preprocess
    pixels = parts["train"].inputs.astype(float) / 16
    assert parts["test"].preprocess[1]["mean"] == pytest.approx([pixels.mean()], abs=1e-12)
    assert parts["test"].preprocess[1]["std"] == pytest.approx([pixels.std()], abs=1e-12)


def test_digits_are_found_by_name_and_limited(parts):
    assert sources.splits("digits") == SPLITS
    assert sources.load("digits", "test").order_sha256 == parts["test"].order_sha256
    assert np.array_equal(sources.load("digits", "test", limit=7).ids, parts["test"].ids[:7])
    assert sources.load("digits", "test", limit=10**6).n == 450
    assert sources.load("digits", "test", seed=1).order_sha256 == digits("test", seed=1).order_sha256


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(UsageError, match=f"limit is {limit}, expected at least 1 of 450"):
        sources.load("digits", "test", limit=limit)


def test_unknown_names_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match="unknown data set 'digit'; did you mean digits"):
        sources.load("digit", "test")
    with pytest.raises(UsageError, match="unknown data set 'mnist'; there is digits"):
        sources.splits("mnist")
    with pytest.raises(UsageError, match="no split 'val'; choose one of train, validation, test"):
        sources.load("digits", "val")
