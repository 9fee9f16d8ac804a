"""Linear CKA, from the biased and from the unbiased HSIC.

All from the Gram sums and one cheap pass over the rows; exact over all examples, signed, no epsilon, no clamp
(docs/theory.md 6.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelscope.kernels.similarity.alignment import Norms, alignment

if TYPE_CHECKING:
    import numpy as np


def cka(centred_sums: Norms) -> float | None:
    """Linear CKA, ``⟨HK_SH, HK_TH⟩ / (‖HK_SH‖ ‖HK_TH‖)`` in [0, 1] (biased HSIC); None where a kernel vanishes."""
    if _vanishes(centred_sums.norm_student) or _vanishes(centred_sums.norm_teacher):
        return None
    return alignment(centred_sums)


def cka_debiased(centred_sums: Norms, k: np.ndarray, l: np.ndarray) -> float | None:
    """CKA from the unbiased HSIC_1 (Song et al. 2012), over all examples at once; signed, may leave [−1, 1].

    Args:
        k, l: diagonals of the student's and the teacher's centred kernel, each over its own kernel's norm.

    None for n < 4 and where a self-HSIC is not positive, so that no square root is taken of a signed estimate.
    """
    return cka_debiased_of(centred_sums, float(k @ k), float(l @ l), float(k @ l))


def cka_debiased_of(centred_sums: Norms, kk: float, ll: float, kl: float) -> float | None:
    """The same from the inner products of these diagonals."""
    n, s = centred_sums.n, centred_sums
    if n < 4 or _vanishes(s.norm_student) or _vanishes(s.norm_teacher):
        return None
    T, U = s.trace_student / s.norm_student, s.trace_teacher / s.norm_teacher
    cross = _hsic_1(n, alignment(s) or 0.0, kl, T * U)
    own = _hsic_1(n, 1.0, kk, T * T), _hsic_1(n, 1.0, ll, U * U)
    if min(own) <= 0:
        return None
    return cross / math.sqrt(own[0] * own[1])


def _hsic_1(n: int, inner: float, diagonal: float, traces: float) -> float:
    """n(n − 3) HSIC_1 of centred kernels: their row sums vanish, so with zeroed diagonals K~1 = −diag(K)."""
    return (inner - diagonal) + traces / ((n - 1) * (n - 2)) - 2 / (n - 2) * diagonal


def _vanishes(norm: float) -> bool:
    return norm == 0 or not math.isfinite(norm)
