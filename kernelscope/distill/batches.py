"""What students are trained on: three splits of a data set, and the batches of an epoch.

Order and augmentation are drawn from (seed, stream, epoch) alone, so that a run can be taken up at any step, and runs
that differ in their method see the same images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernelscope import processes
from kernelscope.datasets import sources
from kernelscope.datasets.augment import resized_crop, shift_and_flip
from kernelscope.datasets.preprocess import Operations, apply, split_geometry
from kernelscope.errors import Mismatch, UsageError

if TYPE_CHECKING:
    from kernelscope.datasets.examples import Examples
    from kernelscope.distill.recipe import Recipe

WEIGHTS, ORDER, AUGMENTATION = range(3)  #: independent random streams of one seed


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and test examples of one shape, all with labels.

    ``geometry`` are the leading operations that give images one size, done before the augmentation that teacher and
    students share; ``operations`` those after it.
    """

    training: Examples
    validation: Examples
    test: Examples
    geometry: Operations
    operations: Operations

    @property
    def classes(self) -> tuple[str, ...]:
        return self.training.classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        return _shape(self.training)


def splits_of(data: str | tuple[Examples, Examples, Examples]) -> Splits:
    """A data set's three splits, by its name or given as examples.

    Raises:
        UsageError: examples without labels, or named inputs such as tokens, which the built-in networks do not take.
        Mismatch: inputs of other shapes in other splits.
    """
    training, validation, test = sources.parts(data) if isinstance(data, str) else data
    parts = [replace(part, preprocess=training.preprocess).for_training() for part in (training, validation, test)]
    for part in parts:
        labels_of(part)
        if _shape(part) != _shape(parts[0]):
            raise Mismatch(
                f"{part.name}/{part.split} gives inputs of shape {_shape(part)} and training {_shape(parts[0])}; "
                "add a resize to --preprocess"
            )
    one_size = isinstance(parts[0].inputs, np.ndarray)
    geometry, operations = ([], training.preprocess) if one_size else split_geometry(training.preprocess)
    return Splits(parts[0], parts[1], parts[2], geometry, operations)


@dataclass(frozen=True, eq=False)
class Batch:
    """``images`` are this process's share, before preprocessing; ``labels`` those of the global batch."""

    images: torch.Tensor
    labels: torch.Tensor


class EpochBatches:
    """The batches of one epoch, to be drawn in their order.

    A last batch that is too short for batch normalisation in every process joins the one before.
    """

    def __init__(self, splits: Splits, recipe: Recipe, epoch: int) -> None:
        self.splits, self.recipe = splits, recipe
        order = torch.randperm(splits.training.n, generator=generator(recipe.seed, ORDER, epoch))
        rows = list(order.split(recipe.batch_size))
        if len(rows) > 1 and len(rows[-1]) < 2 * processes.count():
            rows[-2:] = [torch.cat(rows[-2:])]
        self._rows = rows
        self._labels = labels_of(splits.training)
        self.augmentation = generator(recipe.seed, AUGMENTATION, epoch)

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, number: int) -> Batch:
        """Batch ``number``, its augmentation drawn from where :attr:`augmentation` stands."""
        rows, recipe = self._rows[number], self.recipe
        found = self.splits.training.raw(rows.numpy())
        assert not isinstance(found, dict)
        images = apply(self.splits.geometry, found)
        if recipe.crop == "resized":
            images = resized_crop(images, self.augmentation, flip=recipe.flip)
        elif recipe.pad or recipe.flip:
            images = shift_and_flip(images, self.augmentation, pad=recipe.pad, flip=recipe.flip)
        return Batch(processes.shard(images), self._labels[rows])


def labels_of(examples: Examples) -> torch.Tensor:
    """Labels ``(n,)``.

    Raises:
        UsageError: there are none.
    """
    if examples.labels is None:
        raise UsageError(f"{examples.name} has no labels; training needs them")
    return torch.from_numpy(np.ascontiguousarray(examples.labels))


def derived_seed(seed: int, stream: int, epoch: int) -> int:
    """The seed of one stream in one epoch, so that a resumed run draws what an uninterrupted one does."""
    return int(np.random.SeedSequence([seed, stream, epoch]).generate_state(1)[0])


def generator(seed: int, stream: int, epoch: int) -> torch.Generator:
    """A CPU generator of its own for one stream of one epoch."""
    return torch.Generator().manual_seed(derived_seed(seed, stream, epoch))


def _shape(examples: Examples) -> tuple[int, ...]:
    """Shape of one input as a network takes it."""
    shape = examples.example_shape()
    if shape is None:
        raise UsageError(f"{examples.name} gives named inputs, which built-in networks do not take; give images")
    return shape
