"""``weight=auto`` against plain training: is every method above it without a search?

Claim: kd, rkd, at, kda, kda@logits, their Combo, gram and full_kernel, each with weight=auto, are above plain training
in mean top-1 over 5 seeds; whitened and early-layer variants and the default weights are printed beside them.
Run: python benchmarks/weights_found_by_gradients.py [--jobs N] [--seeds N] [--methods ce METHOD ...]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from students import METRICS, Run, Setting, column, run_all

from kernelscope.distill.comparison import paired

METHODS = (
    "ce",
    "kd(weight=auto)",
    "rkd(weight=auto)",
    "at(weight=auto)",
    "kda(weight=auto)",
    "kda@logits(weight=auto)",
    "kda(weight=auto)+kda@logits(weight=auto)",
    "gram(weight=auto)",
    "full_kernel(weight=auto)",
    "kda(landmarks=running,weight=auto)",
    "kda(landmarks=running,weight=auto)+rkd(weight=auto)",
    "kda(whiten=teacher,weight=auto)",
    "kda@layer1(weight=auto)",
    "kda@layer2(weight=auto)",
    "kd",
    "rkd",
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=METHODS, help="ce first")
    given = parser.parse_args()
    methods = tuple(given.methods)
    runs = [Run(Setting(), seed, methods) for seed in range(given.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        found = run_all(runs, Path(folder), given.jobs)
    print(f"{Setting().images}, 16 epochs, batch 32, {given.seeds} seeds, 2,000 held-out images")
    print(f"{'':<54}" + "".join(f"{metric:>16}" for metric in METRICS) + "     top-1 − plain")
    for method in methods:
        cells = [column(found, runs, method, metric) for metric in METRICS]
        d = paired(cells[0], column(found, runs, "ce", "top-1"), "seeds")
        half = "" if d.half_width is None else f" ± {d.half_width:.3f}"
        row = "".join(f"{c.mean():>9.3f} ± {c.std(ddof=1):.3f}" for c in cells)
        print(f"{method:<54}{row}     {d.value:+.3f}{half}")


if __name__ == "__main__":
    main()
