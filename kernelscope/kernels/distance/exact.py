"""The transfer loss ‖K_S − K_T‖_F / ‖K_T‖_F: which route, the answer, and how far to trust it (docs/theory.md 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelscope.errors import DegenerateKernel, NumericalError, UsageError
from kernelscope.kernels.distance.aligned_pair import pair_difference, rotations, row_allowance
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES, blocked_norms
from kernelscope.kernels.distance.gram import COMFORTABLE, ZERO_TEACHER, GramSums, gram_sums
from kernelscope.kernels.distance.plan import plan
from kernelscope.kernels.distance.tsqr import tsqr_difference
from kernelscope.kernels.rounding import frobenius, square_root_interval
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import (
    Rows,
    as_rows,
    identical,
    is_proved,
    largest_entry,
    require_finite,
    require_same_examples,
    storage_roundoff,
)

ROUTES = ("auto", "gram", "pair", "tsqr", "blocked")
RTOL, ATOL = 1e-6, 1e-9
OUTWARD = 2.0**-50  #: relative, by which the ends of an interval are moved apart for the roundings of forming them


@dataclass(frozen=True)
class TransferLoss:
    """The loss, with the interval in which the exact value for the features as stored lies.

    ``certified``: the interval is proved, not estimated. ``resolved``: its half-width is at most
    ``max(rtol · value, atol)``. ``storage_floor``: what storing the features in less than float64 may already
    have cost, in the same units.
    """

    value: float
    interval: tuple[float, float]
    certified: bool
    resolved: bool
    route: str
    norm_teacher: float
    norm_student: float
    norm_difference: float
    norm_difference_interval: tuple[float, float]
    storage_floor: float

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class ScaledSums:
    """Gram sums of both features times one power of two, so that no square over- or underflows.

    ``unit`` is what a kernel norm of the scaled features is worth in the original ones; ``same`` says that the
    two features are equal number by number; ``once`` that the rows must not be read again;
    ``constant`` whether the student's and the teacher's features are the same for all examples, None where not known.
    """

    teacher: Rows
    student: Rows
    sums: GramSums
    unit: float
    same: bool
    once: bool = False
    constant: tuple[bool, bool] | None = None


def transfer_loss(
    *,
    teacher: Any,
    student: Any,
    route: str = "auto",
    rtol: float = RTOL,
    atol: float = ATOL,
    device: str = "cpu",
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> TransferLoss:
    """Exact ‖K_S − K_T‖_F / ‖K_T‖_F over all examples, with its interval (paper eq. 1, relative).

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``: array, tensor, memmap or HDF5 dataset.
        student: features ``X_S``, shape ``(n, d_S)``, of the same n examples in the same order.
        route: ``auto`` (the rule of docs/theory.md 3.9), or one of ``gram pair tsqr blocked``.
        rtol: the relative half-width asked for; from 1e-3 on the blocked route tries float32 first.
        atol: the half-width that always suffices, in units of the loss.
        device: a torch device for the Gram and blocked routes.
        memory_bytes: what the blocked route may take.

    Raises:
        Mismatch: shapes do not correspond.
        NumericalError: NaN or infinite features.
        DegenerateKernel: an all-zero teacher.
    """
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    if route not in ROUTES:
        raise UsageError(f"unknown route {route!r}; choose one of {', '.join(ROUTES)}")
    n = require_same_examples(teacher, student)
    first = plan(n=n, d_student=student.shape[1], d_teacher=teacher.shape[1], route=route).route
    if first == "blocked":
        return _from_blocks(teacher, student, route, device, memory_bytes, rtol, atol)
    if first == "tsqr":
        return _by_tsqr(teacher, student).loss(rtol, atol)
    scaled = well_scaled_sums(teacher=teacher, student=student, device=device, means=False)
    return loss_from_sums(scaled, route=route, rtol=rtol, atol=atol)


def _from_blocks(
    teacher: Rows, student: Rows, route: str, device: str, memory_bytes: int, rtol: float, atol: float
) -> TransferLoss:
    """All n² entries, in float32 where that proves enough; where they do not resolve the loss, the pair route."""
    if rtol >= 1e-3:
        loss = _by_blocks(teacher, student, device, True, memory_bytes).loss(rtol, atol)
        if loss.resolved:
            return loss
    loss = _by_blocks(teacher, student, device, False, memory_bytes).loss(rtol, atol)
    if loss.resolved or route == "blocked":
        return loss
    scaled = well_scaled_sums(teacher=teacher, student=student, device=device, means=False)
    return loss_from_sums(scaled, rtol=rtol, atol=atol)


def well_scaled_sums(
    *,
    teacher: Rows,
    student: Rows,
    device: str = "cpu",
    halves: bool = False,
    means: bool = True,
) -> ScaledSums:
    """:func:`gram_sums`, and once more on rescaled features if squares left float64's comfortable range."""
    same = identical(teacher, student)
    options: dict[str, Any] = {"device": device, "halves": halves, "means": means}
    low, high = COMFORTABLE
    try:
        sums = gram_sums(teacher=teacher, student=student, **options)
        if low < sums.norm_teacher < high and sums.norm_student < high:
            return ScaledSums(teacher, student, sums, 1.0, same)
    except DegenerateKernel:
        if largest_entry(teacher) == 0:
            raise
    teacher, student, unit = rescaled(teacher, student)
    return ScaledSums(teacher, student, gram_sums(teacher=teacher, student=student, **options), unit, same)


def rescaled(teacher: Rows, student: Rows) -> tuple[Rows, Rows, float]:
    """Both features times the power of two that brings the largest entry near 1, and what a kernel norm is then worth.

    Raises:
        DegenerateKernel: if kernel norms cannot be written in float64 at all.
    """
    exponent = math.frexp(max(largest_entry(teacher), largest_entry(student)))[1]
    if exponent > 500:
        raise DegenerateKernel(
            f"features reach 2^{exponent}, whose kernel norms exceed float64; divide both by 2^{exponent}"
        )
    scale = 2.0 ** min(1000, -exponent)
    return Affine(teacher, scale=scale), Affine(student, scale=scale), math.ldexp(1.0, 2 * max(exponent, -1000))


def loss_from_sums(scaled: ScaledSums, *, route: str = "auto", rtol: float = RTOL, atol: float = ATOL) -> TransferLoss:
    """The loss from sums that exist already, going back to the features only where the sums do not resolve it.

    Every interval is proved, unless the rounding of rows as they are formed is itself an estimate. Those of several
    routes are intersected: each holds.

    Raises:
        NumericalError: if the routes contradict one another, which arithmetic as documented cannot bring about.
    """
    best: _Answer | None = None
    for answer in _answers(scaled, route):
        if best is not None:
            answer = replace(answer, low=max(answer.low, best.low), high=min(answer.high, best.high))
        if answer.low > answer.high:
            break
        best = answer
        loss = answer.loss(rtol, atol)
        if loss.resolved:
            return loss
    else:
        if best is not None:
            return best.loss(rtol, atol)
    raise NumericalError(
        "the routes contradict one another within proved bounds, so this machine's arithmetic is not what it says; "
        "run kernelscope gate --synthetic"
    )


@dataclass(frozen=True)
class _Answer:
    """‖K_S − K_T‖_F by one route, the interval it lies in, and what turns it into a ratio."""

    route: str
    value: float
    low: float
    high: float
    certified: bool
    norm_teacher: float
    norm_student: float
    teacher_error: float
    floor: float
    unit: float = 1.0

    def loss(self, rtol: float, atol: float) -> TransferLoss:
        b, error = self.norm_teacher, self.teacher_error
        if not b > error:
            raise NumericalError("rounding may be all there is of the teacher's kernel; give features in float64")
        # outward, for the roundings of these very lines
        low, high = self.low / (b + error) * (1 - OUTWARD), self.high / (b - error) * (1 + OUTWARD)
        value = min(max(self.value / b, low), high)
        return TransferLoss(
            value=value,
            interval=(low, high),
            certified=self.certified,
            resolved=(high - low) / 2 <= max(rtol * value, atol),
            route=self.route,
            norm_teacher=b * self.unit,
            norm_student=self.norm_student * self.unit,
            norm_difference=min(max(self.value, self.low), self.high) * self.unit,
            norm_difference_interval=(
                self.low * self.unit * (1 - OUTWARD),
                self.high * self.unit * (1 + OUTWARD),
            ),
            storage_floor=self.floor / b,
        )


def _answers(scaled: ScaledSums, route: str) -> Iterator[_Answer]:
    """From the cheapest to the sharpest; the caller stops at the first that resolves."""
    sums, teacher, student = scaled.sums, scaled.teacher, scaled.student
    common: dict[str, Any] = {
        "norm_teacher": sums.norm_teacher,
        "norm_student": sums.norm_student,
        "teacher_error": sums.norm_error("teacher"),
        "certified": is_proved(teacher) and is_proved(student),
        "floor": storage_floor(scaled),
        "unit": scaled.unit,
    }
    if scaled.same and route in ("auto", "pair"):
        yield _Answer("pair", 0.0, 0.0, 0.0, **common)
        return
    if route in ("auto", "gram"):
        squared = sums.difference_squared
        # below minus its own bar a square proves the bar wrong, and says nothing of the loss (docs/theory.md 3.3)
        if (found := square_root_interval(squared, sums.certified_bar())) is not None:
            yield _Answer("gram", math.sqrt(max(0.0, squared)), *found, **common)
    if route in ("auto", "pair") and not scaled.once:
        for rotation in rotations(sums):
            by_pair = pair_difference(teacher=teacher, student=student, sums=sums, rotation=rotation)
            if by_pair is not None:
                yield _Answer("pair", by_pair.difference, by_pair.low, by_pair.high, **common)


def storage_floor(scaled: ScaledSums) -> float:
    """What storing features in less than float64 may have cost ‖K_S − K_T‖_F."""
    sums = scaled.sums
    return _storage_cost(scaled.student, sums.trace_student, sums.norm_student) + _storage_cost(
        scaled.teacher, sums.trace_teacher, sums.norm_teacher
    )


def _storage_cost(X: Rows, trace: float, norm: float) -> float:
    """``2 u ‖X‖_F ‖X‖_2``, u the stored type's; ‖X‖_2² <= ‖K‖_F."""
    return 2 * storage_roundoff(X) * math.sqrt(trace * norm)


def _comfortable(teacher: Rows, student: Rows, limit: float) -> tuple[Rows, Rows, float]:
    """The features, rescaled if their largest entry is beyond ``limit`` or below its inverse, and the unit of norms."""
    largest = float(np.maximum(largest_entry(teacher), largest_entry(student)))
    if not math.isfinite(largest):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
    if largest == 0 or 1 / limit < largest < limit:
        return teacher, student, 1.0
    return rescaled(teacher, student)


def _by_blocks(teacher: Rows, student: Rows, device: str, single: bool, memory_bytes: int) -> _Answer:
    teacher, student, unit = _comfortable(teacher, student, 1e10 if single else 1e60)
    norms = blocked_norms(teacher=teacher, student=student, device=device, single=single, memory_bytes=memory_bytes)
    own_S, own_T = (norms.trace_student, norms.student), (norms.trace_teacher, norms.teacher)
    of_rows = row_allowance(student, *own_S), row_allowance(teacher, *own_T)
    value, bar = (0.0, 0.0) if identical(teacher, student) else (norms.difference, norms.bar + sum(of_rows))
    return _Answer(
        "blocked",
        value,
        max(0.0, value - bar),
        value + bar,
        is_proved(teacher) and is_proved(student),
        norms.teacher,
        norms.student,
        norms.teacher_error + of_rows[1],
        _storage_cost(student, *own_S) + _storage_cost(teacher, *own_T),
        unit,
    )


def _by_tsqr(teacher: Rows, student: Rows) -> _Answer:
    teacher, student, unit = _comfortable(teacher, student, 1e60)
    value, half, R = tsqr_difference(teacher=teacher, student=student)
    R_S, R_T = R[:, : student.shape[1]], R[:, student.shape[1] :]
    own_S, own_T = ((frobenius(part) ** 2, frobenius(part @ part.T)) for part in (R_S, R_T))
    if own_T[1] == 0:
        raise DegenerateKernel(ZERO_TEACHER)
    half += row_allowance(student, *own_S) + row_allowance(teacher, *own_T)
    floor = _storage_cost(student, *own_S) + _storage_cost(teacher, *own_T)
    return _Answer("tsqr", value, max(0.0, value - half), value + half, False, own_T[1], own_S[1], half, floor, unit)
