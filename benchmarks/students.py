"""Students trained side by side in processes of one thread, and what their kernels hold on held-out images."""

from __future__ import annotations

import multiprocessing
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train, train_cohort
from kernelscope.measurement.measure import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

#: what is measured of every student
METRICS = ("top-1", "raw", "scaled", "head held out", "neighbours")


@dataclass(frozen=True)
class Setting:
    """Data, networks and optimisation; ``test`` images are of the same stream and none of the training's."""

    data: str = "shapes(size=12,classes=48,n=960,difficulty=0.5,seed={seed})"
    data_seed: int = 0
    teacher: str = "resnet20"
    teacher_seed: int = 1000
    teacher_epochs: int = 40
    student: str = "resnet8"
    epochs: int = 16
    batch: int = 32
    test: int = 2000

    @property
    def images(self) -> str:
        return self.data.format(seed=self.data_seed)

    def held_out(self, split: str) -> str:
        """More images than the training's own splits have: of n images a quarter is test, an eighth validation."""
        return self.images.replace("n=960", f"n={self.test * (4 if split == 'test' else 8)}")


@dataclass(frozen=True)
class Run:
    """One cohort: a seed (of weights, order and augmentation) and the methods that share it."""

    setting: Setting
    seed: int
    methods: tuple[str, ...]
    split: str = "test"
    folder: str = field(default="", compare=False)


def teacher_file(setting: Setting, folder: Path) -> Path:
    name = f"teacher-{setting.teacher}-{setting.data_seed}-{setting.teacher_seed}.pt"
    return folder / name


def train_teacher(setting: Setting, folder: Path) -> None:
    path = teacher_file(setting, folder)
    if path.exists():
        return
    recipe = Recipe(arch=setting.teacher, epochs=setting.teacher_epochs, batch_size=32, seed=setting.teacher_seed)
    save_checkpoint(path, train(recipe, data=setting.images).last)


def students(run: Run) -> dict[str, dict[str, float]]:
    """Every method's numbers on held-out images."""
    torch.set_num_threads(1)
    s = run.setting
    path = teacher_file(s, Path(run.folder))
    recipes = [
        Recipe(arch=s.student, method=method, epochs=s.epochs, batch_size=s.batch, seed=run.seed)
        for method in run.methods
    ]
    trained = train_cohort(recipes, data=s.images, teacher=load(path))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.pt" for number in range(len(trained))]
        for file, student in zip(files, trained):
            save_checkpoint(file, student.last)
        report = measure(
            teacher=path,
            student=files,
            data=load_data(s.held_out(run.split), run.split),
            layers="embedding",
            cache=False,
            accuracy_check=False,
        )
    found = {}
    for method, pair, network in zip(run.methods, report, report.networks[1:]):
        values = (network.top1, pair.ladder.raw, pair.ladder.scaled, pair.ladder.head_held_out)
        overlap = None if pair.neighbours is None else pair.neighbours.overlap
        found[method] = dict(zip(METRICS, (float(v) if v is not None else np.nan for v in (*values, overlap))))
    return found


def run_all(runs: Sequence[Run], folder: Path, jobs: int, most: int = 4) -> dict[Run, dict[str, dict[str, float]]]:
    """All runs, in ``jobs`` processes, by their settings and seeds; cohorts larger than ``most`` are split."""
    context = multiprocessing.get_context("spawn")
    pieces = [
        (run, replace(run, methods=run.methods[i : i + most], folder=str(folder)))
        for run in runs
        for i in range(0, len(run.methods), most)
    ]
    found: dict[Run, dict[str, dict[str, float]]] = {run: {} for run in runs}
    with context.Pool(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        settings = list(dict.fromkeys(replace(run.setting, epochs=0, batch=0) for run in runs))
        pool.starmap(train_teacher, [(setting, folder) for setting in settings], chunksize=1)
        results = pool.imap(students, [piece for _, piece in pieces], chunksize=1)
        for number, ((run, _), result) in enumerate(zip(pieces, results), start=1):
            found[run] |= result
            print(f"{number} of {len(pieces)} cohorts", end="\r", flush=True)
    return found


def column(found: dict[Run, dict[str, dict[str, float]]], runs: Sequence[Run], method: str, metric: str) -> np.ndarray:
    """One number per run, in the runs' order."""
    return np.array([found[run][method][metric] for run in runs])
