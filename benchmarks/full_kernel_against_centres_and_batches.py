"""All examples as landmarks (full_kernel) against class centres (KDA) and the batch's own Gram, where classes ≫ batch.

Methods trade accuracy for transfer loss by their weight. Each has here the heaviest of its weights at which accuracy
was no worse than the plain student's, found on seeds 0 to 4, and is compared on others. Losses and accuracy are of
held-out test examples at the embedding; differences are paired over seeds, with Student's 95 % intervals, for accuracy
over seeds and test examples.
Claim: none; prints whether full_kernel's loss is lower, raw and after the best scalar.
Run: python benchmarks/full_kernel_against_centres_and_batches.py [--seeds N] [--epochs E] [--data D]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.distill.comparison import of_accuracies, paired
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train, train_cohort
from kernelscope.measurement.measure import measure

WEIGHTS = {"kda": 0.1, "gram": 4.0, "full_kernel": 8.0}
FIRST = 5  #: seeds below it chose the weights
COLUMNS = ("top-1", "raw", "scaled", "head", "CKA")


def students_of(seeds: int, given: argparse.Namespace) -> tuple[dict[str, np.ndarray], int]:
    """Numbers ``(seeds, columns)`` of every method with its weight and of the plain student; how many test examples."""
    methods = ["ce", *(f"{name}(weight={weight:g})" for name, weight in WEIGHTS.items())]
    found: dict[str, list[tuple[float, ...]]] = {method: [] for method in methods}
    shared = {"epochs": given.epochs, "batch_size": 64, "seed": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.pt"
        teacher = train(Recipe(arch=given.teacher, lr=0.2, **shared), data=given.data).last
        save_checkpoint(path, teacher)
        print(f"teacher {given.teacher}: top-1 {teacher.metrics['top1']:.3f}", flush=True)
        for seed in range(FIRST, FIRST + seeds):
            started = time.perf_counter()
            recipes = [Recipe(arch=given.student, method=method, init_seed=seed, **shared) for method in methods]
            for number, student in enumerate(train_cohort(recipes, data=given.data, teacher=load(path))):
                save_checkpoint(Path(folder) / f"{number}.pt", student.last, overwrite=True)
            files = [Path(folder) / f"{number}.pt" for number in range(len(methods))]
            report = measure(teacher=path, student=files, layers="embedding", cache=False, neighbours=0)
            for method, pair, network in zip(methods, report, report.networks[1:]):
                row = (network.top1, pair.ladder.raw, pair.ladder.scaled, pair.ladder.head, pair.cka)
                found[method].append(tuple(float(value or 0.0) for value in row))
            print(f"seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    return {method: np.array(rows) for method, rows in found.items()}, report.pairs[0].n


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--student", default="resnet8x0.5")
    parser.add_argument("--teacher", default="resnet20x0.5")
    parser.add_argument("--data", default="shapes(size=12,classes=128,n=3200,difficulty=0.5)")
    given = parser.parse_args()
    print(f"{given.student} from {given.teacher}, {given.data}, batch 64, {given.epochs} epochs; "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    found, n = students_of(given.seeds, given)
    print(
        f"{'method':<24}" + "".join(f"{column:>16}" for column in COLUMNS) + f"   (mean ± sd over {given.seeds} seeds)"
    )
    for method, rows in found.items():
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(rows.mean(axis=0), rows.std(axis=0, ddof=1))]
        print(f"{method:<24}" + "".join(f"{cell:>16}" for cell in cells))
    rows = {name: found[f"{name}(weight={weight:g})"] for name, weight in WEIGHTS.items()}
    for column in COLUMNS[:4]:
        place = COLUMNS.index(column)
        for other in ("kda", "gram"):
            both = rows["full_kernel"][:, place], rows[other][:, place]
            d = of_accuracies(*both, n) if column == "top-1" else paired(*both, "seeds")
            assert d.half_width is not None
            verdict = (
                "lower" if d.value < -d.half_width else "higher" if d.value > d.half_width else "no difference seen"
            )
            print(f"{column:<7} full_kernel − {other}: {d.value:+.4f} ± {d.half_width:.4f}: {verdict}")


if __name__ == "__main__":
    main()
