"""The teacher of a run: its forward pass, and the checks it must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy.stats import binom

from kernelscope import processes
from kernelscope.activations.capture import Capture
from kernelscope.activations.undisturbed import traceless
from kernelscope.datasets.preprocess import Operations, apply
from kernelscope.distill.batches import Batch, Splits, labels_of
from kernelscope.distill.precision import autocast
from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    import numpy as np

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples

UNLIKELY = 0.01
SOME_KNOWLEDGE = 0.25  #: of the way from guessing to always right


class Teacher:
    """A network on the device, in eval mode and captured at ``layers`` while open; no gradients reach it.

    Raises:
        Mismatch: other classes than the data's, if they are to be the same.
        UsageError: an unknown layer.
    """

    def __init__(
        self,
        loaded: Loaded,
        splits: Splits,
        layers: Iterable[str],
        device: str,
        amp: bool,
        *,
        same_classes: bool = True,
    ) -> None:
        self.loaded, self.device, self.amp = loaded, device, amp
        self.network = loaded.module.to(device)
        self.layers = sorted({"logits", *layers})
        checkpoint = loaded.checkpoint
        if checkpoint is not None and same_classes:
            require_classes(loaded, len(checkpoint.classes), splits)
            if list(checkpoint.classes) != list(splits.classes):
                raise Mismatch(f"teacher {loaded.name} names its classes otherwise than the data; use the same classes")
        operations: Operations = splits.training.preprocess if checkpoint is None else checkpoint.preprocess
        if splits.geometry and operations[: len(splits.geometry)] == splits.geometry:
            operations = operations[len(splits.geometry) :]  # done before the augmentation that both share
        self.operations, self._prepared_alike = operations, operations == splits.operations
        # unknown layers are refused here
        self._capture = Capture(self.network, self.layers, name=f"teacher {loaded.name}", device=device)
        self._tried = False

    def __enter__(self) -> Teacher:
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.__exit__(kind, error, trace)

    def forward(self, batch: Batch, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Its layers on the global batch: the same augmented images, through its own preprocessing.

        Args:
            x: what that of the students makes of them, to be copied where it is the teacher's too.
        """
        x = x.clone() if self._prepared_alike else apply(self.operations, batch.images)
        with torch.no_grad(), autocast(self.device, self.amp):
            if not self._tried:  # once: along which axis a layer of a foreign network holds its examples
                with traceless(self.network):
                    self._capture.try_out(x)
                self._tried = True
            features = self._capture.run(x)
        return {name: processes.all_gather_rows(rows, len(batch.labels)) for name, rows in features.items()}


def require_better_than_chance(loaded: Loaded, logits: np.ndarray, predictions: np.ndarray, examples: Examples) -> None:
    """Refuse a teacher that does no better on ``examples`` than guessing: it was trained on other data, or not yet.

    So many right must be likely of guessing, and unlikely of a trained network; few examples decide neither.

    Raises:
        Mismatch: with what it got right.
    """
    correct, classes = int((predictions == labels_of(examples).numpy()).sum()), logits.shape[1]
    guessing = 1 / classes
    knowing = guessing + SOME_KNOWLEDGE * (1 - guessing)
    if binom.sf(correct - 1, examples.n, guessing) > UNLIKELY > binom.cdf(correct, examples.n, knowing):
        raise Mismatch(
            f"teacher {loaded.name} is right on {correct} of {examples.n} {examples.split} examples, as guessing among "
            f"{classes} classes is; check --teacher and --data, or pass --no-accuracy-check"
        )


def require_classes(loaded: Loaded, classes: int, splits: Splits) -> None:
    """Refuse a teacher of another number of classes than the data's.

    Raises:
        Mismatch: with both numbers.
    """
    if classes != len(splits.classes):
        raise Mismatch(
            f"teacher {loaded.name} has {classes} classes and the data {len(splits.classes)}; "
            "use one of the same classes, or pass --no-accuracy-check to learn from its features"
        )
