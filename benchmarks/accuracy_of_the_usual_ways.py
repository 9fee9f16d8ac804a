"""Relative error of the transfer loss by the ways people compute it, at true losses from 1e-1 to 1e-10.

The truth is whole-number arithmetic, so nothing here is its own judge.
Run: python benchmarks/accuracy_of_the_usual_ways.py
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from kernelscope.kernels.distance.exact import transfer_loss
from tests.kernels.integer_oracle import exact_loss


def nxn_fp32(S: np.ndarray, T: np.ndarray) -> float:
    S32, T32 = (torch.from_numpy(X).float() for X in (S, T))
    K_T = T32 @ T32.T
    return float(torch.linalg.norm(S32 @ S32.T - K_T) / torch.linalg.norm(K_T))


def trace_formula(S: np.ndarray, T: np.ndarray, dtype: type) -> float:
    S, T = S.astype(dtype), T.astype(dtype)
    squared = np.sum((S.T @ S) ** 2) + np.sum((T.T @ T) ** 2) - 2 * np.sum((S.T @ T) ** 2)
    return math.sqrt(max(0.0, float(squared))) / float(np.linalg.norm(T.T @ T))


def mini_batches(S: np.ndarray, T: np.ndarray, rows: int = 32) -> float:
    """The loss of each batch's own kernel, averaged, as mini-batch tools do."""
    starts = range(0, len(S), rows)
    losses = [transfer_loss(teacher=T[i : i + rows], student=S[i : i + rows]).value for i in starts]
    return float(np.mean(losses))


WAYS = {
    "n x n fp32": nxn_fp32,
    "trace fp32": lambda S, T: trace_formula(S, T, np.float32),
    "trace fp64": lambda S, T: trace_formula(S, T, np.float64),
    "mini-batch": mini_batches,
    **{
        f"ours {route}": (lambda S, T, route=route: transfer_loss(teacher=T, student=S, route=route).value)
        for route in ("gram", "pair", "tsqr", "blocked", "auto")
    },
}


def main() -> None:
    rng = np.random.default_rng(0)
    n, d = 160, 12
    T = rng.standard_normal((n, d)) + 0.5
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    noise = rng.standard_normal((n, d))
    print(f"relative error, n = {n}, d = {d} + {d}, rotated teacher plus noise, float64 features")
    print(f"{'true loss':>12}" + "".join(f"{name:>14}" for name in WAYS))
    for exponent in range(1, 11):
        S = T @ Q + 0.3 * 10.0**-exponent * noise
        truth = exact_loss(S, T)
        errors = [abs(way(S, T) / truth - 1) for way in WAYS.values()]
        print(f"{truth:>12.3e}" + "".join(f"{error:>14.1e}" for error in errors))


if __name__ == "__main__":
    main()
