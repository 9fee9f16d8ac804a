"""Sums of several passes as those of one: what they are added from, and what adding costs (docs/theory.md 3.11).

Every sum is a leading part and a rest below its rounding. Leading parts are added without error, what that leaves goes
to the rest, and the rest is made small again: three roundings of the size of u² of the sum for each merge, whatever
stands in it, so that shards may be added in any order and in any tree.
"""

from __future__ import annotations

import math
from typing import TypeVar

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.layer_grid import Key, LayerSums
from kernelscope.kernels.rounding import added

V = TypeVar("V")


def merged(one: LayerSums, two: LayerSums) -> LayerSums:
    """Sums over the rows of both, in a new value; the interval of a loss from them stays proved.

    Raises:
        Mismatch: other layers or widths, or sums that were not taken in two slices.
    """
    if one.columns != two.columns:
        raise Mismatch("sums of other layers, or of other widths, do not add; give the same layers")
    if not (one.lengths and two.lengths):
        raise Mismatch("sums of rows that were not sliced are not sharp enough to be added; take them with once=True")

    def lengths(key: Key) -> list[list[tuple[float, float]]]:
        return [a + b for a, b in zip(one.lengths[key], two.lengths[key])]

    return LayerSums(
        rows=(one.rows[0] + two.rows[0], one.rows[1] + two.rows[1]),
        own={key: (added(a[0], b[0]), added(a[1], b[1])) for key, a, b in _both(one.own, two.own)},
        sums={key: added(a, b) for key, a, b in _both(one.sums, two.sums)},
        cross=(added(one.cross[0], two.cross[0]), added(one.cross[1], two.cross[1])),
        columns=one.columns,
        same=one.same & two.same,
        row_errors={key: math.hypot(a, b) for key, a, b in _both(one.row_errors, two.row_errors)},
        constant={key: a.and_of(b) for key, a, b in _both(one.constant, two.constant)},
        lengths={key: lengths(key) for key in one.columns},
    )


def _both(one: dict[Key, V], two: dict[Key, V]) -> list[tuple[Key, V, V]]:
    return [(key, value, two[key]) for key, value in one.items()]
