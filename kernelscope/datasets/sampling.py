"""Examples drawn by a seed, every class in proportion: folders are sorted by class, so the first ones are of a few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelscope.errors import Mismatch, UsageError


@dataclass(frozen=True, eq=False)
class Drawn:
    """Which of ``of`` examples were taken, ascending, and how, in words."""

    rows: np.ndarray
    of: int
    note: str


def draw(labels: np.ndarray | None, n: int, count: int, seed: int, name: str = "the data") -> Drawn:
    """``count`` of n examples without replacement, each class in proportion where ``labels`` are known.

    Shares are rounded by largest remainders; a class has one example at least where ``count`` allows it.

    Raises:
        Mismatch: fewer than so many examples. UsageError: a count below 1.
    """
    if count < 1:
        raise UsageError(f"a sample of {count} was asked for, expected at least 1; leave it out for all")
    if count > n:
        raise Mismatch(f"{name} has {n:,} of the {count:,} examples to draw; lower --sample")
    by_class = labels is not None
    note = f"a sample: {count:,} of {n:,} examples{' by class' if by_class else ''}, seed {seed}"
    rng = np.random.default_rng(seed)
    _, classes = np.unique(np.zeros(n) if labels is None else labels, return_inverse=True)
    shares = shares_of(np.bincount(classes), count)
    parts = [rng.choice(np.flatnonzero(classes == c), k, replace=False) for c, k in enumerate(shares)]
    return Drawn(np.sort(np.concatenate(parts)), n, note)


def shares_of(counts: np.ndarray, count: int) -> np.ndarray:
    """How many of each class make ``count``: in proportion to ``counts``, one at least where there are enough."""
    n = int(counts.sum())
    exact = counts.astype(np.int64) * count  # in units of 1 / n
    shares = exact // n
    if count >= len(counts):
        shares = np.maximum(shares, 1)
    while (left := count - int(shares.sum())) != 0:
        short = exact - n * shares  # what a class lacks, in the same units
        if left > 0:
            shares[np.argsort(-short, kind="stable")[:left]] += 1
        else:
            shares[np.argmin(np.where(shares > 1, short, n * count))] -= 1
    return shares
