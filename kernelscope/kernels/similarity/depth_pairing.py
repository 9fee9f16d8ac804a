"""The best pairing of two networks' layers that is monotone in depth, and the runner-up, by dynamic programming.

Every student layer gets one teacher layer, a later student layer never an earlier teacher layer. Two student layers may
share a teacher layer, since either network may have more layers than the other.
"""

from __future__ import annotations

import numpy as np

Pairing = tuple[tuple[int, int], ...]  #: (student layer, teacher layer), of pairs that are worth something


def best_pairings(worth: np.ndarray) -> tuple[Pairing, Pairing | None]:
    """The pairing of the highest total and the best one that differs from it; None if there is no other.

    Args:
        worth: ``(student layers, teacher layers)`` in depth order, not negative; pairs worth 0 are left out of a
            pairing, and those that differ in them alone are one.
    """
    before = _totals(worth)
    after = _totals(worth[::-1, ::-1])[::-1, ::-1]
    through = before + after - worth  # the best total of pairings that hold a pair
    first = _path(before, after, 0, int(after[0].argmax()))
    other = worth > 0
    other[np.arange(len(worth)), first] = False
    if not other.any():
        return _worthy(first, worth), None
    s, t = np.unravel_index(np.where(other, through, -np.inf).argmax(), worth.shape)
    return _worthy(first, worth), _worthy(_path(before, after, int(s), int(t)), worth)


def _totals(worth: np.ndarray) -> np.ndarray:
    """Of the best pairing of layers up to s that ends in the pair (s, t)."""
    totals = worth.astype(np.float64)
    for s in range(1, len(worth)):
        totals[s] += np.maximum.accumulate(totals[s - 1])
    return totals


def _path(before: np.ndarray, after: np.ndarray, s: int, t: int) -> list[int]:
    """Teacher layers of the best pairing that holds the pair (s, t)."""
    found = [t]
    for k in range(s - 1, -1, -1):
        found.insert(0, int(before[k, : found[0] + 1].argmax()))
    for k in range(s + 1, len(before)):
        found.append(found[-1] + int(after[k, found[-1] :].argmax()))
    return found


def _worthy(path: list[int], worth: np.ndarray) -> Pairing:
    return tuple((s, t) for s, t in enumerate(path) if worth[s, t] > 0)
