"""A few digits, and a teacher of them, for tests that train."""

import pytest

from kernelscope.checkpoints.loading import load as load_network
from kernelscope.datasets.sources import load
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train


@pytest.fixture(scope="session")
def few():
    return tuple(load("digits", split).head(n) for split, n in (("train", 129), ("validation", 40), ("test", 40)))


@pytest.fixture(scope="session")
def taught(few):
    """The teacher, 8 epochs on them."""
    return load_network(train(Recipe(arch="resnet8x0.5", epochs=8, batch_size=32), data=few).last)
