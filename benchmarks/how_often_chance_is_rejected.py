"""How often unrelated networks get p < .05: by the Pearson III tail alone, and as reports have it; power; cost.

Run: python benchmarks/how_often_chance_is_rejected.py [--draws N] [--large N] [--seed S]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rounds import describe_machine, paired_rounds

sys.path.insert(0, str(Path(__file__).parent.parent))
from typing import TYPE_CHECKING

from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.statistics.chance import upper_tail
from kernelscope.kernels.statistics.permutations import shuffled
from tests.kernels.nulls import KINDS, chance_of, related, unrelated
from tests.kernels.statistics.test_best_of_many import corrected
from tests.kernels.statistics.test_best_of_many import unrelated as unrelated_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = ((10, 4), (30, 8), (300, 16), (300, 64), (1000, 32), (3000, 32))
KEPT = (0.05, 0.1, 0.2)  #: shares of the examples in which the student follows its teacher


def draws_at(n: int, given: argparse.Namespace) -> int:
    """Fewer where a draw is dear."""
    return given.draws if n <= 300 else given.large if n <= 1000 else max(1, given.large // 2)


def of_each(kind: str, n: int, d: int, count: int, seed: int, kept: float | None = None) -> Iterator[tuple[float, ...]]:
    """(p as reports have it, p by the tail alone, |skewness|, whether examples were shuffled) of every draw."""
    rng = np.random.default_rng([seed, n, d])
    for _ in range(count):
        X_S, X_T = unrelated(kind, n, d, rng) if kept is None else related(kind, n, d, kept, rng)
        found = chance_of(X_S, X_T)
        z = found.above_chance * (1 - found.cka_mean) / found.cka_sd
        tail = upper_tail(z, found.cka_skewness or 0.0)
        yield found.p_value, tail, abs(found.cka_skewness or 0.0), found.shuffled is not None


def rejections(given: argparse.Namespace) -> None:
    print("share of draws of unrelated networks with p < .05")
    print(f"{'kind':<14}{'n':>6}{'d':>4}{'draws':>7}{'skewness':>10}{'shuffled':>10}{'tail alone':>12}{'reported':>10}")
    for n, d in SIZES:
        for kind in KINDS:
            count = draws_at(n, given)
            p, tail, skewness, by = np.array(list(of_each(kind, n, d, count, given.seed))).T
            print(
                f"{kind:<14}{n:>6}{d:>4}{count:>7}{np.median(skewness):>10.2f}{by.mean():>10.2f}"
                f"{np.mean(tail < 0.05):>12.3f}{np.mean(p < 0.05):>10.3f}",
                flush=True,
            )


def power(given: argparse.Namespace, n: int = 100, d: int = 8) -> None:
    print(f"\nshare of draws with p < .05 where the student follows its teacher in so many of {n} examples (d = {d})")
    print(f"{'kind':<14}" + "".join(f"{kept:>8.0%}" for kept in KEPT))
    count = max(1, given.draws // 4)
    for kind in KINDS:
        shares = [np.mean([p < 0.05 for p, *_ in of_each(kind, n, d, count, given.seed, kept)]) for kept in KEPT]
        print(f"{kind:<14}" + "".join(f"{share:>8.2f}" for share in shares), flush=True)


def best_of_many(given: argparse.Namespace) -> None:
    print("\nbest of 64 unrelated pairs of layers: share of grids with p < .05")
    for n in (30, 150):
        rng, found = np.random.default_rng([given.seed, n]), []
        for _ in range(max(1, given.draws // 4)):
            cells = corrected(unrelated_layers(rng, n)).values()
            found.append([min(c.p_corrected for c in cells), min(c.alone.p_value for c in cells)])
        by, alone = np.mean(np.array(found) < 0.05, axis=0)
        print(f"n = {n:>4}: corrected {by:.3f}, each pair as if alone {alone:.3f}", flush=True)


def cost() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 20_000, 512), np.float32)
    widths = np.linspace(64, 512, 18).astype(int)
    grids = {
        n: [{str(i): rng.standard_normal((n, d)) for i, d in enumerate(widths)} for _ in "ST"] for n in (512, 2000)
    }
    seconds = paired_rounds(
        {
            "loss, n = 20,000, d = 512": lambda: well_scaled_sums(teacher=X, student=Y),
            "1,999 permutations of 2,000 of them": lambda: shuffled(teacher=X, student=Y, seed=0),
            **{f"18 x 18 layers, d = 64 ... 512, {n} examples": lambda n=n: corrected(grids[n]) for n in grids},
        },
        rounds=3,
    )
    print(f"\nseconds ({describe_machine()})")
    for name, values in seconds.items():
        print(f"{name:<44}{np.median(values):>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=400, help="of data; 4000 for the tables in docs")
    parser.add_argument("--large", type=int, default=40, help="of data where n > 300, half as many where n > 1000")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rejections(given)
    power(given)
    best_of_many(given)
    cost()


if __name__ == "__main__":
    main()
