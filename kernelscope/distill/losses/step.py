"""What a loss is told in each step, and what it may do around an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Step:
    """One batch: both networks' tapped layers (pooled, ``(r, d)``) and logits ``(r, classes)``, and labels ``(r,)``.

    The student's tensors carry gradients, the teacher's do not. ``epoch`` counts from 0, ``epochs`` is their number.
    """

    student: dict[str, torch.Tensor]
    teacher: dict[str, torch.Tensor]
    labels: torch.Tensor
    classes: int
    epoch: int
    epochs: int


class Loss(Protocol):
    """A distillation term. ``layers`` are the layers it listens to, of student and teacher alike."""

    layers: tuple[str, ...]

    def begin_epoch(self, epoch: int, epochs: int) -> None: ...

    def __call__(self, step: Step) -> torch.Tensor: ...

    def end_epoch(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Memoryless:
    """A loss that carries nothing from one step to the next."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        pass

    def end_epoch(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
