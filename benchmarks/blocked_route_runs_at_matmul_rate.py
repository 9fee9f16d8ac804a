"""The blocked route against ``torch.mm`` over the same upper-triangular blocks of both kernels.

Claim: at least 0.85 of the rate, float32 and float64.
Run: python benchmarks/blocked_route_runs_at_matmul_rate.py [--n N] [--device cuda]
"""

from __future__ import annotations

import argparse

import torch
from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES, block_size, blocked_norms, full_precision_matmul


def bare_products(S: torch.Tensor, T: torch.Tensor, rows: int) -> None:
    n = len(S)
    with full_precision_matmul():
        for i in range(0, n, rows):
            for j in range(i, n, rows):
                torch.mm(S[i : i + rows], S[j : j + rows].T)
                torch.mm(T[i : i + rows], T[j : j + rows].T)
    if S.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=16_384)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    X_S, X_T = features(given.n, given.d)
    print(f"n = {given.n}, d = {given.d} + {given.d}, {given.device}; {describe_machine()}")
    for single in (True, False):
        name = "float32" if single else "float64"
        dtype = torch.float32 if single else torch.float64
        S, T = (torch.from_numpy(X).to(given.device, dtype) for X in (X_S, X_T))
        rows = block_size(given.n, 2 * given.d, 4 if single else 8, DEFAULT_MEMORY_BYTES)
        variants = {
            "torch.mm": lambda S=S, T=T, rows=rows: bare_products(S, T, rows),
            "blocked route": lambda S=S, T=T, single=single: blocked_norms(
                teacher=T, student=S, single=single, device=given.device
            ),
        }
        seconds = paired_rounds(variants, given.rounds)
        print(f"{name}, blocks of {rows} rows")
        print_table(seconds, "torch.mm")
        print(f"rate {median_ratio(seconds, 'torch.mm', 'blocked route'):.3f} of torch.mm (claimed: at least 0.85)")


if __name__ == "__main__":
    main()
