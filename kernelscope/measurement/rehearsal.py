"""How long a measurement will take: this machine's rates, from a second or two of the work itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope import exchange
from kernelscope.kernels.rows import BLOCK_ROWS, numpy_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.measurement.layer_pairs import LayerPair

ROUNDS = 3
ENOUGH_SECONDS = 0.2  #: for one rate
WIDEST = 768  #: matrix that is decomposed to see how fast that goes
LEAST_ROWS = 128


@dataclass(frozen=True)
class Rates:
    """Multiply-adds per second of products in double and in single precision, and of decompositions; bytes read."""

    double: float
    single: float
    decompositions: float
    read: float


def rehearse(pair: LayerPair, *, reads: bool = True) -> Rates:
    """Rates on the first rows of a pair, or on random ones as wide where to read them is to run a network.

    Files that the system holds in memory are read at memory's rate: the first reading of a cold one takes longer.
    """
    sides = (pair.student, pair.teacher)
    n, p = sides[0].shape[0], sum(X.shape[1] for X in sides)
    rows = min(n, BLOCK_ROWS, max(LEAST_ROWS, 2**31 // p**2))
    if reads:
        S, T = (numpy_block(X, 0, rows).astype(np.float64) for X in sides)
    else:
        S, T = (np.random.default_rng(0).standard_normal((rows, X.shape[1])) for X in sides)

    def products() -> float:
        for A, B in ((S, S), (T, T), (S, T)):
            A.T @ B
        return float(len(S) * (S.shape[1] + T.shape[1]) ** 2 / 2)

    Q = S.astype(np.float32)[:1024]
    R = np.ascontiguousarray(Q[: max(1, len(Q) // 2)])
    width = min(WIDEST, max(S.shape[1], T.shape[1]))
    G = np.cov(np.random.default_rng(0).standard_normal((width, 2 * width)))

    def rates() -> list[float]:
        return [
            _rate(products),
            _rate(lambda: (Q @ R.T).size * Q.shape[1]),
            _rate(lambda: np.linalg.eigvalsh(G).size * width**2),
            _rate(lambda: float(sum(numpy_block(X, 0, rows).nbytes for X in sides))) if reads else math.inf,
        ]

    double, single, decompositions, read = exchange.decided(rates)
    count = exchange.count()  # that share every pass
    return Rates(count * double, count * single, decompositions, count * read)


def seconds_of(run: Callable[[], object]) -> float:
    """Of one call, the least of a few as far as time allows: the first also warms up."""
    best, begun = float("inf"), time.perf_counter()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > ENOUGH_SECONDS:
            break
    return max(best, 1e-9)


def _rate(work: Callable[[], float]) -> float:
    done: float = work()  # also the first call, which wakes threads
    return float(done / seconds_of(work))
