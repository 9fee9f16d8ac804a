"""The teacher of a run: what it says of a batch, and what it must be before anybody learns from it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy.stats import binom

from kernelscope import processes
from kernelscope.activations.tap import Tap
from kernelscope.checkpoints.loaded import Loaded
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.preprocess import Operations, apply
from kernelscope.distill.batches import Batch, Splits, labels_of
from kernelscope.distill.precision import autocast
from kernelscope.errors import Mismatch

UNLIKELY = 0.01
SOME_KNOWLEDGE = 0.25  #: of the way from guessing to always right


class Teacher:
    """A network in eval mode on the device, heard at ``layers``; no gradients reach it.

    Raises:
        Mismatch: other classes than the data's.
        UsageError: an unknown layer.
    """

    def __init__(self, loaded: Loaded, splits: Splits, layers: Iterable[str], device: str, amp: bool) -> None:
        self.loaded, self.device, self.amp = loaded, device, amp
        self.network = loaded.module.to(device)
        self.layers = sorted({"logits", *layers})
        checkpoint = loaded.checkpoint
        if checkpoint is not None:
            _require_classes(loaded, len(checkpoint.classes), splits)
            if list(checkpoint.classes) != list(splits.classes):
                raise Mismatch(f"teacher {loaded.name} names its classes otherwise than the data; use the same classes")
        operations: Operations = splits.training.preprocess if checkpoint is None else checkpoint.preprocess
        if splits.geometry and operations[: len(splits.geometry)] == splits.geometry:
            operations = operations[len(splits.geometry) :]  # done before the augmentation that both share
        self.operations = operations
        Tap(self.network, self.layers)  # unknown layers are told here

    def says(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Its layers on the global batch: the same augmented images, through its own preprocessing."""
        with torch.no_grad(), Tap(self.network, self.layers, training=False) as tap, autocast(self.device, self.amp):
            self.network(apply(self.operations, batch.images).to(self.device))
        return {name: processes.gathered(x, len(batch.labels)) for name, x in tap.features.items()}


def require_knowledge(loaded: Loaded, logits: np.ndarray, guesses: np.ndarray, examples: Examples) -> None:
    """Refuse a teacher that does no better on ``examples`` than guessing: it was taught other data, or nothing yet.

    So many right must be likely of guessing, and unlikely of a network that knows something; few examples tell neither.

    Raises:
        Mismatch: with what it got right.
    """
    right, classes = int((guesses == labels_of(examples).numpy()).sum()), logits.shape[1]
    guessing = 1 / classes
    knowing = guessing + SOME_KNOWLEDGE * (1 - guessing)
    if binom.sf(right - 1, examples.n, guessing) > UNLIKELY > binom.cdf(right, examples.n, knowing):
        raise Mismatch(
            f"teacher {loaded.name} is right on {right} of {examples.n} {examples.split} examples, as guessing among "
            f"{classes} classes is; check --teacher and --data, or pass --no-accuracy-check"
        )


def require_classes(loaded: Loaded, logits: np.ndarray, splits: Splits) -> None:
    """Refuse a teacher whose logits are of other classes than the data's.

    Raises:
        Mismatch: with both numbers.
    """
    _require_classes(loaded, logits.shape[1], splits)


def _require_classes(loaded: Loaded, classes: int, splits: Splits) -> None:
    if classes != len(splits.classes):
        raise Mismatch(
            f"teacher {loaded.name} has {classes} classes and the data {len(splits.classes)}; "
            "use a teacher of the same classes"
        )
