"""Five students trained side by side, against the same five one after the other.

Claim: at most 0.65 times the time where the teacher's forward pass costs four times a student's.
Run: python benchmarks/a_cohort_pays_its_teacher_once.py [--rounds R] [--steps N]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from steps import Steps

from kernelscope.distill.recipe import Recipe

METHODS = ("kd", "kda", "at", "rkd", "full_kernel")


def forward_ratio(run: Steps) -> float:
    """Teacher's forward pass over the student's, on one batch."""
    x = run.splits.training.batch(0, run.recipe.batch_size)
    assert isinstance(x, torch.Tensor)
    seconds: dict[str, list[float]] = {"teacher": [], "student": []}
    with torch.inference_mode():
        for _ in range(10):
            for name, network in (("teacher", run.teacher.network), ("student", run.students[0].network)):
                start = time.perf_counter()
                network(x)
                seconds[name].append(time.perf_counter() - start)
    return median(t / s for t, s in zip(seconds["teacher"][1:], seconds["student"][1:]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--student", default="resnet18x0.25")
    parser.add_argument("--teacher", default="resnet34x0.4")
    parser.add_argument("--data", default="shapes(size=32,classes=100,n=640)")
    given = parser.parse_args()
    recipes = [Recipe(arch=given.student, method=method, epochs=20, lr=1e-3) for method in METHODS]
    together, alone = (
        Steps(recipes, given.data, given.teacher),
        [Steps([r], given.data, given.teacher) for r in recipes],
    )
    print(f"{given.student} from {given.teacher}, {given.data}, batch {recipes[0].batch_size}; {describe_machine()}")
    print(f"methods {', '.join(METHODS)}; teacher's forward / student's: {forward_ratio(together):.2f}")

    def one_by_one() -> None:
        for run in alone:
            run.take(given.steps)

    seconds = paired_rounds({"cohort": lambda: together.take(given.steps), "one by one": one_by_one}, given.rounds)
    print_table(seconds, "one by one")
    ratio = median_ratio(seconds, "cohort", "one by one")
    print(f"cohort / one by one: {ratio:.3f} (at most 0.65): {'reached' if ratio <= 0.65 else 'not reached'}")


if __name__ == "__main__":
    main()
