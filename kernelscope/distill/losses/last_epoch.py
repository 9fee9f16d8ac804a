"""Landmarks of the epoch before: Qian, Li and Hu's Algorithm 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.distill.losses.landmark_memory import copied, moved
from kernelscope.distill.losses.whitening import whitened
from kernelscope.errors import UsageError

if TYPE_CHECKING:
    import torch

    from kernelscope.distill.losses.landmark_memory import LandmarkMemory, Tensors

LONG, H = 60, 5  #: the paper's warm-up of five epochs, for runs of so many


class LastEpoch:
    """Collects an epoch's landmarks in ``memory`` for the next one; the first ``warm_up`` epochs only collect.

    Args:
        memory: what makes landmarks of an epoch's batches. warm_up: None for 5 epochs of at least 60, else one.
        whiten: see :func:`whitened`.
    """

    def __init__(self, memory: LandmarkMemory, warm_up: int | None, whiten: str | None) -> None:
        if warm_up is not None and warm_up < 1:
            raise ValueError("warm_up must be at least 1")
        self.memory, self.warm_up, self.whiten = memory, warm_up, whiten
        self.epoch: int | None = None  # from 0; None before the first
        self.open = self.active = False
        self.D: Tensors = {}

    def begin_epoch(self, epoch: int | None, epochs: int | None) -> None:
        self.end_epoch()
        self.epoch = epoch if epoch is not None else 0 if self.epoch is None else self.epoch + 1
        usual = H if epochs is not None and epochs >= LONG else 1
        self.active = bool(self.D) and self.epoch >= (usual if self.warm_up is None else self.warm_up)
        self.open = True
        self.memory.begin()

    def end_epoch(self) -> None:
        if self.open and (found := self.memory.finish()):
            self.D = whitened(found, self.whiten)
        self.open = False

    def step(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        labels: torch.Tensor | None,
        classes: int | None,
        *,
        collect: bool,
        gathered: bool,
    ) -> Tensors:
        """Landmarks for a batch of rows, which joins those of the next epoch if ``collect``; none while warming up.

        Raises:
            UsageError: no epoch was begun, so that there would never be any.
        """
        if self.epoch is None or (collect and not self.open):
            raise UsageError("the landmarks are of the epoch before, and none was begun; call begin_epoch() first")
        if collect:
            self.memory.add(student, teacher, labels, classes)
        if not self.active:
            return {}
        self.D = moved(self.D, student.device)
        return self.D

    def state_dict(self) -> dict[str, Any]:
        told = {"epoch": self.epoch, "open": self.open, "active": self.active}
        return {**told, "D": copied(self.D), "memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.open, self.active = state["epoch"], state["open"], state["active"]
        self.D = copied(state["D"])
        self.memory.load_state_dict(state["memory"])
