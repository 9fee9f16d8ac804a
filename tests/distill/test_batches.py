"""Batches of an epoch: every example once, cut and mirrored as the recipe says, anew in every epoch."""

import numpy as np
import pytest
import torch

from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.distill.batches import EpochBatches, splits_of
from kernelscope.distill.recipe import Recipe

GLYPH = np.zeros((1, 4, 4), np.uint8)
GLYPH[0, 1:3, 1] = 9, 5  #: no two shifts or mirror images of it are alike


def drawn(n, epoch=0, **options):
    """Images and labels of each batch of an epoch, of n copies of one image, each in a class of its own."""
    inputs = np.repeat(GLYPH[None], n, axis=0)
    part = Examples("toy", "train", inputs, np.arange(n), example_ids(inputs), tuple(map(str, range(n))))
    batches = EpochBatches(splits_of((part, part, part)), Recipe(**{"batch_size": n, **options}), epoch)
    found = [batches.draw(number) for number in range(len(batches))]
    return [batch.images for batch in found], [batch.labels.tolist() for batch in found]


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (2, [2]), (16, [16]), (17, [17]), (18, [16, 2]), (32, [16, 16]), (33, [16, 17])]
)
def test_every_example_is_drawn_once_and_none_is_left_to_itself(n, sizes):
    _, labels = drawn(n, batch_size=16)
    assert [len(part) for part in labels] == sizes
    assert sorted(label for part in labels for label in part) == list(range(n))


def kinds(**options):
    """How many different images 64 copies of one become."""
    (images,), _ = drawn(64, **options)
    return len(images.flatten(1).unique(dim=0))


def test_padding_shifts_images_and_flipping_mirrors_them_each_by_itself():
    assert kinds(pad=0, flip=False) == 1
    assert kinds(pad=0, flip=True) == 2
    assert kinds(pad=1, flip=False) == 9
    assert kinds(pad=1, flip=True) > 9


@pytest.mark.parametrize("options", [{"pad": 1}, {"crop": "resized"}])
def test_order_and_augmentation_are_drawn_anew_once_an_epoch(options):
    (first, order), (again, same_order), (later, later_order) = (drawn(64, epoch, **options) for epoch in (0, 0, 1))
    assert torch.equal(first[0], again[0]) and order == same_order
    assert not torch.equal(first[0], later[0]) and order != later_order


def test_what_is_drawn_follows_the_seed_and_not_that_of_the_weights():
    (first, order), (same, same_order), (other, other_order) = (
        drawn(64, seed=seed, init_seed=init) for seed, init in ((3, 0), (3, 1), (4, 0))
    )
    assert torch.equal(first[0], same[0]) and order == same_order
    assert not torch.equal(first[0], other[0]) and order != other_order
