"""The demo's students over several seeds: what each inherited, raw and after the best scalar, on held-out digits.

Claims: KDA's loss at the embedding is at most 0.4 times the plain student's raw and 0.45 times after the best scalar
(means over seeds), and the smallest eigenvalue of W_T exceeds 1.
Run: python benchmarks/students_on_digits.py [--seeds N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kernelscope.distill.presets import demo_recipes
from kernelscope.distill.training import train
from kernelscope.networks.checkpoint import save_checkpoint
from kernelscope.networks.sources import load
from kernelscope.report.measurement import measure
from kernelscope.report.transfer import TransferReport


def run(seed: int, folder: Path) -> tuple[TransferReport, float]:
    """Train the four networks of one seed and measure; the report and the seconds of training."""
    started, teacher = time.perf_counter(), None
    for name, recipe in demo_recipes(seed).items():
        save_checkpoint(folder / f"{name}.pt", train(recipe, teacher=teacher).last)
        teacher = teacher or load(folder / "teacher.pt")
    seconds = time.perf_counter() - started
    students = [folder / f"{name}.pt" for name in demo_recipes(seed) if name != "teacher"]
    return measure(teacher=folder / "teacher.pt", student=students, cache=False), seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    columns = ("raw", "scaled", "centred", "head", "CKA", "top-1", "min W_T")
    table: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    print(f"{torch.get_num_threads()} threads, 450 held-out digits, recipes of kernelscope/distill/presets.py")
    for seed in seeds:
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
    print(f"{'layer':<11}{'student':<9}" + "".join(f"{column:>9}" for column in columns) + "   (means over seeds)")
    for (layer, student), rows in sorted(table.items()):
        print(f"{layer:<11}{student:<9}" + "".join(f"{value:>9.3f}" for value in np.mean(rows, axis=0)))
    plain, kda = (np.mean(table["embedding", name], axis=0) for name in ("ce", "kda"))
    print(f"KDA / plain at the embedding: raw {kda[0] / plain[0]:.3f} (claimed at most 0.4), "
          f"after the best scalar {kda[1] / plain[1]:.3f} (claimed at most 0.45)")  # fmt: skip
    least = min(row[6] for row in table["embedding", "kda"])
    print(f"smallest eigenvalue of W_T at the embedding, least over seeds: {least:.2f} (claimed above 1)")


if __name__ == "__main__":
    main()
