"""Blocked route: ‖K_S − K_T‖_F from the n × n kernels themselves, a block at a time, nothing stored.

The second opinion for every other route, and the cheap one where n ≤ d_S + d_T. Blocks above the diagonal
count twice; squares of the *difference* are summed, so nothing cancels: the relative error is about u / loss
(docs/theory.md 3.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import devices
from kernelscope.errors import DegenerateKernel, ResourceError
from kernelscope.kernels.distance.gram import ZERO_TEACHER
from kernelscope.kernels.full_precision import full_precision
from kernelscope.kernels.rounding import SINGLE_ROUNDOFF, UNIT_ROUNDOFF, frobenius, gamma
from kernelscope.kernels.rows import Rows, numpy_block, require_finite, require_same_examples, row_blocks
from kernelscope.kernels.shares import Dealt, Share

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MEMORY_BYTES = 512 * 2**20


@dataclass(frozen=True)
class BlockedNorms:
    """Frobenius norms over all n² entries, with a proved bound on the error of the difference's."""

    difference: float
    student: float
    teacher: float
    trace_student: float
    trace_teacher: float
    bar: float
    teacher_error: float


def blocked_norms(
    *,
    teacher: Rows,
    student: Rows,
    device: str = "cpu",
    single: bool = False,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> BlockedNorms:
    """‖K_S − K_T‖_F, ‖K_S‖_F and ‖K_T‖_F by upper-triangular blocks. Costs n² (d_S + d_T) / 2 multiply-adds.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same examples in the same order.
        device: any torch device; TF32 is off inside and as it was before afterwards.
        single: multiply in float32 (row norms in float32, their squares summed in float64).
        memory_bytes: what the blocks may take together.

    Raises:
        Mismatch, NumericalError, DegenerateKernel: as :func:`kernelscope.kernels.distance.gram.gram_sums`.
        ResourceError: if not even a block of one row fits in ``memory_bytes``.
    """
    n = require_same_examples(teacher, student)
    device = devices.for_double(device)
    rows = block_size(n, student.shape[1] + teacher.shape[1], 4 if single else 8, memory_bytes)
    squares = _squared_differences(teacher, student, rows, device, single)
    if not all(map(math.isfinite, squares)):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise DegenerateKernel("features are so large that their products overflow; divide both by a common factor")
    (norm_S, trace_S), (norm_T, trace_T) = _norm_and_trace(student, rows), _norm_and_trace(teacher, rows)
    if norm_T == 0:
        raise DegenerateKernel(ZERO_TEACHER)
    value = math.sqrt(math.fsum(squares))
    u = SINGLE_ROUNDOFF if single else UNIT_ROUNDOFF
    # each entry is one chain of d_S + d_T products; narrowing float64 features to float32 adds two roundings
    entries = gamma(student.shape[1] + teacher.shape[1] + (4 if single else 2), u) * (trace_S + trace_T)
    summing = gamma(rows + 3, u) + gamma(rows + 3)
    # entries of whichever Gram are chains of n or of d products, and its norm is one more of the other length
    teacher_error = gamma(2 * n + teacher.shape[1] + 8) * trace_T
    return BlockedNorms(
        difference=value,
        student=norm_S,
        teacher=norm_T,
        trace_student=trace_S,
        trace_teacher=trace_T,
        bar=1.01 * (entries + (u + summing) * value),
        teacher_error=1.01 * teacher_error,
    )


def _squared_differences(teacher: Rows, student: Rows, rows: int, device: str, single: bool) -> list[float]:
    """‖Δ_ij‖² of every block on the diagonal, twice that of every one above."""
    n = student.shape[0]
    dtype = np.dtype(np.float32 if single else np.float64)
    block_squares = _block_squares if device == "cpu" else _block_squares_on(device, dtype)
    squares: list[float] = []

    def load(X: Rows, start: int) -> np.ndarray:
        block = numpy_block(X, start, min(start + rows, n))
        return block.astype(dtype, copy=False) if device == "cpu" else np.require(block, requirements=["C", "W"])

    dealt = Dealt(-(-n // rows))
    for i in range(0, n, rows):
        if not dealt.own():
            continue
        S_i, T_i = load(student, i), load(teacher, i)
        for j in range(i, n, rows):
            S_j, T_j = (S_i, T_i) if i == j else (load(student, j), load(teacher, j))
            squares.append((1.0 if i == j else 2.0) * block_squares(S_i, S_j, T_i, T_j))
    return [float(square) for square in dealt.gathered(np.array(squares))[0]]


def _block_squares(S_i: np.ndarray, S_j: np.ndarray, T_i: np.ndarray, T_j: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found in the sum
        # K_T is subtracted entry by entry before anything is squared: norms of whole kernels would cancel
        difference = S_i @ S_j.T
        difference -= T_i @ T_j.T
        return float(np.einsum("ij,ij->i", difference, difference).astype(np.float64).sum())


def _block_squares_on(device: str, dtype: np.dtype) -> Callable[..., float]:
    """The same on a torch device, where rows are moved as they are stored."""
    import torch

    in_torch = getattr(torch, dtype.name)

    def squares(*rows: np.ndarray) -> float:
        with full_precision(), torch.inference_mode():
            S_i, S_j, T_i, T_j = (torch.from_numpy(part).to(device).to(in_torch) for part in rows)
            difference = torch.mm(T_i, T_j.T).addmm_(S_i, S_j.T, beta=-1)
            return float(torch.linalg.vector_norm(difference, dim=1).double().square().sum())

    return squares


def block_size(n: int, width: int, item_bytes: int, memory_bytes: int) -> int:
    """Rows per block so that two pairs of row blocks and two square ones fit; at most 4,096, where BLAS is fastest.

    Raises:
        ResourceError: if one row does not fit.
    """
    rows = min(n, 4096)
    while rows > 1 and item_bytes * (2 * rows * rows + 2 * rows * width) > memory_bytes:
        rows = rows // 2 if rows > 64 else rows - 1
    if item_bytes * (2 + 2 * width) > memory_bytes:
        raise ResourceError(f"{memory_bytes:,} bytes do not hold one row of {width:,} features; raise --max-memory")
    return rows


def _norm_and_trace(X: Rows, rows: int) -> tuple[float, float]:
    """``(‖X Xᵀ‖_F, ‖X‖_F²)``, from whichever of the two Grams is smaller; ``rows`` of X at a time."""
    n, d = X.shape
    if n > d:
        share = Share.of(n)
        (G,) = share.summed(np.asarray(sum(block.T @ block for _, block in row_blocks(X, share=share))))
        return frobenius(G), float(np.trace(G))
    norms, trace, dealt = [], 0.0, Dealt(-(-n // rows))
    for i in range(0, n, rows):
        if not dealt.own():
            continue
        first = numpy_block(X, i, min(i + rows, n)).astype(np.float64)
        trace += float(np.vdot(first, first))
        for j in range(i, n, rows):
            second = first if i == j else numpy_block(X, j, min(j + rows, n)).astype(np.float64)
            norms.append((1.0 if i == j else math.sqrt(2)) * frobenius(first @ second.T))
    norms_of_all, traces = dealt.gathered(np.array(norms), np.array([trace]))
    return math.hypot(*norms_of_all), float(traces.sum())
