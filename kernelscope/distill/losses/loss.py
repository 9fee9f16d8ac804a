"""What a distillation loss is: a module of both networks' features of one batch."""

from __future__ import annotations

import inspect
from typing import ClassVar

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
        gathered: whether each of several processes holds all rows of a batch; else they add up their running sums.
    """

    layer: ClassVar[str] = "embedding"
    movable: ClassVar[bool] = True
    relational: ClassVar[bool] = True
    sources: ClassVar[dict[str, str]] = {}
    classes: int | None = None
    gathered: bool = False

    @classmethod
    def options(cls) -> list[str]:
        """Names of its hyper-parameters."""
        return list(inspect.signature(cls).parameters)

    def extra_repr(self) -> str:
        return ", ".join(f"{option}={getattr(self, option)!r}" for option in self.options())

    def begin_epoch(self, epoch: int | None = None, epochs: int | None = None) -> None:
        """Begin an epoch, which closes the one before; most losses have no use for it.

        Args:
            epoch: from 0; by default the one after the last. epochs: how many there will be.
        """

    def end_epoch(self) -> None:
        """Close the epoch, if :meth:`begin_epoch` opened one."""


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


def require_weight(weight: float) -> float:
    """The weight.

    Raises:
        ValueError: below 0.
    """
    if not weight >= 0:
        raise ValueError("weight must not be negative")
    return float(weight)


def wide(x: torch.Tensor) -> torch.dtype:
    """The type to compute a loss in: half precision overflows in squares and loses near distances."""
    return x.dtype if x.itemsize >= 4 else torch.float32


def divisor(norm: torch.Tensor) -> torch.Tensor:
    """``norm``, or 1 where it vanishes: 0 / 0 is then 0, and so is its gradient."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny ** 0.5, norm, 1)
