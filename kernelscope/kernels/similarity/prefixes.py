"""The first k features of both networks (Matryoshka embeddings), from blocks of the same Gram (docs/theory.md 6.7).

A prefix of rows scaled to length 1 is not of length 1: such rows are scaled anew at every k, which takes a pass of its
own.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import DegenerateKernel, UsageError
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import RTOL, ScaledSums, loss_from_sums, well_scaled_sums
from kernelscope.kernels.distance.gram import GramSums
from kernelscope.kernels.row_views import Affine, Leading, Normalised
from kernelscope.kernels.rows import Rows, identical
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.ladder import best_scaled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.kernels.distance.answers import TransferLoss


@dataclass(frozen=True)
class Prefix:
    """Numbers of the first ``dims`` features of each network, or of all of a narrower one.

    ``scaled``: what is left of the loss after the best scalar; ``cka`` None where a network's prefix is constant.
    """

    dims: int
    loss: TransferLoss
    scaled: float
    cka: float | None


def require_dims(dims: Iterable[Any]) -> tuple[int, ...]:
    """``dims`` as whole numbers, each above the one before.

    Raises:
        UsageError: none at all, or others.
    """
    found = tuple(dims)
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in found)
    if not found or not whole or found[0] < 1 or any(b <= a for a, b in itertools.pairwise(found)):
        said = ",".join(map(str, found))[:40]
        raise UsageError(f"dims {said!r} are not whole numbers from 1 on in rising order; write for example 64,128,256")
    return tuple(int(k) for k in found)


def prefix(scaled: ScaledSums, k: int, rtol: float = RTOL) -> Prefix | None:
    """The loss, the scalar rung and CKA of the first k features; None where those of the teacher are all 0.

    Args:
        scaled: sums of all features, whose rows can be read again; the loss goes back to them where it is small.
    """
    cut = _cut(scaled, k)
    if cut is None:
        return None
    return Prefix(k, loss_from_sums(cut, rtol=rtol), float(best_scaled(cut)), cka(centre(cut).sums))


def _cut(scaled: ScaledSums, k: int) -> ScaledSums | None:
    teacher, student = leading(scaled.teacher, k), leading(scaled.student, k)
    if not (_is_rescaled(teacher, scaled.teacher) or _is_rescaled(student, scaled.student)):
        sums = _leading_sums(scaled.sums, student.shape[1], teacher.shape[1])
        if sums.comfortable:
            return ScaledSums(teacher, student, sums, scaled.unit, scaled.same or identical(teacher, student))
    try:
        return well_scaled_sums(teacher=teacher, student=student)
    except DegenerateKernel:
        return None


def _leading_sums(sums: GramSums, k_S: int, k_T: int) -> GramSums:
    """Sums of the first features; what bounds the errors of all of the Gram bounds those of a block of it."""
    d_S = sums.d_student
    kept = np.r_[0:k_S, d_S : d_S + k_T]
    gram = sums.gram[np.ix_(kept, kept)]
    parts = (sums.trace_student, gram[:k_S, :k_S]), (sums.trace_teacher, gram[k_S:, k_S:])
    # the error of column sums is relative to ‖Z‖_F, which a prefix has less of
    shorter = [math.sqrt(whole / trace) for whole, block in parts if (trace := float(np.trace(block))) > 0]
    rest = None if sums.rest is None else sums.rest[np.ix_(kept, kept)]
    error = sums.sums_error * max(shorter, default=1.0)
    return GramSums(sums.n, k_S, gram, sums.sums[kept], sums.errors, error, rest=rest)


def leading(X: Rows, k: int) -> Rows:
    """Rows ``X[:, :k]``, all of X where it has no more; what is done to rows on the way is done to the prefix."""
    if k >= X.shape[1]:
        return X
    if isinstance(X, Affine):
        shift = X.shift[:k] if isinstance(X.shift, np.ndarray) else X.shift
        return Affine(leading(X.X, k), shift=shift, scale=X.scale, shift_error=X.shift_error)
    if isinstance(X, Normalised):
        return Normalised(leading(X.X, k))
    return Leading(X, k)


def _is_rescaled(cut: Rows, X: Rows) -> bool:
    """Whether rows of the prefix are no prefixes of the rows."""
    if cut is X:
        return False
    return isinstance(X, Normalised) or (isinstance(X, Affine) and isinstance(cut, Affine) and _is_rescaled(cut.X, X.X))
