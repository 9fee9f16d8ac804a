"""What one pass over n examples takes, from rates: a table for docs/scale.md, and where one route overtakes another.

    seconds = max(bytes / (processes · read), multiply-adds / (processes · products)) + decompositions + merging

Rates are measured here, on this machine's CPU with one thread a process, or given; those of cards that were not at
hand come from their makers' sheets and are marked so in the documents.

Run: python benchmarks/cost_model.py
     python benchmarks/cost_model.py --products 30e12 --decompositions 1e11 --read 5e9 --network 10e9 --processes 1,8,64
"""

from __future__ import annotations

import argparse
import math
from types import SimpleNamespace

import numpy as np

from kernelscope.errors import in_bytes, in_seconds
from kernelscope.measurement.passes import DECOMPOSITIONS
from kernelscope.measurement.rehearsal import Rates, rehearse

SIZES = [(10**n, d) for d in (512, 2048, 8192) for n in (5, 6, 7, 8, 9)]
#: a pass's products over those of a plain Gram: benchmarks/exact_costs_one_gram.py and the_same_bits_cost_few_grams.py
ROUTES = {"plain Gram": 1.0, "two slices (streams, sums as files)": 3.3, "order-free (--reproducible)": 4.5}


def measured() -> Rates:
    """This machine's, with one thread: of products of 512 + 512 features, and of decompositions."""
    rng = np.random.default_rng(0)
    sides = SimpleNamespace(student=rng.standard_normal((4096, 512), np.float32))
    sides.teacher = rng.standard_normal((4096, 512), np.float32)
    return rehearse(sides)  # type: ignore[arg-type]


def seconds(n: int, p: int, rates: Rates, network: float, processes: int, route: float) -> tuple[float, str]:
    """Of one pass into the sums and what is made of them, and what it waits for."""
    read = 4 * n * p / (processes * rates.read)
    products = route * n * p * p / 2 / (processes * rates.double)
    small = DECOMPOSITIONS * p**3 / rates.decompositions
    merging = 16 * p * p * math.ceil(math.log2(processes)) / network if processes > 1 else 0.0
    waits = max((read, "reading"), (products, "products"), (small, "decompositions"))[1]
    return max(read, products) + small + merging, waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("products", "single", "decompositions"):
        parser.add_argument(f"--{name}", type=float, metavar="PER_SECOND", help="of one process [default: measured]")
    parser.add_argument("--read", type=float, default=1e9, metavar="BYTES_PER_SECOND", help="by one process")
    parser.add_argument("--network", type=float, default=1e9, metavar="BYTES_PER_SECOND")
    parser.add_argument("--processes", default="1,2,8,64")
    asked = parser.parse_args()
    here = measured()
    rates = Rates(
        double=asked.products or here.double,
        single=asked.single or here.single,
        decompositions=asked.decompositions or here.decompositions,
        read=asked.read,
    )
    counts = [int(word) for word in asked.processes.split(",")]
    print(
        f"one process: {rates.double:.2g} multiply-adds a second in products, {rates.decompositions:.2g} in "
        f"decompositions, {in_bytes(rates.read)} read a second; merging at {in_bytes(asked.network)} a second"
    )
    print("\n| n | d + d | on disk | " + " | ".join(f"{count} processes" for count in counts) + " | waits for |")
    print("|---|---|---|" + "---|" * (len(counts) + 1))
    for n, d in SIZES:
        found = [seconds(n, 2 * d, rates, asked.network, count, 1.0) for count in counts]
        waits = " / ".join(dict.fromkeys(what for _, what in found))
        times = " | ".join(in_seconds(time) for time, _ in found)
        print(f"| 10^{round(math.log10(n))} | {d} + {d} | {in_bytes(8 * n * d)} | {times} | {waits} |")
    print("\nbreak-evens")
    for d in (512, 2048, 8192):
        p = 2 * d
        print(
            f"  {d} + {d} features: below n = {p:,} kernels of n x n instead of Grams; above n = "
            f"{_neighbours(d, rates):,.0f} neighbours cost more than all else; decompositions take longer than the "
            f"pass below n = {2 * DECOMPOSITIONS * p * rates.double / rates.decompositions:,.0f}"
        )
    print(f"  reading takes longer than products below d = {8 * rates.double / rates.read / 2:,.0f}")
    for name, factor in ROUTES.items():
        taken = seconds(10**6, 1024, rates, asked.network, 1, factor)[0]
        print(f"  {name}: {factor} x the products, 10^6 x (512 + 512) in {in_seconds(taken)}")


def _neighbours(d: int, rates: Rates) -> float:
    """Examples above which n² (d_S + 3 d_T) in single precision costs more than the passes of a report, 2 n p²."""
    return 2 * (2 * d) ** 2 / (4 * d) * rates.single / rates.double


if __name__ == "__main__":
    main()
