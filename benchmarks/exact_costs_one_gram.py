"""The exact loss in memory against the bare NumPy float64 ``Z.T @ Z`` of the same data, n = 50,000, 512 + 512.

Claims: total at most 1.1 times the bare product, at most 0.7 with rtol = 1e-3; at least 40 times faster than the
blocked float64 route and 10 times than the blocked float32 one.
Run: python benchmarks/exact_costs_one_gram.py [--n N] [--rounds R] [--blocked-rounds R]
"""

from __future__ import annotations

import argparse
import importlib.util

import numpy as np
from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.exact import transfer_loss


def chunked_sklearn(X_S: np.ndarray, X_T: np.ndarray, rows: int = 2048) -> float:
    """scikit-learn's linear_kernel a chunk of rows at a time, float64."""
    from sklearn.metrics.pairwise import linear_kernel

    difference = teacher = 0.0
    for start in range(0, len(X_S), rows):
        K_T = linear_kernel(X_T[start : start + rows], X_T)
        teacher += float(np.sum(K_T * K_T))
        K_T -= linear_kernel(X_S[start : start + rows], X_S)
        difference += float(np.sum(K_T * K_T))
    return (difference / teacher) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--blocked-rounds", type=int, default=1)
    given = parser.parse_args()
    X_S, X_T = (X.astype(np.float64) for X in features(given.n, given.d))
    Z = np.hstack([X_S, X_T])
    print(f"n = {given.n}, d = {given.d} + {given.d}, float64 features; {describe_machine()}")
    seconds = paired_rounds(
        {
            "bare Z.T @ Z": lambda: Z.T @ Z,
            "transfer_loss": lambda: transfer_loss(teacher=X_T, student=X_S),
            "transfer_loss, rtol=1e-3": lambda: transfer_loss(teacher=X_T, student=X_S, rtol=1e-3),
        },
        given.rounds,
    )
    print_table(seconds, "bare Z.T @ Z")
    if not given.blocked_rounds:
        return
    slow = {
        "transfer_loss": lambda: transfer_loss(teacher=X_T, student=X_S),
        "blocked route, float64": lambda: transfer_loss(teacher=X_T, student=X_S, route="blocked"),
        "blocked route, float32": lambda: transfer_loss(teacher=X_T, student=X_S, route="blocked", rtol=1e-3),
    }
    if importlib.util.find_spec("sklearn"):
        slow["scikit-learn linear_kernel, chunked"] = lambda: chunked_sklearn(X_S, X_T)
    seconds = paired_rounds(slow, given.blocked_rounds)
    print_table(seconds, "transfer_loss")
    for name, claim in (("blocked route, float64", 40), ("blocked route, float32", 10)):
        print(f"{name}: {median_ratio(seconds, name, 'transfer_loss'):.1f} times slower (claimed: at least {claim})")


if __name__ == "__main__":
    main()
