"""Sums of all layers over half of the rows, as one pass forms them: plain, or cut into slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.accumulate import CrossSum, OwnSum
from kernelscope.kernels.distance.slices import SlicedCrossSum, SlicedOwnSum, side_by_side, sliced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.rounding import Two
    from kernelscope.kernels.rows import Key, Rows


class PlainHalf:
    """Sums over every second row, in double precision."""

    def __init__(self, layers: Mapping[Key, Rows], widths: tuple[int, int]) -> None:
        self._own = {key: OwnSum(X.shape[1]) for key, X in layers.items()}
        self._cross = CrossSum(*widths)

    def add(self, rows: dict[Key, np.ndarray]) -> None:
        for key, part in rows.items():
            self._own[key].add(part)
        # one product of all layers side by side: larger ones are faster
        sides = ([part for (role, _), part in rows.items() if role == of] for of in ("student", "teacher"))
        S, T = (side[0] if len(side) == 1 else np.hstack(side) for side in sides)
        self._cross.add(S, T)

    def own(self, key: Key) -> Two:
        return self._own[key].gram(), None

    def sums(self, key: Key) -> Two:
        return np.asarray(self._own[key].sums), None

    def cross(self) -> Two:
        return self._cross.total(), None

    def lengths(self, key: Key) -> list[tuple[float, float]]:
        return []


class SlicedHalf:
    """The same to more than double precision."""

    def __init__(self, layers: Mapping[Key, Rows], widths: tuple[int, int]) -> None:
        self._own = {key: SlicedOwnSum(X.shape[1]) for key, X in layers.items()}
        self._cross = SlicedCrossSum(*widths)

    def add(self, rows: dict[Key, np.ndarray]) -> None:
        cut = {key: sliced(part) for key, part in rows.items()}
        for key, part in cut.items():
            self._own[key].add(part)
        S, T = (side_by_side([part for (role, _), part in cut.items() if role == of]) for of in ("student", "teacher"))
        self._cross.add(S, T)

    def own(self, key: Key) -> Two:
        return self._own[key].in_two()

    def sums(self, key: Key) -> Two:
        return self._own[key].sums

    def cross(self) -> Two:
        return self._cross.in_two()

    def lengths(self, key: Key) -> list[tuple[float, float]]:
        return self._own[key].lengths
