"""What a teacher says of a batch, and when it is taken to know nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.preprocess import apply
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.batches import EpochBatches, splits_of
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.teaching import Teacher, require_better_than_chance
from kernelscope.distill.training import train
from kernelscope.errors import Mismatch
from kernelscope.networks import zoo

SMALL = Recipe(arch="resnet8x0.25", epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 200), ("validation", 80), ("test", 60)))


@pytest.fixture(scope="module")
def checkpoint(data):
    return train(SMALL, data=data).last


def test_a_teacher_hears_images_prepared_as_it_was_taught(checkpoint, data):
    inverted = [{"op": "scale", "by": -1 / 16}, {"op": "normalize", "mean": [0.5], "std": [0.25]}]
    splits = splits_of(data)
    images = EpochBatches(splits, SMALL, 0).draw(0)
    bare = loaded_module(zoo.build("resnet8x0.25", num_classes=10, in_channels=1), name="bare")
    taught = load(dataclasses.replace(checkpoint, preprocess=inverted))
    for loaded, operations in ((taught, inverted), (bare, splits.training.preprocess)):
        with Teacher(loaded, splits, ["logits"], "cpu", amp=False) as teacher:
            said = teacher.forward(images, apply(splits.operations, images.images))["logits"]
        with torch.no_grad():
            expected = loaded.module.eval()(apply(operations, images.images))
        torch.testing.assert_close(said, expected)


def test_a_teacher_of_classes_in_another_order_is_refused(checkpoint, data):
    other = [dataclasses.replace(part, classes=part.classes[::-1]) for part in data]
    with pytest.raises(Mismatch, match="names its classes otherwise than the data"):
        Teacher(load(checkpoint), splits_of(tuple(other)), ["logits"], "cpu", amp=False)


@pytest.mark.parametrize(
    ("right", "n", "refused"),
    [
        (0, 80, True),
        (15, 80, True),  # one guesser in 81 has as many
        (16, 80, False),  # one in 189
        (0, 11, False),  # one in 75 of those who know a quarter of what there is to know has as few
        (0, 12, True),  # one in 112
    ],
)
def test_a_teacher_is_refused_only_if_guessing_explains_it(right, n, refused, data):
    bare = loaded_module(zoo.build("resnet8x0.25", num_classes=10, in_channels=1), name="bare")
    examples = data[1].head(n)
    guesses = np.where(np.arange(n) < right, examples.labels, examples.labels - 1)
    try:
        require_better_than_chance(bare, np.zeros((n, 10)), guesses, examples)
        found = False
    except Mismatch as error:
        found = f"is right on {right} of {n} validation examples" in str(error)
    assert found == refused


def test_hooks_are_on_a_teacher_once_an_epoch_and_gone_when_training_ends(data, monkeypatch):
    network = zoo.build("resnet8x0.25", num_classes=10, in_channels=1).train()
    before = sum(1 for _ in network.modules())
    registered = []
    register = nn.Module.register_forward_hook

    def counted(module, hook, **options):
        if module is network:
            registered.append(hook)
        return register(module, hook, **options)

    monkeypatch.setattr(nn.Module, "register_forward_hook", counted)
    counts = []
    for batch_size in (100, 20):
        registered.clear()
        recipe = dataclasses.replace(SMALL, method="kd", batch_size=batch_size)
        train(recipe, data=data, teacher=loaded_module(network, name="net"), accuracy_check=False)
        counts.append(len(registered))
    assert counts[0] == counts[1]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in network.modules())
    assert sum(module.training for module in network.modules()) == before


def test_a_teacher_that_writes_into_its_input_does_not_reach_the_student(data):
    class Rude(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            return self.fc(x.mul_(0).flatten(1))

    splits = splits_of(data)
    batch = EpochBatches(splits, SMALL, 0).draw(0)
    x = apply(splits.operations, batch.images)
    given = x.clone()
    with Teacher(loaded_module(Rude(), name="rude"), splits, ["logits"], "cpu", amp=False) as teacher:
        teacher.forward(batch, x)
    assert torch.equal(x, given)
