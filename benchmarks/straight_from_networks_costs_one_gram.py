"""What one pass straight from two networks sums, 2048 + 1024 features of bfloat16 precision, against the bare Gram.

Claim: at most 1.25 times ``Z.T @ Z`` of the same blocks of 4,096 rows, cast into a buffer that exists already, for all
that a report of one pass needs (both halves, class sums, sums over diagonals), nothing on disk; and the cost of a row
does not grow with n. Forward passes are left out on both sides: the rows are one block over and over.
Run: python benchmarks/straight_from_networks_costs_one_gram.py [--n N] [--d D_T] [--rounds R]
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.nystrom.class_sums import ClassSummation
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.kernels.similarity.diagonals import DiagonalSummation

CLAIM = 1.25
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


if __name__ == "__main__":
    main()
