"""What a distillation loss is: a module of both networks' features of one batch."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import nn

from kernelscope.activations.pooling import pool
from kernelscope.errors import Mismatch, UsageError


class Loss(nn.Module):
    """``loss(student_features, teacher_features, labels)``: a number with a gradient for the student alone.

    Features are one layer's outputs for the same r examples: rows ``(r, d)``, or maps and tokens, whose positions
    are averaged. Constructors take what the paper has as hyper-parameters; sizes are learnt from the first batch.

    Attributes:
        layer: where a method reads it unless a layer is named. movable: whether one may be named.
        relational: it compares the examples of a batch with one another, so a batch of one has nothing to compare.
        sources: where the defaults of its hyper-parameters come from.
        classes: their number, where it is known beforehand; else it is learnt from the labels.
    """

    layer: ClassVar[str] = "embedding"
    movable: ClassVar[bool] = True
    relational: ClassVar[bool] = True
    sources: ClassVar[dict[str, str]] = {}
    classes: int | None = None

    @classmethod
    def options(cls) -> list[str]:
        """Names of its hyper-parameters."""
        return list(inspect.signature(cls).parameters)

    def extra_repr(self) -> str:
        return ", ".join(f"{option}={getattr(self, option)!r}" for option in self.options())

    def begin_epoch(self, epoch: int | None = None, epochs: int | None = None) -> None:
        """Nothing, of a loss that carries nothing from one epoch to the next."""

    def end_epoch(self) -> None:
        """Nothing, as :meth:`begin_epoch`."""


class EpochLoss(Loss):
    """A loss that compares with what it saw in the epoch before: :meth:`begin_epoch` goes before every epoch.

    The first ``warm_up`` epochs only collect, and the loss is 0 in them. In ``eval()`` mode nothing is collected.

    Args:
        warm_up: how many; None for 5 where there are at least 20 epochs, else a quarter, at least 1.
    """

    relational = False

    def __init__(self, warm_up: int | None) -> None:
        super().__init__()
        if warm_up is not None and warm_up < 1:
            raise ValueError("warm_up must be at least 1")
        self.warm_up = warm_up
        self.epoch: int | None = None  # from 0; None before the first
        self.open = False

    def begin_epoch(self, epoch: int | None = None, epochs: int | None = None) -> None:
        """Close the epoch before, if nobody did, and begin this one.

        Args:
            epoch: from 0; by default the one after the last. epochs: how many there will be, which decides how long
                the loss only collects where ``warm_up`` does not say it; by default one.
        """
        if self.open:
            self.end_epoch()
        self.epoch = epoch if epoch is not None else 0 if self.epoch is None else self.epoch + 1
        self.open = True

    def end_epoch(self) -> None:
        """What the epoch has shown becomes what the next one is compared with."""
        if self.open:
            self._keep()
        self.open = False

    def _warming_up(self, epochs: int | None) -> bool:
        """Whether this epoch only collects."""
        assert self.epoch is not None
        usual = 1 if epochs is None else 5 if epochs >= 20 else max(1, epochs // 4)
        return self.epoch < (usual if self.warm_up is None else self.warm_up)

    def _require_begun(self) -> None:
        """Refuse a batch of no epoch.

        Raises:
            UsageError: none was begun, so that the loss would be 0 for ever.
        """
        if self.epoch is None or (self.training and not self.open):
            name = type(self).__name__
            raise UsageError(f"{name} compares with the epoch before, and none was begun; call begin_epoch() first")

    def _keep(self) -> None:
        raise NotImplementedError

    def get_extra_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "open": self.open}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.open = state["epoch"], state["open"]


def rows_of(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as rows ``(r, d)``, positions averaged, in float32 or wider; no gradient reaches the teacher.

    Raises:
        Mismatch: they are not of the same number of examples. UsageError: they are no tensors.
    """
    require_alike(student, teacher)
    x_S, x_T = pool(student), pool(teacher.detach())
    return x_S.to(wide(x_S)), x_T.to(wide(x_S))


def require_alike(student: object, teacher: object) -> None:
    """Refuse features that are not of the same examples.

    Raises:
        Mismatch: they are not of the same number of examples. UsageError: they are no tensors.
    """
    for name, x in (("student", student), ("teacher", teacher)):
        if not isinstance(x, torch.Tensor) or not x.ndim:
            raise UsageError(f"{name} features are a {type(x).__name__}, expected a tensor (r, ...); give one layer's")
    assert isinstance(student, torch.Tensor) and isinstance(teacher, torch.Tensor)
    if len(student) != len(teacher):
        raise Mismatch(f"{len(student)} examples of the student and {len(teacher)} of the teacher; give the same batch")


def wide(x: torch.Tensor) -> torch.dtype:
    """The type to compute a loss in: half precision overflows in squares and loses near distances."""
    return x.dtype if x.itemsize >= 4 else torch.float32


def divisor(norm: torch.Tensor) -> torch.Tensor:
    """``norm``, or 1 where it vanishes: 0 / 0 is then 0, and so is its gradient."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny ** 0.5, norm, 1)
