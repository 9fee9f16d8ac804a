"""Trajectories: how near the student's kernel is to the teacher's, epoch by epoch, on held-out examples that stay.

Figures 4 and 5 of the paper for any run. The validation examples are forwarded after every epoch anyway, so a point
costs no forward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from kernelscope.activations.example_rows import ForwardPass
from kernelscope.activations.resolving import resolve_layers
from kernelscope.distill.batches import labels_of
from kernelscope.errors import KernelscopeError
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity.head import head_held_out
from kernelscope.kernels.similarity.neighbours import neighbours
from kernelscope.kernels.snapshot import Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.datasets.preprocess import Operations

MOST = 2000  #: examples a trajectory follows, the first of the validation split
BATCH = 512
NEIGHBOURS = 10  #: as a report counts them


def evaluate(
    network: nn.Module,
    examples: Examples,
    device: str,
    layers: Sequence[str] = (),
    operations: Operations | None = None,
    *,
    trial: bool = False,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Predicted classes ``(n,)``, and rows of ``layers`` of the first examples; the network's mode is restored.

    ``trial``: of a network that is not ours, whose examples may lie along any axis.
    """
    predictions, rows = [], {layer: list[torch.Tensor]() for layer in layers}
    with ForwardPass(
        network, examples, layers, name="the network", operations=operations, device=device, trial=trial
    ) as forward:
        for start, batch in forward.batches(BATCH):
            predictions.append(batch.predicted)
            if start < MOST:
                for layer, x in batch.rows.items():
                    rows[layer].append(x.float().cpu())
    return np.concatenate(predictions), {layer: torch.cat(parts)[:MOST].numpy() for layer, parts in rows.items()}


def accuracy(predictions: np.ndarray, examples: Examples) -> float:
    """Share of examples given their own class."""
    return float((predictions == labels_of(examples).numpy()).mean())


class Trajectory:
    """The teacher on the first validation examples, and a point for each evaluation of a student.

    Args:
        layers: beyond ``embedding`` and ``logits``, where both networks have them.
    """

    def __init__(self, loaded: Loaded, examples: Examples, layers: Sequence[str], device: str) -> None:
        self._always = resolve_layers(loaded.module, None)[0]
        self.layers = self.of(layers)
        checkpoint = loaded.checkpoint
        operations = None if checkpoint is None else checkpoint.preprocess
        self.predictions, rows = evaluate(loaded.module, examples, device, self.layers, operations, trial=True)
        labels = labels_of(examples).numpy()[:MOST]
        self._teachers: dict[str, Teacher] = {}
        for layer, X_T in rows.items():
            self._teachers[layer] = Teacher(X_T, labels)

    def of(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Layers followed of a student that learns at ``layers``, whatever is trained beside it."""
        return tuple(dict.fromkeys((*self._always, *layers)))

    def teacher_rows(self, layer: str) -> np.ndarray:
        """The teacher's rows ``(n, d)`` at a layer."""
        return self._teachers[layer].X

    def point(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Per layer the fields of :class:`kernelscope.kernels.snapshot.Snapshot`, ``head_held_out`` and ``neighbours``.

        The last two as a report has them; None for a layer without a value.
        """
        found: dict[str, Any] = {}
        for layer, X_S in rows.items():
            teacher = self._teachers[layer]
            try:
                found[layer] = teacher.against(X_S).to_dict() | _head_and_neighbours(teacher.X, X_S)
            except KernelscopeError:  # NaN features, or an all-zero teacher: the run goes on and reports it
                found[layer] = None
        return found


def _head_and_neighbours(X_T: np.ndarray, X_S: np.ndarray) -> dict[str, float | None]:
    """Loss after a held-out linear head, None where examples are too few for one; share of nearest neighbours kept."""
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    head, k = head_held_out(scaled), min(NEIGHBOURS, len(X_T) - 1)
    return {
        "head_held_out": None if head is None else float(head),
        "neighbours": neighbours(scaled, k=k, recall=False).overlap if k else None,
    }
