"""A training step with a kernel loss, against a step with KD: same student, teacher, batch and loop.

Claims: KDA at most 1.05 times KD's step, full_kernel at most 1.10 times.
Run: python benchmarks/kernel_losses_cost_what_kd_costs.py [--rounds R] [--steps N] [--batch-size B] [--methods ...]
"""

from __future__ import annotations

import argparse

from rounds import describe_machine, median_ratio, paired_rounds, print_table
from steps import Steps

from kernelscope.distill.recipe import Recipe

METHODS = ("kd", "kda", "full_kernel", "kda+kda@logits", "gram", "rkd", "at", "cka", "sp", "procrustes")
CLAIMS = {"kda": 1.05, "full_kernel": 1.10}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--student", default="resnet18x0.25")
    parser.add_argument("--teacher", default="resnet34x0.25")
    parser.add_argument("--data", default="shapes(size=32,classes=100,n=1280)")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="kd among them")
    given = parser.parse_args()
    print(f"{given.student} from {given.teacher}, {given.data}, batch {given.batch_size}; {describe_machine()}")
    runs = {}
    for method in given.methods:
        recipe = Recipe(arch=given.student, method=method, epochs=20, batch_size=given.batch_size, lr=1e-3)
        runs[method] = Steps([recipe], given.data, given.teacher)
    seconds = paired_rounds({m: (lambda run=run: run.take(given.steps)) for m, run in runs.items()}, given.rounds)
    print_table(seconds, "kd")
    for method, most in CLAIMS.items():
        if method not in given.methods:
            continue
        ratio = median_ratio(seconds, method, "kd")
        print(f"{method} / kd: {ratio:.3f} (at most {most}): {'reached' if ratio <= most else 'not reached'}")


if __name__ == "__main__":
    main()
