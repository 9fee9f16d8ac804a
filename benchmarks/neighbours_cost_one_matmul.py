"""Exact 10 nearest neighbours against the bare float32 products they need, n = 100,000, d = 384.

Claim: at most 1.3 times the products. The first --queries examples search all n rows; every further block of queries
costs the same again. Two data sets: rows without structure, where candidates are hardest to rule out, and classes.
Run: python benchmarks/neighbours_cost_one_matmul.py [--n N] [--d D] [--queries Q] [--rounds R]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.similarity.nearest import TILE_ROWS, Index


def some_rows(kind: str, n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), np.float32)
    return X if kind == "unstructured" else X + 2 * rng.standard_normal((100, d), np.float32)[rng.integers(0, 100, n)]


def products(X: np.ndarray, queries: int) -> None:
    """Every product of a query with a row, in the same blocks and by the same BLAS, thrown away."""
    room = np.empty((TILE_ROWS, TILE_ROWS), np.float32)
    for start in range(0, queries, TILE_ROWS):
        Q = X[start : min(start + TILE_ROWS, queries)]
        for first in range(0, len(X), TILE_ROWS):
            rows = X[first : first + TILE_ROWS]
            np.matmul(Q, rows.T, out=room.reshape(-1)[: len(Q) * len(rows)].reshape(len(Q), len(rows)))


def torch_products(X: np.ndarray, queries: int) -> None:
    """The same by torch's BLAS, which is what a program written in torch would pay."""
    rows = torch.from_numpy(X)
    room = torch.empty(TILE_ROWS * TILE_ROWS)
    for start in range(0, queries, TILE_ROWS):
        Q = rows[start : min(start + TILE_ROWS, queries)]
        for block in rows.split(TILE_ROWS):
            torch.mm(Q, block.T, out=room[: len(Q) * len(block)].view(len(Q), len(block)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--d", type=int, default=384)
    parser.add_argument("--queries", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"n = {given.n}, d = {given.d}, {given.queries} queries, k = 10; {describe_machine()}")
    for kind in ("unstructured", "100 classes"):
        X = some_rows(kind, given.n, given.d)
        index = Index(X)

        def search(index: Index = index) -> None:
            for start in range(0, given.queries, TILE_ROWS):
                index.search(start, min(start + TILE_ROWS, given.queries), 10)

        seconds = paired_rounds(
            {
                "products": lambda X=X: products(X, given.queries),
                "products by torch": lambda X=X: torch_products(X, given.queries),
                f"neighbours, {kind}": search,
            },
            given.rounds,
        )
        print_table(seconds, "products")
        ratio = median_ratio(seconds, f"neighbours, {kind}", "products")
        print(f"{kind}: {ratio:.3f} (target 1.3): {'reached' if ratio <= 1.3 else 'not reached'}")


if __name__ == "__main__":
    main()
