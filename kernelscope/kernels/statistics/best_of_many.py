"""P-values of pairs of layers, corrected for having searched many of them (docs/theory.md 7.4).

Every pair is scored under the same permutations of the examples. What the search does by chance is the largest score of
each permutation, in standard deviations of its pair; the share of permutations whose largest exceeds a pair's own score
is that pair's corrected p-value (Westfall and Young's single step).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.statistics.permutations import (
    MOST_EXAMPLES,
    TIED,
    Permutations,
    Shuffled,
    drawn_examples,
    drawn_kernel,
    share_as_high,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.kernels.rows import Rows

Drawing = Callable[[np.ndarray], np.ndarray | None]
MEMORY_BYTES = 2**29  #: for what stays of the teacher's layers, 4 m² bytes each


@dataclass(frozen=True)
class Searched:
    """One pair ``among`` many: ``alone`` its own p-value, uncorrected; ``best`` the one that scores highest."""

    alone: Shuffled
    p_corrected: float
    best: bool
    among: int


def best_of_many(
    *,
    teacher: Mapping[str, Rows],
    student: Mapping[str, Rows],
    seed: int,
    kernel: Kernel | None = None,
    groups: np.ndarray | None = None,
) -> dict[tuple[str, str], Searched]:
    """Every teacher layer against every student layer, by their names, under permutations common to all pairs.

    Args:
        teacher, student: features ``(n, d)`` by layer name, of the same n examples in the same order.
        kernel: None where it is that of the rows as they are.
        groups: of rows that came in groups, shape ``(n,)``; one of each is drawn.

    Pairs without a chance level are left out: of layers that are constant over the examples, or whose CKA no
    permutation changes. Up to 2,000 examples are drawn, fewer for more than 32 teacher layers. Each layer costs n²d for
    its kernel and n² log n for its transform, each pair n²: no more than a few permutations one by one.
    """

    def drawing(X: Rows) -> Drawing:
        return lambda drawn: drawn_kernel(X, drawn, kernel, seed)

    return best_of_drawings(
        teacher={name: drawing(X) for name, X in teacher.items()},
        student={name: drawing(X) for name, X in student.items()},
        n=next(iter(student.values())).shape[0],
        seed=seed,
        groups=groups,
    )


def best_of_drawings(
    *,
    teacher: Mapping[str, Drawing],
    student: Mapping[str, Drawing],
    n: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> dict[tuple[str, str], Searched]:
    """The same of layers that give their kernel of drawn examples, centred over these and of norm 1, or None."""
    drawn = drawn_examples(n, seed, _examples(len(teacher)), groups=groups)
    permutations = Permutations(len(drawn), seed)
    fixed, diagonals = {}, {}
    for name, drawing in teacher.items():
        if (K := drawing(drawn)) is not None:
            fixed[name], diagonals[name] = permutations.fixed(K), np.diag(K).copy()
    found: dict[tuple[str, str], tuple[Shuffled, float, float]] = {}
    highest: np.ndarray | None = None
    for s, drawing in student.items():
        K = drawing(drawn)
        if K is None or not fixed:
            continue
        for t, scores in zip(fixed, permutations.scores(K, fixed.values())):
            alone = Shuffled.of(scores, np.diag(K), diagonals[t])
            sd = alone.cka_sd
            if not sd:
                continue
            z = (scores - alone.cka_mean) / sd
            highest = z if highest is None else np.maximum(highest, z)
            found[t, s] = alone, float(z[0]), TIED / sd
    if highest is None:
        return {}
    best = max(found, key=lambda pair: found[pair][1])
    return {
        pair: Searched(alone, share_as_high(highest, z, slack), pair == best, len(found))
        for pair, (alone, z, slack) in found.items()
    }


def _examples(layers: int) -> int:
    return min(MOST_EXAMPLES, math.isqrt(MEMORY_BYTES // (4 * layers)))
