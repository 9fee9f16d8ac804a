"""Students of every method of the paper on digits, over several seeds: what each inherited, on held-out examples.

Raw, after the best scalar and after the best linear head, at the embedding and at the logits.
Claims: at the embedding KDA's loss is below RKD's and RKD's below the plain student's, and KDA's at most 0.4 times the
plain one's raw and 0.45 times after the best scalar; at the logits KD's and KDA's are at most half of the plain one's
(all raw unless said, means over seeds); the smallest eigenvalue of W_T exceeds 1.
Run: python benchmarks/students_on_digits.py [--seeds N]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.cli.demo_recipes import demo_recipes
from kernelscope.distill.training import train, train_cohort
from kernelscope.measurement.measure import measure

if TYPE_CHECKING:
    from kernelscope.report.report import TransferReport

#: beside the demo's ce, kd and kda, which is at the embedding
OTHERS = {
    "at": "at",
    "rkd": "rkd",
    "kda@logits": "kda@logits(weight=0.2)",
    "combo": "kda(weight=0.2)+kda@logits(weight=0.2)",
}
COLUMNS = ("raw", "scaled", "centred", "head", "CKA", "top-1", "min W_T")
Table = dict[tuple[str, str], np.ndarray]


def run(seed: int, folder: Path) -> tuple[TransferReport, float]:
    """Train a teacher and its students of one seed and measure; the report and the seconds of training."""
    started, recipes = time.perf_counter(), demo_recipes(seed)
    save_checkpoint(folder / "teacher.pt", train(recipes.pop("teacher")).last)
    recipes |= {name: dataclasses.replace(recipes["ce"], method=method) for name, method in OTHERS.items()}
    trained = train_cohort(list(recipes.values()), teacher=load(folder / "teacher.pt"))
    for name, student in zip(recipes, trained):
        save_checkpoint(folder / f"{name}.pt", student.last)
    seconds = time.perf_counter() - started
    students = [folder / f"{name}.pt" for name in recipes]
    return measure(teacher=folder / "teacher.pt", student=students, cache=False), seconds


def collected(seeds: int) -> Table:
    """Rows of numbers, one per seed, by layer and student."""
    table: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            report, seconds = run(seed, Path(folder))
        accuracy = {network.name: network.top1 for network in report.networks}
        print(f"seed {seed}: {seconds:.0f} s of training, teacher top-1 {report.networks[0].top1:.3f}", flush=True)
        for pair in report:
            ladder, spectra = pair.ladder, pair.landmark_spectrum
            assert spectra is not None and ladder.head is not None and ladder.centred is not None
            row = (ladder.raw, ladder.scaled, ladder.centred, ladder.head)
            row += (pair.cka or 0.0, accuracy[pair.student] or 0.0, spectra.teacher.min)
            table.setdefault((pair.student_layer, Path(pair.student).stem), []).append(row)
    return {key: np.array(rows) for key, rows in table.items()}


def claims(table: Table) -> dict[str, bool]:
    """Each claim in words, with its numbers, and whether it is so."""
    mean = {key: rows.mean(axis=0) for key, rows in table.items()}

    def at(layer: str, student: str, column: str) -> float:
        return float(mean[layer, student][COLUMNS.index(column)])

    found = {}
    for column in ("raw", "scaled", "head"):
        kda, rkd, plain = (at("embedding", student, column) for student in ("kda", "rkd", "ce"))
        found[f"embedding, {column}: KDA {kda:.3f} < RKD {rkd:.3f} < plain {plain:.3f}"] = kda < rkd < plain
        kd, kda, plain = (at("logits", student, column) for student in ("kd", "kda@logits", "ce"))
        found[f"logits, {column}: KD {kd:.3f} and KDA {kda:.3f} at most half of plain {plain:.3f}"] = (
            max(kd, kda) <= plain / 2
        )
    for column, most in (("raw", 0.4), ("scaled", 0.45)):
        ratio = at("embedding", "kda", column) / at("embedding", "ce", column)
        found[f"embedding, {column}: KDA / plain {ratio:.3f} at most {most}"] = ratio <= most
    least = min(float(rows[:, -1].min()) for (layer, _), rows in table.items() if layer == "embedding")
    found[f"smallest eigenvalue of W_T at the embedding, least over seeds: {least:.2f} above 1"] = least > 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(f"{torch.get_num_threads()} threads, 450 held-out digits, recipes of cli/demo_recipes.py and {OTHERS}")
    table = collected(seeds)
    print(
        f"{'layer':<11}{'student':<12}"
        + "".join(f"{column:>9}" for column in COLUMNS)
        + f"   (means over {seeds} seeds)"
    )
    for (layer, student), rows in table.items():
        print(f"{layer:<11}{student:<12}" + "".join(f"{value:>9.3f}" for value in rows.mean(axis=0)))
    for words, holds in claims(table).items():
        print(f"{'yes' if holds else 'NO':<4} {words}")


if __name__ == "__main__":
    main()
