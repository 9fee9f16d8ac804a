"""Seconds that ``--plan`` foretells over seconds that the measurement takes.

Claims: between a half and twice, on a machine that does nothing else.
Run: python benchmarks/the_plan_against_the_measurement.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import re
import statistics
import time

import numpy as np

import kernelscope as ks

#: examples, teacher's and student's features, classes (0: no labels), neighbours
CASES = [
    (200_000, 32, 32, 0, 0),
    (50_000, 128, 128, 10, 0),
    (20_000, 512, 512, 10, 0),
    (20_000, 512, 512, 0, 10),
    (6_000, 1024, 512, 0, 10),
    (5_000, 1536, 1536, 10, 0),
]
UNITS = {"s": 1, "min": 60, "h": 3600}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'n':>9} {'d_T':>5} {'d_S':>5} {'classes':>7} {'k':>3} {'planned':>9} {'taken':>8} {'ratio':>6}")
    for n, d_T, d_S, classes, k in CASES:
        rng = np.random.default_rng(0)
        T = rng.standard_normal((n, d_T), dtype=np.float32)
        S = np.maximum(T @ rng.standard_normal((d_T, d_S), dtype=np.float32), 0)
        options = {"teacher": T, "student": S, "neighbours": k, "labels": np.arange(n) % classes if classes else None}
        both = [(_planned(options), _taken(options)) for _ in range(rounds)]
        ratio = statistics.median(planned / taken for planned, taken in both)
        planned, taken = (statistics.median(values) for values in zip(*both))
        print(f"{n:9,} {d_T:5} {d_S:5} {classes:7} {k:3} {planned:7.2g} s {taken:6.2g} s {ratio:6.2f}", flush=True)


def _planned(options: dict) -> float:
    lines: list[str] = []
    ks.measure(**options, plan=True, announce=lines.append)
    number, unit = re.search(r"in all: about ([\d.]+) (s|min|h) ", "\n".join(lines)).groups()
    return float(number) * UNITS[unit]


def _taken(options: dict) -> float:
    start = time.perf_counter()
    ks.measure(**options)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
