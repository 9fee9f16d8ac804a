"""The transfer loss ‖K_S − K_T‖_F / ‖K_T‖_F: which route, the answer, and how far to trust it (docs/theory.md 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import devices
from kernelscope.errors import DegenerateKernel, NumericalError, UsageError, by_name
from kernelscope.kernels.distance.aligned_pair import pair_difference, rotations, row_allowance
from kernelscope.kernels.distance.answers import Answer, TransferLoss
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES, blocked_norms
from kernelscope.kernels.distance.gram import ZERO_TEACHER, GramSums, gram_sums
from kernelscope.kernels.distance.plan import plan
from kernelscope.kernels.distance.tsqr import tsqr_difference
from kernelscope.kernels.rounding import frobenius, square_root_interval
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import (
    Features,
    Rows,
    as_rows,
    identical,
    is_proved,
    kernel_error,
    largest_entry,
    require_finite,
    require_same_examples,
    storage_roundoff,
)
from kernelscope.kernels.scales import require_together, within_float64

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTES = ("auto", "gram", "pair", "tsqr", "blocked")
RTOL, ATOL = 1e-6, 1e-9
FLOAT32_RTOL = 1e-3  #: from here on float32 may prove enough, and the blocked route tries it first


@dataclass(frozen=True)
class ScaledSums:
    """Gram sums of both features times one power of two, so that no square over- or underflows.

    ``unit`` is what a kernel norm of the scaled features is worth in the original ones; ``same``: the
    two features are equal number by number; ``once`` that the rows must not be read again;
    ``constant`` whether the student's and the teacher's features are the same for all examples, None where not known;
    ``second`` which rows make the second half, shape ``(n,)``, None for the odd ones.
    """

    teacher: Rows
    student: Rows
    sums: GramSums
    unit: float
    same: bool
    once: bool = False
    constant: tuple[bool, bool] | None = None
    second: np.ndarray | None = None


@by_name
@devices.faults()
def transfer_loss(
    *,
    teacher: Features,
    student: Features,
    route: str = "auto",
    rtol: float = RTOL,
    atol: float = ATOL,
    device: str = "cpu",
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> TransferLoss:
    """Exact ‖K_S − K_T‖_F / ‖K_T‖_F over all examples, with its interval (paper eq. 1, relative).

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> ks.transfer_loss(teacher=np.eye(10), student=2 * np.eye(10)).value
        3.0

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``: array, tensor, memmap or HDF5 dataset.
        student: features ``X_S``, shape ``(n, d_S)``, of the same n examples in the same order.
        route: ``auto`` (the rule of docs/theory.md 3.9), or one of ``gram pair tsqr blocked``.
        rtol: the relative half-width asked for; from 1e-3 on the blocked route tries float32 first.
        atol: the half-width that always suffices, in units of the loss.
        device: a torch device for the Gram and blocked routes.
        memory_bytes: what the blocked route may take.

    Raises:
        UsageError: an unknown route, or a device that is not there.
        ResourceError: a device that fails, or whose memory is full.
        Mismatch: shapes do not correspond.
        NumericalError: NaN or infinite features.
        DegenerateKernel: an all-zero teacher, or features too large or too far apart for float64.
    """
    device = devices.require_device(device)
    teacher, student = as_rows(teacher, "teacher features"), as_rows(student, "student features")
    if route not in ROUTES:
        raise UsageError(f"unknown route {route!r}; choose one of {', '.join(ROUTES)}")
    require_same_examples(teacher, student)
    with within_float64(teacher=teacher, student=student):
        attempts = _attempts(teacher, student, route, rtol, atol, device, memory_bytes)
        loss = next(attempts)
        while not loss.resolved and (better := next(attempts, None)) is not None:
            loss = better
    return loss


def _attempts(
    teacher: Rows, student: Rows, route: str, rtol: float, atol: float, device: str, memory_bytes: int
) -> Iterator[TransferLoss]:
    """From the cheapest to the sharpest; the caller stops at the first that resolves."""
    first = plan(n=teacher.shape[0], d_student=student.shape[1], d_teacher=teacher.shape[1], route=route).route
    if first == "tsqr":
        yield _by_tsqr(teacher, student).loss(rtol, atol)
        return
    if first == "blocked":
        for single in (True, False) if rtol >= FLOAT32_RTOL else (False,):
            yield _by_blocks(teacher, student, device, single, memory_bytes).loss(rtol, atol)
        if route == "blocked":
            return
    scaled = well_scaled_sums(teacher=teacher, student=student, device=device, means=False)
    yield loss_from_sums(scaled, route=route, rtol=rtol, atol=atol)


def well_scaled_sums(
    *,
    teacher: Rows,
    student: Rows,
    device: str = "cpu",
    halves: bool = False,
    second: np.ndarray | None = None,
    means: bool = True,
) -> ScaledSums:
    """:func:`gram_sums`, and once more on rescaled features if squares left float64's comfortable range."""
    same = identical(teacher, student)

    def sums_of(teacher: Rows, student: Rows) -> GramSums:
        return gram_sums(teacher=teacher, student=student, device=device, halves=halves, second=second, means=means)

    try:
        sums = sums_of(teacher, student)
        if sums.comfortable or (sums.teacher_comfortable and largest_entry(student) == 0):
            return ScaledSums(teacher, student, sums, 1.0, same, second=second)
    except DegenerateKernel:  # overflow may look like a degenerate kernel; an all-zero teacher is one
        if largest_entry(teacher) == 0:
            raise
    teacher, student, unit = rescaled(teacher, student)
    return ScaledSums(teacher, student, sums_of(teacher, student), unit, same, second=second)


def rescaled(teacher: Rows, student: Rows) -> tuple[Rows, Rows, float]:
    """Both features times the power of two that brings the largest entry near 1, and what a kernel norm is then worth.

    Raises:
        DegenerateKernel: features too large, or too far apart, for float64.
    """
    sizes = largest_entry(teacher), largest_entry(student)
    require_together(teacher=sizes[0], student=sizes[1])
    exponent = max(math.frexp(size)[1] for size in sizes if size or not any(sizes))
    scale = 2.0 ** min(1000, -exponent)  # a power of two, which rounds nothing, and the same for both networks
    return Affine(teacher, scale=scale), Affine(student, scale=scale), math.ldexp(1.0, 2 * max(exponent, -1000))


def loss_from_sums(scaled: ScaledSums, *, route: str = "auto", rtol: float = RTOL, atol: float = ATOL) -> TransferLoss:
    """The loss from sums that exist already, going back to the features only where the sums do not resolve it.

    Every interval is proved, unless the rounding of rows as they are formed is itself an estimate. Those of several
    routes are intersected: each holds.

    Raises:
        NumericalError: if the routes contradict one another, which arithmetic as documented cannot bring about.
    """
    best: Answer | None = None
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
        "the routes contradict one another within proved bounds, so this machine's arithmetic is not IEEE double "
        "precision; run kernelscope gate --synthetic"
    )


def _answers(scaled: ScaledSums, route: str) -> Iterator[Answer]:
    """From the cheapest to the sharpest; the caller stops at the first that resolves."""
    sums, teacher, student = scaled.sums, scaled.teacher, scaled.student
    of_kernels = kernel_error(teacher) + kernel_error(student)

    def answer(route: str, value: float, low: float, high: float) -> Answer:
        return Answer(
            route=route,
            value=value,
            low=low,
            high=high,
            certified=is_proved(teacher) and is_proved(student),
            norm_teacher=sums.norm_teacher,
            norm_student=sums.norm_student,
            teacher_error=sums.norm_error("teacher") + kernel_error(teacher),
            floor=storage_floor(scaled),
            unit=scaled.unit,
        )

    if scaled.same and route in ("auto", "pair"):
        yield answer("pair", 0.0, 0.0, 0.0)
        return
    if route in ("auto", "gram"):
        squared = sums.difference_squared
        # below minus its own bar a square proves the bar wrong, and tells nothing of the loss (docs/theory.md 3.3)
        if (found := square_root_interval(squared, sums.certified_bar())) is not None:
            yield answer("gram", math.sqrt(max(0.0, squared)), max(0.0, found[0] - of_kernels), found[1] + of_kernels)
    if route in ("auto", "pair") and not scaled.once:
        for rotation in rotations(sums):
            by_pair = pair_difference(teacher=teacher, student=student, sums=sums, rotation=rotation)
            if by_pair is not None:
                yield answer("pair", by_pair.difference, by_pair.low, by_pair.high)


def storage_floor(scaled: ScaledSums) -> float:
    """What storing features in less than float64 may have cost ‖K_S − K_T‖_F."""
    sums = scaled.sums
    return storage_cost(scaled.student, sums.trace_student, sums.norm_student) + storage_cost(
        scaled.teacher, sums.trace_teacher, sums.norm_teacher
    )


def storage_cost(X: Rows, trace: float, norm: float) -> float:
    """``2 u ‖X‖_F ‖X‖_2``, u the stored type's; ‖X‖_2² <= ‖K‖_F."""
    return 2 * storage_roundoff(X) * math.sqrt(trace * norm)


def _comfortable(teacher: Rows, student: Rows, limit: float) -> tuple[Rows, Rows, float]:
    """The features, rescaled if their largest entry is beyond ``limit`` or below its inverse, and the unit of norms."""
    sizes = largest_entry(teacher), largest_entry(student)
    largest = float(np.max(sizes))
    if not math.isfinite(largest):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
    require_together(teacher=sizes[0], student=sizes[1])
    if largest == 0 or 1 / limit < largest < limit:
        return teacher, student, 1.0
    return rescaled(teacher, student)


def _by_blocks(teacher: Rows, student: Rows, device: str, single: bool, memory_bytes: int) -> Answer:
    teacher, student, unit = _comfortable(teacher, student, 1e10 if single else 1e60)
    norms = blocked_norms(teacher=teacher, student=student, device=device, single=single, memory_bytes=memory_bytes)
    own_S, own_T = (norms.trace_student, norms.student), (norms.trace_teacher, norms.teacher)
    of_rows = row_allowance(student, *own_S), row_allowance(teacher, *own_T)
    value, bar = (0.0, 0.0) if identical(teacher, student) else (norms.difference, norms.bar + sum(of_rows))
    return Answer(
        route="blocked",
        value=value,
        low=max(0.0, value - bar),
        high=value + bar,
        certified=is_proved(teacher) and is_proved(student),
        norm_teacher=norms.teacher,
        norm_student=norms.student,
        teacher_error=norms.teacher_error + of_rows[1],
        floor=storage_cost(student, *own_S) + storage_cost(teacher, *own_T),
        unit=unit,
    )


def _by_tsqr(teacher: Rows, student: Rows) -> Answer:
    teacher, student, unit = _comfortable(teacher, student, 1e60)
    value, half, R = tsqr_difference(teacher=teacher, student=student)
    R_S, R_T = R[:, : student.shape[1]], R[:, student.shape[1] :]
    own_S, own_T = ((frobenius(part) ** 2, frobenius(part @ part.T)) for part in (R_S, R_T))
    if own_T[1] == 0:
        raise DegenerateKernel(ZERO_TEACHER)
    half += row_allowance(student, *own_S) + row_allowance(teacher, *own_T)
    return Answer(
        route="tsqr",
        value=value,
        low=max(0.0, value - half),
        high=value + half,
        certified=False,
        norm_teacher=own_T[1],
        norm_student=own_S[1],
        teacher_error=half,
        floor=storage_cost(student, *own_S) + storage_cost(teacher, *own_T),
        unit=unit,
    )
