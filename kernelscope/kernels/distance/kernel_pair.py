"""Two layers by their n × n kernels: norms, the loss, and the loss after the best scalar (docs/theory.md 3.10)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.answers import Answer, TransferLoss
from kernelscope.kernels.distance.exact import storage_cost
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.rows import columns, identical, is_proved

if TYPE_CHECKING:
    from kernelscope.kernels.distance.own_kernel import OwnKernel


@dataclass(frozen=True, eq=False)
class KernelPair:
    """What :class:`kernelscope.kernels.distance.gram.GramSums` says of norms, from kernels K_S and K_T.

    ``same``: the two features are equal number by number.
    """

    student: OwnKernel
    teacher: OwnKernel
    same: bool

    @classmethod
    def of(cls, *, student: OwnKernel, teacher: OwnKernel) -> KernelPair:
        same = np.array_equal(student.K, teacher.K) and identical(teacher.X, student.X)
        return cls(student, teacher, same)

    @property
    def n(self) -> int:
        return len(self.teacher.K)

    @property
    def d_student(self) -> int:
        return columns(self.student.X)

    @property
    def norm_student(self) -> float:
        return self.student.norm

    @property
    def norm_teacher(self) -> float:
        return self.teacher.norm

    @property
    def trace_student(self) -> float:
        return self.student.trace

    @property
    def trace_teacher(self) -> float:
        return self.teacher.trace

    @property
    def totals(self) -> tuple[float, float]:
        return self.student.total, self.teacher.total

    @cached_property
    def inner(self) -> float:
        """⟨K_S, K_T⟩ >= 0."""
        return max(0.0, math.fsum(np.einsum("ij,ij->i", self.student.K, self.teacher.K)))

    @property
    def norm_cross(self) -> float:
        return math.sqrt(self.inner)

    def inner_error(self) -> float:
        """Proved bound on the error of :attr:`inner`."""
        e_S, e_T, a, b = self.student.error, self.teacher.error, self.norm_student, self.norm_teacher
        return 1.01 * (e_S * b + e_T * a + e_S * e_T + gamma(self.n + 2) * a * b)

    def difference(self, factor: float = 1.0) -> tuple[float, float]:
        """‖factor K_S − K_T‖_F and a proved bound on its error; nothing cancels once the kernels are subtracted."""
        a, b = factor * self.norm_student, self.norm_teacher
        difference = self.student.K * factor
        difference -= self.teacher.K
        found = frobenius(difference)
        rounding = UNIT_ROUNDOFF * (2 * a + b) + gamma(self.n + 4) * found
        return found, 1.01 * (factor * self.student.error + self.teacher.error + rounding)

    def loss(self, rtol: float, atol: float, found: tuple[float, float] | None = None) -> TransferLoss:
        """``found``: a difference of these kernels and its error, in the place of that of the two as they are."""
        value, bar = (0.0, 0.0) if self.same and found is None else found or self.difference()
        return Answer(
            route="blocked",
            value=value,
            low=max(0.0, value - bar),
            high=value + bar,
            certified=is_proved(self.teacher.X) and is_proved(self.student.X),
            norm_teacher=self.norm_teacher,
            norm_student=self.norm_student,
            teacher_error=self.teacher.error + gamma(self.n + 3) * self.norm_teacher,
            floor=sum(storage_cost(own.X, own.trace, own.norm) for own in (self.student, self.teacher)),
        ).loss(rtol, atol)
