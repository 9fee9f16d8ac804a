"""The exact loss in memory against the bare NumPy float64 ``Z.T @ Z`` of the same data, n = 50,000, 512 + 512.

Claims, in bare products of the same features: at most 1.05 from float64 ones, and 1.05 from float32 ones, whose bare
product is the cast into a float64 buffer that exists already and ``Z.T @ Z`` of that; 3.3 for a loss of 1e-5, which the
Gram does not resolve, so that the pair route follows; 4.5 for the sums of rows that can be read once, in two slices.
At least 40 times faster than the blocked route in float64, and 10 times than where rtol = 1e-3 lets it try float32.
Run: python benchmarks/exact_costs_one_gram.py [--n N] [--d D] [--rounds R] [--blocked-rounds R]
"""

from __future__ import annotations

import argparse
import importlib.util
from typing import TYPE_CHECKING

import numpy as np
from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.distance.layer_grid import LayerSums, layer_sums

if TYPE_CHECKING:
    from collections.abc import Callable

BARE, BARE_SINGLE = "bare Z.T @ Z, float64", "bare cast and Z.T @ Z, float32"
CLAIMS = (
    ("transfer_loss, float64", BARE, 1.05),
    ("transfer_loss, float32", BARE_SINGLE, 1.05),
    ("loss of 1e-5, same basis", BARE, 3.3),
    ("loss of 1e-5, rotated", BARE, 3.3),
    ("sums of rows read once, float32", BARE_SINGLE, 4.5),
)


def near(X_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Students of loss about 1e-5, in the teacher's basis and in another."""
    rng = np.random.default_rng(1)
    student = X_T * (1 + 5e-5 * rng.standard_normal(X_T.shape))
    return student, student @ np.linalg.qr(rng.standard_normal((X_T.shape[1],) * 2))[0]


def cast_and_product(X_S: np.ndarray, X_T: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    buffer[:, : X_S.shape[1]], buffer[:, X_S.shape[1] :] = X_S, X_T
    return buffer.T @ buffer


def one_pair(X_S: np.ndarray, X_T: np.ndarray, once: bool) -> LayerSums:
    return layer_sums(teacher={"layer": X_T}, student={"layer": X_S}, once=once)


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


def against_bare_products(X_S: np.ndarray, X_T: np.ndarray, rounds: int) -> None:
    """Everything that costs a few Grams, from float32 features and the same numbers in float64."""
    S, T = X_S.astype(np.float64), X_T.astype(np.float64)
    Z = np.hstack([S, T])
    buffer, (beside, turned) = np.empty_like(Z), near(T)
    for name, student in (("same basis", beside), ("rotated", turned)):
        found = transfer_loss(teacher=T, student=student)
        print(f"{name}: loss {found.value:.3g} by route {found.route}, resolved {found.resolved}")
    variants: dict[str, Callable[[], object]] = {
        BARE: lambda: Z.T @ Z,
        "transfer_loss, float64": lambda: transfer_loss(teacher=T, student=S),
        BARE_SINGLE: lambda: cast_and_product(X_S, X_T, buffer),
        "transfer_loss, float32": lambda: transfer_loss(teacher=X_T, student=X_S),
        "loss of 1e-5, same basis": lambda: transfer_loss(teacher=T, student=beside),
        "loss of 1e-5, rotated": lambda: transfer_loss(teacher=T, student=turned),
        "sums of rows that can be read again, float32": lambda: one_pair(X_S, X_T, once=False),
        "sums of rows read once, float32": lambda: one_pair(X_S, X_T, once=True),
    }
    seconds = paired_rounds(variants, rounds)
    print_table(seconds, BARE)
    again = median_ratio(seconds, "sums of rows read once, float32", "sums of rows that can be read again, float32")
    print(f"rows read once / rows that can be read again: {again:.3f}")
    for name, bare, claim in CLAIMS:
        ratio = median_ratio(seconds, name, bare)
        verdict = "holds" if ratio <= claim else "MISSED"
        print(f"{name} / {bare}: {ratio:.3f} (claimed: at most {claim}) {verdict}")


def against_blocks(X_S: np.ndarray, X_T: np.ndarray, rounds: int) -> None:
    """The routes and packages that form all n² entries, float64 features."""
    slow: dict[str, Callable[[], object]] = {
        "transfer_loss": lambda: transfer_loss(teacher=X_T, student=X_S),
        "blocked route": lambda: transfer_loss(teacher=X_T, student=X_S, route="blocked"),
        "blocked route, rtol=1e-3": lambda: transfer_loss(teacher=X_T, student=X_S, route="blocked", rtol=1e-3),
    }
    if importlib.util.find_spec("sklearn"):
        slow["scikit-learn linear_kernel, chunked"] = lambda: chunked_sklearn(X_S, X_T)
    seconds = paired_rounds(slow, rounds)
    print_table(seconds, "transfer_loss")
    for name, claim in (("blocked route", 40), ("blocked route, rtol=1e-3", 10)):
        print(f"{name}: {median_ratio(seconds, name, 'transfer_loss'):.1f} times slower (claimed: at least {claim})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--blocked-rounds", type=int, default=1)
    given = parser.parse_args()
    X_S, X_T = features(given.n, given.d)
    print(f"n = {given.n}, d = {given.d} + {given.d}; {describe_machine()}")
    against_bare_products(X_S, X_T, given.rounds)
    if given.blocked_rounds:
        against_blocks(X_S.astype(np.float64), X_T.astype(np.float64), given.blocked_rounds)


if __name__ == "__main__":
    main()
