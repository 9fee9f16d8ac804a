"""What one pass straight from two networks sums, 2048 + 1024 features of bfloat16 precision, against the bare Gram.

Claim: at most 1.25 times ``Z.T @ Z`` of the same blocks of 4,096 rows, cast into a buffer that exists already, for all
that a report of one pass needs (both halves, class sums, sums over diagonals), nothing on disk; and the cost of a row
does not grow with n. Forward passes are left out on both sides: the rows are one block over and over.
Claim: a report of two runs (--passes 2) costs at most 2 times one of one run, of networks of one layer each.
Run: python benchmarks/straight_from_networks_costs_one_gram.py [--n N] [--d D_T] [--rounds R]
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table

import kernelscope as ks
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.nystrom.class_sums import ClassSummation
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.kernels.similarity.diagonals import DiagonalSummation

CLAIM, TWICE = 1.25, 2.0
ONE_RUN, TWO_RUNS = "a report of one run", "a report of two runs"
BARE, ALL = "bare Z.T @ Z of the blocks", "everything of one pass"


class Repeated:
    """n rows that are one block over and over, of 8 bits each."""

    def __init__(self, n: int, d: int, seed: int) -> None:
        self.shape, self.dtype = (n, d), np.dtype("float32")
        block = np.random.default_rng(seed).standard_normal((BLOCK_ROWS, d), dtype=np.float32)
        self.block = (block.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return self.block[: stop - start]


def bare(teacher: Repeated, student: Repeated) -> None:
    buffer = np.empty((BLOCK_ROWS, teacher.shape[1] + student.shape[1]))
    total = np.zeros((buffer.shape[1],) * 2)
    for start in range(0, teacher.shape[0], BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        T, S = teacher[rows], student[rows]
        Z = buffer[: len(T)]
        Z[:, : T.shape[1]], Z[:, T.shape[1] :] = T, S
        total += Z.T @ Z


def everything(teacher: Repeated, student: Repeated) -> None:
    layers = {("teacher", "layer"): teacher, ("student", "layer"): student}
    diagonals = DiagonalSummation(layers)
    classes = ClassSummation(np.arange(teacher.shape[0]) % 100, layers)
    layer_sums(teacher={"layer": teacher}, student={"layer": student}, beside=[diagonals, classes])
    diagonals.total(), classes.total()


def reports(n: int, d: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of reports of two networks of one layer each, d + d features and ten classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, n)
    X = (rng.standard_normal((10, 64))[y] + rng.standard_normal((n, 64))).astype(np.float32)
    torch.manual_seed(0)
    teacher, student = (torch.nn.Sequential(torch.nn.Linear(64, d), torch.nn.ReLU()) for _ in range(2))

    def run(passes: int) -> None:
        given = {"layers": "1", "data": (X, y), "features": False, "accuracy_check": False}
        ks.measure(teacher=teacher, student=student, passes=passes, **given)

    return paired_rounds({ONE_RUN: lambda: run(1), TWO_RUNS: lambda: run(2)}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=20_480)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    teacher, student = Repeated(given.n, given.d, 0), Repeated(given.n, given.d // 2, 1)
    half = [Repeated(given.n // 2, X.shape[1], 0) for X in (teacher, student)]
    print(f"n = {given.n}, d = {given.d} + {given.d // 2}; {describe_machine()}")
    variants = {
        BARE: lambda: bare(teacher, student),
        ALL: lambda: everything(teacher, student),
        "the same of half the rows": lambda: everything(*half),
    }
    seconds = paired_rounds(variants, given.rounds)
    print_table(seconds, BARE)
    ratio = median_ratio(seconds, ALL, BARE)
    print(f"everything / bare: {ratio:.2f} (claimed: at most {CLAIM}) {'holds' if ratio <= CLAIM else 'MISSED'}")
    doubled = median_ratio(seconds, ALL, "the same of half the rows")
    slope = statistics.median(seconds[ALL]) / given.n
    print(f"time(2n) / time(n): {doubled:.2f}; {1e6 * slope:.0f} s for a million rows")
    d = given.d // 4
    seconds = reports(given.n, d, given.rounds)
    print(f"reports, n = {given.n}, d = {d} + {d}")
    print_table(seconds, ONE_RUN)
    ratio = median_ratio(seconds, TWO_RUNS, ONE_RUN)
    print(f"two runs / one: {ratio:.2f} (claimed: at most {TWICE}) {'holds' if ratio <= TWICE else 'MISSED'}")


if __name__ == "__main__":
    main()
