"""Rows rounded to a grid by column, to whole numbers, so that their sums need no rounding (docs/theory.md 3.12).

A column with largest entry below 2^e is rounded to multiples of 2^(e − 29): to whole numbers of 30 bits with their
sign. What that does to the rows is a part of every interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.rounding import Two, frobenius
from kernelscope.kernels.rows import BLOCK_ROWS, Key, Rows, numpy_block, require_finite
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from collections.abc import Mapping


BITS = 30  #: of a whole number, its sign among them
LARGEST = 2.0 ** (BITS - 1)  #: of the whole numbers, by size
SQUARE_BITS, DIGIT = 36, 12  #: of the whole numbers that stand for ‖x_i‖², and of each of their digits
MOST_EXPONENT = 1100  #: of a column, by size: those of float64 end before
EMPTY = -(2**14)  #: the exponent of a column that is all zero, which no grid rounds


@dataclass(frozen=True, eq=False)
class Grid:
    """By layer the exponents e ``(d,)``: no entry of a column reaches 2^e."""

    exponents: dict[Key, np.ndarray]

    @classmethod
    def of(cls, layers: Mapping[Key, Rows]) -> Grid:
        """From one pass over all rows, for the largest entry of every column, which no order of rows changes.

        Raises:
            NumericalError: NaN or infinite features, with their layer.
        """
        largest = {key: np.zeros(X.shape[1]) for key, X in layers.items()}
        share = Share.of(max(X.shape[0] for X in layers.values()))
        for start, stop in share.steps(BLOCK_ROWS):
            for key, X in layers.items():
                block = numpy_block(X, start, stop)
                for extreme in (np.max(block, axis=0), -np.min(block, axis=0).astype(np.float64)):
                    largest[key] = np.maximum(largest[key], extreme)
        largest = {key: np.max(share.gathered(found[None])[0], axis=0) for key, found in largest.items()}
        for (role, name), found in largest.items():
            if not np.isfinite(found).all():
                require_finite(layers[role, name], f"{role} features of layer {name}")
        return cls({key: np.where(x > 0, np.frexp(x)[1], EMPTY).astype(np.int64) for key, x in largest.items()})

    def require_same(self, other: Grid) -> None:
        """Refuse sums of rows that were rounded otherwise.

        Raises:
            Mismatch: with the first column.
        """
        for key, own in self.exponents.items():
            theirs = other.exponents[key]
            if (own != theirs).any():
                j = int(np.argmax(own != theirs))
                raise Mismatch(
                    f"column {j} of {key[0]} layer {key[1]} was rounded on two grids ({_below(own[j])}, and "
                    f"{_below(theirs[j])}); sum all shards on one, by --grid"
                )

    def with_room_for(self, other: Grid) -> Grid:
        """The finest grid that holds the numbers of both."""
        return Grid({key: np.maximum(own, other.exponents[key]) for key, own in self.exponents.items()})

    def powers(self, key: Key) -> np.ndarray:
        """p ``(d,)``: a whole number of each column is worth 2^p."""
        e = self.exponents[key]
        highest = int(e.max())  # for columns that are all zero any will do
        powers: np.ndarray = np.where(e > EMPTY, e, highest if highest > EMPTY else 0) - (BITS - 1)
        return powers

    def rounded(self, key: Key, block: np.ndarray) -> np.ndarray:
        """Rows as whole numbers ``(b, d)``, in double precision; NaN where they are not finite.

        Raises:
            Mismatch: an entry beyond this grid.
        """
        shift = -self.powers(key)
        part = shift if np.abs(shift).max() < 1000 else shift // 2  # 2^1098, of the least numbers, is no float64
        with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
            k: np.ndarray = np.multiply(block, np.ldexp(1.0, part), dtype=np.float64)
            if part is not shift:
                k *= np.ldexp(1.0, shift - part)
            np.rint(k, out=k)
        size = np.maximum(np.max(k, axis=0, initial=0.0), -np.min(k, axis=0, initial=0.0))
        empty = self.exponents[key] == EMPTY
        beyond: np.ndarray = size > LARGEST
        if empty.any():
            beyond |= empty & (block != 0).any(axis=0)
        if beyond.any() and np.isfinite(size).all():
            raise Mismatch(
                f"column {int(np.argmax(beyond))} of {key[0]} layer {key[1]} has entries beyond the grid of the sums; "
                "sum all shards on one with room for them, by --grid"
            )
        return k

    def row_squares(self, key: Key, k: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """‖x_i‖² of rounded rows as whole numbers of 36 bits, cut into three digits, and what each digit is worth.

        Returns:
            Digits ``(b, 3)``, and p for each: it is worth 2^p. Both are those of the row alone, whatever its block is.
        """
        powers = self.powers(key)
        top = int(powers.max())
        squares = k * np.ldexp(1.0, np.maximum(powers - top, -500))
        squares *= squares
        width = squares.shape[1]
        while width > 1:  # a tree of sums element by element, in whose order no block and no alignment has a say
            half = width // 2
            squares[:, :half] += squares[:, width - half : width]
            width -= half
        bits = 2 * (BITS - 1) + math.ceil(math.log2(k.shape[1] + 1))  # below 2^bits
        whole = np.rint(np.ldexp(squares[:, 0], SQUARE_BITS - bits))
        digits = np.empty((len(k), SQUARE_BITS // DIGIT))
        for place in range(digits.shape[1]):
            high = np.floor(np.ldexp(whole, -DIGIT))
            digits[:, place] = whole - np.ldexp(high, DIGIT)
            whole = high
        worth = 2 * top + bits - SQUARE_BITS
        digits[:, -1] += np.ldexp(whole, DIGIT)  # of a square that was rounded up to 2^36
        return digits, tuple(worth + DIGIT * place for place in range(digits.shape[1]))

    def row_error(self, key: Key, n: int) -> float:
        """Proved bound on ‖·‖_F of what rounding n rows to the grid changes: half a step an entry."""
        halves = np.ldexp(1.0, self.exponents[key] - BITS)
        return 1.01 * math.sqrt(n) * frobenius(halves[None])


def row_squares(grid: Grid | None, key: Key, rows: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """‖x_i‖² of rows as they are summed: in digits as of :meth:`Grid.row_squares`, without a grid as they are."""
    if grid is None:
        return np.einsum("ij,ij->i", rows, rows)[:, None], (0,)
    return grid.row_squares(key, rows)


def worth(numbers: Two, powers: np.ndarray) -> Two:
    """Numbers in two parts times powers of two."""
    return np.ldexp(numbers[0], powers), None if numbers[1] is None else np.ldexp(numbers[1], powers)


def _below(exponent: int) -> str:
    return "all zero" if exponent == EMPTY else f"below 2^{exponent}"
