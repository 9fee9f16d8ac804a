"""The two halves of the rows, one of which a head is fitted on and the other measured on.

They are the even and the odd rows; of rows that came in groups whole groups, since what a group has in common would be
seen on both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Second = Callable[[int, int], np.ndarray]  #: which of the rows between two numbers belong to the second half
Which = slice | np.ndarray  #: rows of a block


def second_half(groups: np.ndarray | None) -> np.ndarray | None:
    """Which rows, shape ``(n,)``, are of the second half: every other group, in the order of their first rows."""
    if groups is None:
        return None
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    in_order = np.empty(len(first), np.int64)
    in_order[np.argsort(first)] = np.arange(len(first))
    found: np.ndarray = in_order[codes.reshape(-1)] % 2 == 1
    return found


def halves_of(second: np.ndarray | None) -> tuple[Which, Which]:
    """Rows of a block for either half; ``second``: which go to the second, None where the block's odd ones do."""
    return (slice(0, None, 2), slice(1, None, 2)) if second is None else (~second, second)


def by_rows(second: np.ndarray | None) -> Second | None:
    """The same as what sums of layers ask for: which of the rows between two numbers are of the second half."""
    return None if second is None else lambda start, stop: second[start:stop]


def are_uneven(first: int, second: int, d_student: int) -> bool:
    """Whether one half has so few rows that nothing of ``d_student`` features is to be fitted on it."""
    return min(first, second) < min((first + second) // 2, 2 * d_student)
