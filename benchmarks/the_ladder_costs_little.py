"""Every rung of the ladder, held-out head included, against the plain number, n = 50,000, 512 + 512, in memory.

Claim: at most 1.3 times. The rungs come from the sums of the same pass.
Run: python benchmarks/the_ladder_costs_little.py [--n N] [--d D] [--rounds R]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums, transfer_loss, well_scaled_sums
from kernelscope.kernels.similarity import ladder

if TYPE_CHECKING:
    import numpy as np


def loss_and_rungs(X_S: np.ndarray, X_T: np.ndarray) -> None:
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    loss_from_sums(scaled)
    ladder.rungs(scaled, centre(scaled))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    X_S, X_T = features(given.n, given.d)
    print(f"n = {given.n}, d = {given.d} + {given.d}, {X_S.dtype} features; {describe_machine()}")
    seconds = paired_rounds(
        {
            "transfer_loss": lambda: transfer_loss(teacher=X_T, student=X_S),
            "transfer_loss and every rung": lambda: loss_and_rungs(X_S, X_T),
        },
        given.rounds,
    )
    print_table(seconds, "transfer_loss")
    ratio = median_ratio(seconds, "transfer_loss and every rung", "transfer_loss")
    print(f"ladder / plain: {ratio:.3f} (target 1.3): {'reached' if ratio <= 1.3 else 'not reached'}")


if __name__ == "__main__":
    main()
