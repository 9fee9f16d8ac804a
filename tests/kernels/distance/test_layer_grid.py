"""One pass over all layers knows which of them hold the same numbers."""

import numpy as np

from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.rows import BLOCK_ROWS


def test_layers_are_the_same_only_if_every_row_of_every_block_is():
    X = np.random.default_rng(0).standard_normal((BLOCK_ROWS + 3, 4))
    first, last = X.copy(), X.copy()
    first[0, 0] += 1e-12
    last[-1, -1] += 1e-12
    sums = layer_sums(teacher={"a": X, "b": first}, student={"a": X.copy(), "b": last, "narrow": X[:, :3]})
    assert sums.same == {("a", "a")}
