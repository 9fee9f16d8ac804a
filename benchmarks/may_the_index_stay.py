"""`adapt` on 40 students of which it is known whether a linear map takes their queries into the teacher's index.

Claims: the answer is right for at least 38 of them, and the map's recall at least 0.95 of re-embedding's where there is
one; searching costs at most twice its matrix products.
Run: python benchmarks/may_the_index_stay.py [--n 20000] [--d 128] [--students 40] [--rounds 5]
"""

from __future__ import annotations

import argparse

import numpy as np
from rounds import describe_machine, median_ratio, paired_rounds, print_table

import kernelscope as ks
from kernelscope.kernels.similarity.retrieval import Documents

QUERIES = 2_000


def teacher_of(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Clusters with a decaying spectrum, as embeddings have."""
    centres = rng.standard_normal((200, d)) * np.exp(-np.arange(d) / (d / 4))
    spread = 0.7 * rng.standard_normal((n, d)) * np.exp(-np.arange(d) / (d / 3))
    return (centres[rng.integers(0, 200, n)] + spread).astype(np.float32)


def students(T: np.ndarray, rng: np.random.Generator, count: int) -> list[tuple[str, np.ndarray, bool]]:
    """Name, features and whether a linear map can: half of them of either kind, each with numbers of its own."""
    n, d = T.shape
    found: list[tuple[str, np.ndarray, bool]] = []
    for number in range(count // 8):
        width = int(rng.integers(d, 2 * d))
        A, Q = rng.standard_normal((d, width)), np.linalg.qr(rng.standard_normal((d, d)))[0]
        noise = rng.standard_normal((n, d)) * T.std(axis=0)
        low, high = 0.02 + 0.06 * number / (count // 8), 1.5 + number
        found += [
            ("rotated and shifted", T @ Q + rng.standard_normal(d), True),
            ("any linear map", T @ A, True),
            (f"rotated, noise {low:.2f}", (T + low * noise) @ Q, True),
            ("each feature scaled", T * np.exp(rng.uniform(-1, 1, d)) @ Q, True),
            ("other documents", rng.permutation(T), False),
            ("unrelated", rng.standard_normal((n, width)), False),
            ("absolute values", np.abs(T @ Q), False),
            (f"noise {high:.1f}", (T + high * noise) @ Q, False),
        ]
    return [(name, X.astype(np.float32), can) for name, X, can in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    T = teacher_of(given.n, given.d, rng)
    print(f"n = {given.n:,}, d = {given.d}, {QUERIES:,} queries held out; {describe_machine()}")
    right, shares = 0, []
    for name, S, can in students(T, rng, given.students):
        found = ks.adapt(teacher=T, student=S, queries=QUERIES)
        ok = (found.answer == "yes") == can
        right += ok
        if can and found.best.of_reembedding is not None:
            shares.append(found.best.of_reembedding.value)
        print(
            f"  {'' if ok else 'WRONG '}{name}: {found.answer}, {found.best.kind}, recall@10 "
            f"{found.best.recall.value:.3f}, embedded again {found.reembedded.value:.3f}",
            flush=True,
        )
    least = min(shares, default=float("nan"))
    print(f"right: {right} of {given.students // 8 * 8}; where a map can, at least {least:.3f} of re-embedding")
    documents = Documents(T, "euclidean", k=10)
    queries = T[: documents.tile] + np.float32(0.01)
    room = np.empty((len(queries), 4096), np.float32)

    def products() -> None:
        for start in range(0, len(T), 4096):
            rows = T[start : start + 4096]
            np.matmul(queries, rows.T, out=room[:, : len(rows)])

    seconds = paired_rounds(
        {
            "search": lambda: documents.search(queries),
            "its products": products,
        },
        given.rounds,
    )
    print_table(seconds, "its products")
    print(f"search / its products: {median_ratio(seconds, 'search', 'its products'):.2f} (claimed: at most 2)")


if __name__ == "__main__":
    main()
