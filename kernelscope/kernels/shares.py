"""Which rows of a pass are this process's, and what all processes found of theirs.

With one process, or rows too few to give every process a block, the share is all rows and everything is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_ROWS = 4096  #: shares begin at multiples of it: whole blocks of files, and an even row first


@dataclass(frozen=True)
class Share:
    """Rows ``start:stop`` of n; ``parts``: of how many shares, so many roundings more than one a sum of all has."""

    n: int
    start: int
    stop: int
    parts: int

    @classmethod
    def of(cls, n: int, step: int = SHARED_ROWS) -> Share:
        """This process's share of n rows, of as many blocks of ``step`` rows as the others' or one less."""
        blocks, parts = -(-n // step), exchange.count()
        if blocks < parts or parts == 1:
            return cls(n, 0, n, 1)
        first, last = (blocks * number // parts for number in (exchange.rank(), exchange.rank() + 1))
        return cls(n, first * step, min(last * step, n), parts)

    def steps(self, rows: int) -> Iterator[tuple[int, int]]:
        """``(start, stop)`` of its blocks of so many rows."""
        for start in range(self.start, self.stop, rows):
            yield start, min(start + rows, self.stop)

    def summed(self, *own: np.ndarray) -> list[np.ndarray]:
        """The sums over all shares of what each gives, added in the order of ranks."""
        if self.parts == 1:
            return [*own]
        total: list[np.ndarray] | None = None
        with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
            for found in exchange.in_turn(own):
                total = found if total is None else [a + b for a, b in zip(total, found)]
        assert total is not None
        return total

    def numbers(self, *own: float) -> list[float]:
        """The same of numbers."""
        return [float(number) for number in self.summed(np.array(own, np.float64))[0]]

    def gathered(self, *own: np.ndarray) -> list[np.ndarray]:
        """What each share gives by row, one behind the other."""
        if self.parts == 1:
            return [*own]
        return [np.concatenate(parts) for parts in zip(*exchange.in_turn(own))]

    def largest(self, own: float) -> float:
        """The largest number that any share gives; NaN if one is NaN."""
        return float(np.max(self.gathered(np.array([own]))[0]))

    def all(self, own: bool) -> bool:
        """Whether it is true of every share."""
        return bool(np.all(self.gathered(np.array([own]))[0]))


class Dealt:
    """Turns of a loop that N processes deal out, every Nth to each: for turns that differ in how long they take."""

    def __init__(self, turns: int) -> None:
        self.parts = exchange.count() if turns >= exchange.count() else 1
        self._rank = exchange.rank() if self.parts > 1 else 0
        self._turn = -1

    def own(self) -> bool:
        """Whether the next turn is this process's."""
        self._turn += 1
        return self._turn % self.parts == self._rank

    def summed(self, *own: np.ndarray) -> list[np.ndarray]:
        """The sums of what each process gives."""
        return Share(0, 0, 0, self.parts).summed(*own)

    def gathered(self, *own: np.ndarray) -> list[np.ndarray]:
        """What each process gives, one behind the other."""
        return Share(0, 0, 0, self.parts).gathered(*own)
