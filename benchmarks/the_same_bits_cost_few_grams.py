"""Sums that no order changes against the bare NumPy float64 ``Z.T @ Z`` of the same data, n = 50,000, 256 + 256.

Claim: at most 4.5 bare products of float32 features, cast into a float64 buffer that exists already; the pass for the
largest entry of every column is counted in.
Run: python benchmarks/the_same_bits_cost_few_grams.py [--n N] [--d D] [--rounds R]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from exact_costs_one_gram import BARE_SINGLE, cast_and_product, one_pair
from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.column_grid import Grid
from kernelscope.kernels.distance.layer_grid import LayerSums, layer_sums

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER_FREE, CLAIM = "sums that no order changes, float32", 4.5


def order_free(X_S: np.ndarray, X_T: np.ndarray) -> LayerSums:
    grid = Grid.of({("teacher", "layer"): X_T, ("student", "layer"): X_S})
    return layer_sums(teacher={"layer": X_T}, student={"layer": X_S}, grid=grid)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    X_S, X_T = features(given.n, given.d)
    buffer = np.empty((given.n, 2 * given.d))
    variants: dict[str, Callable[[], object]] = {
        BARE_SINGLE: lambda: cast_and_product(X_S, X_T, buffer),
        ORDER_FREE: lambda: order_free(X_S, X_T),
        "sums of rows read once, float32": lambda: one_pair(X_S, X_T, once=True),
    }
    print(f"n = {given.n}, d = {given.d} + {given.d}; {describe_machine()}")
    seconds = paired_rounds(variants, given.rounds)
    print_table(seconds, BARE_SINGLE)
    ratio = median_ratio(seconds, ORDER_FREE, BARE_SINGLE)
    print(f"{ORDER_FREE} / bare: {ratio:.2f} (claimed: at most {CLAIM}) {'holds' if ratio <= CLAIM else 'MISSED'}")


if __name__ == "__main__":
    main()
