"""Gram route: the transfer loss from ``ZᵀZ``, ``Z = [X_S, X_T]``, summed in one pass over the examples.

    ‖K_S − K_T‖_F² = ‖G_SS‖_F² + ‖G_TT‖_F² − 2 ‖G_ST‖_F²        (THEORY B.1)

Costs n (d_S + d_T)² / 2 multiply-adds and (d_S + d_T)² numbers of memory, whatever n is. The relative error is
about u / loss² (B.2): beyond that the information is gone from the rounded Gram, and another route is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.accumulate import DoubleSum, SingleSum, TorchSum
from kernelscope.kernels.rows import (
    BLOCK_ROWS,
    UNIT_ROUNDOFF,
    Rows,
    numpy_block,
    require_finite,
    require_same_examples,
)

SINGLE_ROUNDOFF = 2.0**-24
ZERO_TEACHER = "teacher features are all zero, so the loss has nothing to be relative to; check the layer"


def gamma(k: float, u: float = UNIT_ROUNDOFF) -> float:
    """Bound ``k u / (1 − k u)`` on the relative error of k roundings in a row (Higham); inf when meaningless."""
    return k * u / (1 - k * u) if k * u < 1 else math.inf


@dataclass(frozen=True)
class GramSums:
    """What one pass leaves: the Gram of ``Z = [X_S, X_T]`` and, if asked for, the column sums, in double precision.

    ``chain`` is the longest chain of roundings in any entry and ``u`` the roundoff inside a block, for the
    intervals; ``halves`` the Grams of the even and of the odd rows, when asked for.
    """

    n: int
    d_student: int
    gram: np.ndarray
    column_sums: np.ndarray | None
    chain: int
    u: float = UNIT_ROUNDOFF
    halves: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def sums(self) -> np.ndarray:
        """Σ_i z_i, shape ``(d_S + d_T,)``.

        Raises:
            DegenerateKernel: if the pass was made without them.
        """
        if self.column_sums is None:
            raise DegenerateKernel("these sums were taken without column sums; take them with means=True")
        return self.column_sums

    @property
    def d_teacher(self) -> int:
        return len(self.gram) - self.d_student

    @property
    def G_SS(self) -> np.ndarray:
        return self.gram[: self.d_student, : self.d_student]

    @property
    def G_TT(self) -> np.ndarray:
        return self.gram[self.d_student :, self.d_student :]

    @property
    def G_ST(self) -> np.ndarray:
        return self.gram[: self.d_student, self.d_student :]

    @cached_property
    def norm_student(self) -> float:
        """‖K_S‖_F = ‖G_SS‖_F."""
        return frobenius(self.G_SS)

    @cached_property
    def norm_teacher(self) -> float:
        """‖K_T‖_F = ‖G_TT‖_F."""
        return frobenius(self.G_TT)

    @cached_property
    def norm_cross(self) -> float:
        """‖G_ST‖_F, whose square is ⟨K_S, K_T⟩."""
        return frobenius(self.G_ST)

    @property
    def trace_student(self) -> float:
        """‖X_S‖_F² = tr K_S."""
        return float(np.trace(self.G_SS))

    @property
    def trace_teacher(self) -> float:
        return float(np.trace(self.G_TT))

    @cached_property
    def difference_squared(self) -> float:
        """‖K_S − K_T‖_F², as rounded: may come out a little below 0 for kernels that agree."""
        return math.fsum((self.norm_student**2, self.norm_teacher**2, -2 * self.norm_cross**2))

    def certified_bar(self) -> float:
        """Proved bound on the error of :attr:`difference_squared` (THEORY B.3, Gram, certified)."""
        g = gamma(self.chain + 2, self.u)
        a, b, c = self.norm_student, self.norm_teacher, self.norm_cross
        e_S, e_T = g * self.trace_student, g * self.trace_teacher
        e_ST = g * math.sqrt(self.trace_student * self.trace_teacher)
        summing = gamma(max(self.d_student, self.d_teacher) ** 2 + 4) * (a * a + b * b + 2 * c * c)
        return 1.01 * (2 * a * e_S + e_S**2 + 2 * b * e_T + e_T**2 + 2 * (2 * c * e_ST + e_ST**2) + summing)

    def estimated_bar(self) -> float:
        """What that error is in practice: 4u(‖K_S‖² + ‖K_T‖² + 2‖G_ST‖²); observed constant at most 1.8 (B.3)."""
        return 4 * self.u * (self.norm_student**2 + self.norm_teacher**2 + 2 * self.norm_cross**2)

    def norm_error(self, G: np.ndarray) -> float:
        """Proved bound on the error of ‖G‖_F for ``G_SS`` or ``G_TT``."""
        return 1.01 * (gamma(self.chain + 2, self.u) * float(np.trace(G)) + gamma(len(G) ** 2 + 4) * frobenius(G))

    def centred(self) -> GramSums:
        """The sums of features with their means removed, by downdating: ``G − n μ μᵀ``.

        Loses what :meth:`mean_share` says; with a large offset sum shifted rows instead.
        """
        gram = self.gram - np.outer(self.sums, self.sums) / self.n
        return GramSums(self.n, self.d_student, gram, np.zeros_like(self.sums), self.chain, self.u)

    def mean_share(self) -> float:
        """Largest ratio of ‖X‖_F² to ‖X − mean‖_F² over the two networks: the digits that centring cancels."""
        shares = []
        for part in (slice(0, self.d_student), slice(self.d_student, None)):
            total = float(np.trace(self.gram[part, part]))
            within = total - float(self.sums[part] @ self.sums[part]) / self.n
            shares.append(total / within if within > 0 else (math.inf if total > 0 else 1.0))
        return max(shares)


def gram_sums(
    *,
    teacher: Rows,
    student: Rows,
    block_rows: int = BLOCK_ROWS,
    device: str = "cpu",
    single: bool = False,
    halves: bool = False,
    means: bool = True,
    may_vanish: bool = False,
) -> GramSums:
    """One pass over both networks' features.

    Args:
        teacher: features ``X_T``, shape ``(n, d_T)``.
        student: features ``X_S``, shape ``(n, d_S)``, of the same examples in the same order.
        block_rows: rows read at a time.
        device: where the products are formed; ``"cpu"`` uses BLAS ``syrk``, others torch in double precision.
        single: multiply in float32 inside a block and add blocks in float64: about 0.65 of the time.
        halves: also keep the Grams of even and odd rows (for cross-fitting), at no extra cost.
        means: also sum the columns, which centring and chance need; the loss alone does not.
        may_vanish: accept an all-zero teacher (centred features of one repeated example).

    Raises:
        Mismatch: different numbers of rows, or none.
        NumericalError: NaN or infinite features, with their number and first row.
        DegenerateKernel: an all-zero teacher.
    """
    n = require_same_examples(teacher, student)
    d_S, d_T = student.shape[1], teacher.shape[1]

    def empty() -> DoubleSum | SingleSum | TorchSum:
        if device != "cpu":
            return TorchSum(d_S, d_T, single, device)
        return SingleSum(d_S, d_T, means) if single else DoubleSum(d_S, d_T, means)

    parts = [empty() for _ in range(2 if halves else 1)]
    for start in range(0, n, block_rows):
        stop = min(start + block_rows, n)
        X_S, X_T = numpy_block(student, start, stop), numpy_block(teacher, start, stop)
        for first, part in enumerate(parts):
            part.add(X_S[first :: len(parts)], X_T[first :: len(parts)])
    grams = [part.gram() for part in parts]
    gram = grams[0] if len(grams) == 1 else grams[0] + grams[1]
    sums = np.sum([part.sums for part in parts], axis=0) if means else None
    _require_usable(gram, d_S, teacher, student, may_vanish)
    return GramSums(
        n,
        d_S,
        gram,
        sums,
        chain=min(block_rows, n) + -(-n // block_rows) + 1,
        u=SINGLE_ROUNDOFF if single else UNIT_ROUNDOFF,
        halves=(grams[0], grams[1]) if halves else None,
    )


def frobenius(A: np.ndarray) -> float:
    """‖A‖_F without overflow or underflow of the squares."""
    largest = float(np.max(np.abs(A), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    scale = 2.0 ** -math.frexp(largest)[1]
    scaled = A * scale
    return math.sqrt(float(np.einsum("ij,ij->", scaled, scaled))) / scale


def _require_usable(gram: np.ndarray, d_S: int, teacher: Rows, student: Rows, may_vanish: bool) -> None:
    """NaN, Inf and a zero teacher all show in the Gram, so looking for them costs no pass."""
    if not np.isfinite(gram).all():
        require_finite(teacher, "teacher features")
        require_finite(student, "student features")
        raise DegenerateKernel("features are so large that their products overflow; divide both by a common factor")
    if not may_vanish and not gram[d_S:, d_S:].any():
        raise DegenerateKernel(ZERO_TEACHER)
