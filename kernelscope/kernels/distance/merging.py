"""Sums of several passes as those of one: what they are added from, and what adding costs (docs/theory.md 3.11).

Every sum is a leading part and a rest below its rounding. Leading parts are added without error, what that leaves goes
to the rest, and the rest is made small again: three roundings of the size of u² of the sum for each merge, whatever
stands in it, so that shards may be added in any order and in any tree.
"""

from __future__ import annotations

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.layer_grid import LayerSums, both_sums


def merged(one: LayerSums, two: LayerSums) -> LayerSums:
    """Sums over the rows of both, in a new value; the interval of a loss from them stays proved.

    Raises:
        Mismatch: other layers or widths, or sums that were not taken in two slices.
    """
    if one.columns != two.columns:
        raise Mismatch("sums of other layers, or of other widths, do not add; give the same layers")
    if (one.grid is None) != (two.grid is None):
        raise Mismatch("one part was summed on a grid and one was not; sum all shards with --reproducible, or none")
    if one.grid is not None and two.grid is not None:
        one.grid.require_same(two.grid)
    elif not (one.lengths and two.lengths):
        raise Mismatch("sums of rows that were not sliced are not sharp enough to be added; take them with once=True")

    return both_sums(one, two)
