"""What a loss is given in each step, and what it may do around an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

from kernelscope.activations.pooling import pool


@dataclass(frozen=True)
class Step:
    """One batch: what both networks' layers put out, logits ``(r, classes)`` among them, and labels ``(r,)``.

    The student's tensors carry gradients, the teacher's do not. ``epoch`` counts from 0, ``epochs`` is their number.
    """

    student: dict[str, torch.Tensor]
    teacher: dict[str, torch.Tensor]
    labels: torch.Tensor
    classes: int
    epoch: int
    epochs: int

    def rows(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """``(student, teacher)`` of a layer as rows ``(r, d)``, positions averaged, in float32 or wider."""
        student, teacher = (pool(side[layer]) for side in (self.student, self.teacher))
        return student if student.itemsize >= 4 else student.float(), teacher.to(wide(student))


def wide(x: torch.Tensor) -> torch.dtype:
    """The type to compute a loss in: half precision overflows in squares and loses near distances."""
    return x.dtype if x.itemsize >= 4 else torch.float32


def divisor(norm: torch.Tensor) -> torch.Tensor:
    """``norm``, or 1 where it vanishes: 0 / 0 is then 0, and so is its gradient."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny ** 0.5, norm, 1)


class Loss(Protocol):
    """A distillation term.

    ``layers`` are the layers it reads, of student and teacher alike; ``relational``: it compares the examples of
    a batch with one another; ``sources``: where the defaults of its hyper-parameters come from. ``state_dict`` holds
    all that a run taken up in the middle of an epoch needs.
    """

    layers: tuple[str, ...]
    relational: bool
    sources: dict[str, str]

    def begin_epoch(self, epoch: int, epochs: int) -> None: ...

    def __call__(self, step: Step) -> torch.Tensor: ...

    def end_epoch(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Memoryless:
    """A loss that carries nothing from one step to the next."""

    relational = True
    sources: ClassVar[dict[str, str]] = {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        pass

    def end_epoch(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
