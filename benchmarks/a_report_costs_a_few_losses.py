"""The whole report of one pair of layers in units of its one number, the exact transfer loss, and how it grows.

Claims, for float32 features of width 512 + 512 in memory: at most 10 losses with 100 classes at n = 20,000, 6 without
labels, and 6 at n = 2,000. Growth: twice the examples take at most 2.1 times as long, twice the features 4.2 times;
the search for neighbours, which grows with n² and is left out above 10,000 examples, is not part of that and is printed
beside it.
Run: python benchmarks/a_report_costs_a_few_losses.py [--rounds R] [--growth] [--most N]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from gram_route_beats_forming_kernels import features
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.measurement.measure import measure

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = (("n = 20,000, 100 classes", 20_000, 100, 10.0), ("n = 20,000", 20_000, 0, 6.0), ("n = 2,000", 2_000, 0, 6.0))
GROWTH = ((2_000, 256), (20_000, 64), (20_000, 256), (40_000, 512), (100_000, 256))  #: doubled in n, and in d
CLASSES = (2, 100, 1000)


def pair(n: int, d: int, classes: int) -> dict[str, np.ndarray]:
    """Two networks' features, and labels if there are classes."""
    student, teacher = features(n, d)
    found = {"teacher": teacher, "student": student}
    return {**found, "labels": np.random.default_rng(2).integers(0, classes, n)} if classes else found


def reports(rounds: int) -> None:
    for name, n, classes, claim in CASES:
        given = pair(n, 512, classes)
        variants: dict[str, Callable[[], object]] = {
            "transfer_loss": lambda given=given: transfer_loss(teacher=given["teacher"], student=given["student"]),
            "measure": lambda given=given: measure(**given),
            "measure, no neighbours": lambda given=given: measure(**given, neighbours=0),
        }
        seconds = paired_rounds(variants, rounds)
        print(f"\n{name}")
        print_table(seconds, "transfer_loss")
        ratio = median_ratio(seconds, "measure", "transfer_loss")
        print(
            f"measure / transfer_loss: {ratio:.2f} (claimed: at most {claim}) {'holds' if ratio <= claim else 'MISSED'}"
        )


def growth(rounds: int, most: int) -> None:
    print("\ntwice as much: with neighbours (without)")
    for n, d in GROWTH:
        if 2 * n > most:
            continue
        for words, n_2, d_2, claim in (
            (f"n {n:,} to {2 * n:,}, d = {d}", 2 * n, d, 2.1),
            (f"d {d} to {2 * d}, n = {n:,}", n, 2 * d, 4.2),
        ):
            ratios = []
            for neighbours in (None, 0):
                one, two = pair(n, d, 0), pair(n_2, d_2, 0)
                seconds = paired_rounds(
                    {
                        "one": lambda one=one, k=neighbours: measure(**one, neighbours=k),
                        "two": lambda two=two, k=neighbours: measure(**two, neighbours=k),
                    },
                    rounds,
                )
                ratios.append(median_ratio(seconds, "two", "one"))
            verdict = "holds" if ratios[1] <= claim else "MISSED"
            print(f"{words}: {ratios[0]:.2f} ({ratios[1]:.2f}; claimed without: at most {claim}) {verdict}", flush=True)
    for classes in CLASSES:
        given = pair(20_000, 256, classes)
        seconds = paired_rounds(
            {
                "labelled": lambda given=given: measure(**given),
                "plain": lambda given=given: measure(teacher=given["teacher"], student=given["student"]),
            },
            rounds,
        )
        print(
            f"{classes} classes / no labels, n = 20,000, d = 256: {median_ratio(seconds, 'labelled', 'plain'):.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", action="store_true", help="also how it grows, which takes minutes")
    parser.add_argument("--most", type=int, default=200_000, help="no more examples than these")
    given = parser.parse_args()
    print(f"d = 512 + 512, float32; {describe_machine()}")
    reports(given.rounds)
    if given.growth:
        growth(given.rounds, given.most)


if __name__ == "__main__":
    main()
