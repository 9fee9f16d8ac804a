"""A sample has every class in proportion, its examples once and in their order, and no other image is read."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import kernelscope as ks
from kernelscope.datasets import sources
from kernelscope.datasets.reading import Reading
from kernelscope.datasets.sampling import draw, shares_of
from kernelscope.errors import Mismatch, UnreadableInput, UsageError

RNG = np.random.default_rng(0)


def largest_remainders(counts, count):
    """One example at a time, to the class that lacks most of its share; a class without one goes first if all can."""
    exact = [Fraction(count * int(c), sum(counts)) for c in counts]
    shares = [int(count * c // sum(counts)) for c in counts]
    if count >= len(counts):
        shares = [max(1, share) for share in shares]
    while sum(shares) < count:
        shares[max(range(len(counts)), key=lambda c: (exact[c] - shares[c], -c))] += 1
    while sum(shares) > count:
        shares[max((c for c in range(len(counts)) if shares[c] > 1), key=lambda c: (shares[c] - exact[c], -c))] -= 1
    return shares


def test_shares_are_those_of_largest_remainders():
    for _ in range(300):
        counts = RNG.integers(1, 2 ** RNG.integers(1, 8), RNG.integers(1, 9))
        count = int(RNG.integers(1, counts.sum() + 1))
        found = shares_of(counts, count)
        assert found.tolist() == largest_remainders(counts.tolist(), count)
        assert found.sum() == count and (found <= counts).all()
        assert count < len(counts) or found.min() >= 1


@pytest.mark.parametrize("known", [True, False])
def test_a_sample_is_drawn_without_replacement_in_order_by_its_seed(known):
    labels = np.repeat([0, 3, 7], [100, 50, 10])
    drawn = draw(labels if known else None, 160, 32, seed=1)
    assert len(drawn.rows) == 32 and (np.diff(drawn.rows) > 0).all()
    assert not known or np.unique(labels[drawn.rows], return_counts=True)[1].tolist() == [20, 10, 2]
    np.testing.assert_array_equal(drawn.rows, draw(labels if known else None, 160, 32, seed=1).rows)
    assert draw(labels, 160, 32, seed=2).rows.tolist() != drawn.rows.tolist()
    assert drawn.note == f"a sample: 32 of 160 examples{' by class' if known else ''}, seed 1"
    with pytest.raises(Mismatch, match="has 160 of the 161 examples to draw"):
        draw(labels, 160, 161, seed=0)
    with pytest.raises(UsageError, match="a sample of 0"):
        draw(labels, 160, 0, seed=0)


@pytest.fixture
def photos(tmp_path):
    """Three classes; every image but those of the sample is damaged afterwards by the test."""
    for part in ("train", "test"):
        for name, count in (("ant", 12), ("bee", 6), ("cat", 6)):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / part / name / f"{i:02}.png")
    return tmp_path


@pytest.mark.parametrize(("root", "split"), [("", None), ("", "validation"), ("test", None), ("test", "test")])
def test_images_that_are_not_drawn_are_not_read(root, split, photos):
    name = f"folder:{photos / root}"
    whole = sources.load(name, split)
    count = whole.n // 2
    expected = whole.sample(count, 5)
    kept = {whole.inputs.source.path(int(position)) for position in expected.inputs.positions}
    for path in photos.rglob("*.png"):
        if path not in kept:
            path.write_bytes(b"no image")
    found = sources.load(name, split, reading=Reading(sample=count, sample_seed=5))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.drawn.rows, expected.drawn.rows)
    assert (found.split, found.notes, found.seed) == (whole.split, expected.notes, expected.seed)
    with pytest.raises(UnreadableInput):
        sources.load(name, split)


@pytest.mark.parametrize("name", ["digits", "shapes(n=80,size=8,classes=4)"])
def test_a_sample_of_any_data_set_is_one_of_its_split(name):
    whole = sources.load(name)
    found = sources.load(name, reading=Reading(sample=10))
    np.testing.assert_array_equal(found.ids, whole.ids[found.drawn.rows])
    first = sources.load(name, reading=Reading(n=12, sample=10))
    assert first.drawn.of == 12 and first.drawn.rows.max() < 12


def test_the_first_and_a_sample_are_one_too_many():
    X = RNG.standard_normal((30, 3))
    with pytest.raises(UsageError, match="limit= takes the first examples and sample= draws"):
        ks.measure(teacher=X, student=X, sample=10, limit=20)
