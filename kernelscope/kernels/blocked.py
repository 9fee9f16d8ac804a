"""Blocked route: ‖K_S − K_T‖_F from the n × n kernels themselves, a block at a time, nothing stored.

The second opinion for every other route, the cheap one where n ≤ 2 (d_S + d_T), and the only exact one for
kernels that have no feature space. Blocks above the diagonal count twice; squares of the *difference* are
summed, so nothing cancels: the relative error is about u / loss (THEORY B.2).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelscope.errors import DegenerateKernel, ResourceError
from kernelscope.kernels.gram import SINGLE_ROUNDOFF, ZERO_TEACHER, gamma
from kernelscope.kernels.rows import UNIT_ROUNDOFF, Rows, numpy_block, require_finite, require_same_examples

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
    kernel: Any = None,
) -> BlockedNorms:
    """‖K_S − K_T‖_F, ‖K_S‖_F and ‖K_T‖_F by upper-triangular blocks. Costs n² (d_S + d_T) / 2 multiply-adds.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same examples in the same order.
        device: any torch device; TF32 is off inside and as it was before afterwards.
        single: multiply in float32 (row norms in float32, their squares summed in float64).
        memory_bytes: what the blocks may take together.
        kernel: ``None`` for the linear kernel, else a function ``(A, B) -> (a, b)`` on tensors; the bound on the
            error then covers the summation only.

    Raises:
        Mismatch, NumericalError, DegenerateKernel: as :func:`kernelscope.kernels.gram.gram_sums`.
        ResourceError: if not even a block of one row fits in ``memory_bytes``.
    """
    import torch

    n = require_same_examples(teacher, student)
    dtype = torch.float32 if single else torch.float64
    width = student.shape[1] + teacher.shape[1]
    rows = block_size(n, width, 4 if single else 8, memory_bytes)
    squares: dict[str, list[float]] = {"difference": [], "student": [], "teacher": []}
    traces = {"student": 0.0, "teacher": 0.0}

    def load(X: Rows, start: int) -> Any:
        block = np.require(numpy_block(X, start, min(start + rows, n)), requirements=["C", "W"])  # as torch wants it
        return torch.from_numpy(block).to(device, dtype)

    with full_precision_matmul(), torch.inference_mode():
        for i in range(0, n, rows):
            S_i, T_i = load(student, i), load(teacher, i)
            traces["student"] += float(S_i.double().square().sum())
            traces["teacher"] += float(T_i.double().square().sum())
            for j in range(i, n, rows):
                S_j, T_j = (S_i, T_i) if i == j else (load(student, j), load(teacher, j))
                K_S, K_T = (S_i @ S_j.T, T_i @ T_j.T) if kernel is None else (kernel(S_i, S_j), kernel(T_i, T_j))
                twice = 1.0 if i == j else 2.0
                squares["student"].append(twice * _square_sum(K_S))
                squares["teacher"].append(twice * _square_sum(K_T))
                squares["difference"].append(twice * _square_sum(K_S.sub_(K_T)))
    if not all(math.isfinite(v) for v in (*squares["difference"], *squares["teacher"])):
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise DegenerateKernel("features are so large that their products overflow; divide both by a common factor")
    norms = {name: math.sqrt(math.fsum(values)) for name, values in squares.items()}
    if norms["teacher"] == 0:
        raise DegenerateKernel(ZERO_TEACHER)
    u = SINGLE_ROUNDOFF if single else UNIT_ROUNDOFF
    # one more rounding per entry and product where float64 features are first narrowed to float32
    entries_S, entries_T = (gamma(X.shape[1] + (3 if single else 1), u) for X in (student, teacher))
    summing = gamma(rows + 3, u) + gamma(rows + 3)
    return BlockedNorms(
        difference=norms["difference"],
        student=norms["student"],
        teacher=norms["teacher"],
        trace_student=traces["student"],
        trace_teacher=traces["teacher"],
        bar=1.01
        * (entries_S * traces["student"] + entries_T * traces["teacher"] + (u + summing) * norms["difference"]),
        teacher_error=1.01 * (entries_T * traces["teacher"] + summing * norms["teacher"]),
    )


def block_size(n: int, width: int, item_bytes: int, memory_bytes: int) -> int:
    """Rows per block so that two row blocks and three square ones fit; at most 4,096, where BLAS is at full rate."""
    rows = min(n, 4096)
    while rows > 1 and item_bytes * (3 * rows * rows + 2 * rows * width) > memory_bytes:
        rows = rows // 2 if rows > 64 else rows - 1
    if item_bytes * (3 + 2 * width) > memory_bytes:
        raise ResourceError(f"{memory_bytes:,} bytes do not hold one row of {width:,} features; raise --max-memory")
    return rows


@contextlib.contextmanager
def full_precision_matmul() -> Iterator[None]:
    """TF32 off inside, as it was before afterwards: its 10-bit products alone cost 9e-5 of the loss."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _square_sum(K: Any) -> float:
    """Σ K_ij²: row norms in the block's precision, their squares in double."""
    import torch

    return float(torch.linalg.vector_norm(K, dim=1).double().square().sum())
