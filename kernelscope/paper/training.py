"""One cohort of a study: trained, saved, measured, and its rows written; the work of one process."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import torch

from kernelscope.checkpoints.loading import load
from kernelscope.datasets.reading import Reading
from kernelscope.datasets.sources import open_data
from kernelscope.datasets.splitting import TRAINING, Splits
from kernelscope.distill.outcome import SomeFailed
from kernelscope.distill.searching import held_out
from kernelscope.distill.training import train_cohort
from kernelscope.errors import Mismatch, NumericalError, UnreadableInput, one_line
from kernelscope.paper.jobs import Job, checkpoint_of, row_of
from kernelscope.paper.numbers import of_students
from kernelscope.paper.rows import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kernelscope.datasets.examples import Examples
    from kernelscope.distill.outcome import Trained
    from kernelscope.paper.scenes import Images

    Progress = Callable[[int], None]  #: called with a job's number after each of its epochs


def train(jobs: Sequence[Job], folder: Path, device: str = "cpu", progress: Progress | None = None) -> None:
    """Train a cohort and leave each job's checkpoint and, when all is measured, its row.

    A student that fails has a row that says so, and no checkpoint. While they train their state lies beside these, and
    a cohort of the same students goes on from it.

    Raises:
        KernelscopeError: for whatever is not one student's alone.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    started, data, teacher = clock(), examples_of(jobs[0].images), jobs[0].teacher
    loaded = None if teacher is None else load(teacher.file, role="teacher")
    state = folder / "students" / f"{jobs[0].key}.state"
    try:
        found = _trained(jobs, progress, data=data, teacher=loaded, device=device, state=state, resume=state.exists())
    except (Mismatch, UnreadableInput):  # of other students, as some have rows by now, or damaged
        if not state.exists():
            raise
        state.unlink()
        found = _trained(jobs, progress, data=data, teacher=loaded, device=device, state=state)
    numbers: dict[str, dict[str, Any]] = {}
    for job, trained in zip(jobs, found):
        if isinstance(trained, str):
            numbers[job.key] = {"failed": trained}
        else:
            trained.save(checkpoint_of(folder, job), overwrite=True)
            numbers[job.key] = _of_training(trained)
    if teacher is not None:
        alive = [job for job in jobs if "failed" not in numbers[job.key]]
        for job, measured in zip(alive, _measured(alive, folder, teacher.file, data[2], device)):
            numbers[job.key] = measured if "failed" in measured else _together(numbers[job.key], measured)
    shared = {"seconds": round((clock() - started) / len(jobs), 3), "threads": torch.get_num_threads()}
    for job in jobs:
        job.row(**shared, **numbers[job.key]).save(row_of(folder, job))
    state.unlink(missing_ok=True)


def _trained(jobs: Sequence[Job], progress: Progress | None, **options: Any) -> list[Trained | str]:
    """Each job's student, or why there is none."""

    def one_more(student: int, *_: object) -> None:
        if progress is not None:
            progress(student)

    try:
        return list(train_cohort([job.recipe for job in jobs], progress=one_more, **options))
    except SomeFailed as error:
        return [student or one_line(error.reasons[number]) for number, student in enumerate(error.students)]
    except NumericalError as error:  # of a job that trains alone
        return [one_line(str(error))]


def _of_training(trained: Trained) -> dict[str, Any]:
    checkpoint = trained.last
    history = checkpoint.training["history"]
    return {
        "top1": checkpoint.metrics["top1_last"],
        "top1_best": checkpoint.metrics["top1_best"],
        "training_ce": history[-1]["loss"]["ce"],
        "validation_top1": [record["validation_top1"] for record in history],
        "trajectory": checkpoint.training["trajectory"] or [],
        "correct": packed(trained.correct),
        "test_images": len(trained.correct),
    }


def _together(trained: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """A row's numbers; the teacher's accuracy from the student's and their difference."""
    difference = measured.pop("accuracy_difference", None)
    n = trained["test_images"]
    teacher = None if difference is None else round(n * (trained["top1"] - difference)) / n
    return {**trained, **measured, "teacher_top1": teacher}


def _measured(jobs: Sequence[Job], folder: Path, teacher: Path, test: Examples, device: str) -> list[dict[str, Any]]:
    """Each student's numbers; of one that cannot be measured the reason, under ``failed``."""
    if not jobs:
        return []
    try:
        files = [checkpoint_of(folder, job) for job in jobs]
        return of_students(teacher, files, test, jobs[0].layers, device)
    except NumericalError as error:
        if len(jobs) == 1:
            return [{"failed": one_line(str(error))}]
        return [found for job in jobs for found in _measured([job], folder, teacher, test, device)]


@functools.lru_cache(maxsize=8)
def _splits(name: str) -> Splits:
    return open_data(name, Reading(), None)


def examples_of(images: Images) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test examples; data sets are kept for the next cohort of this process.

    Raises:
        UnreadableInput, UsageError, Mismatch: as :func:`kernelscope.datasets.sources.load`.
    """
    names = images.training, images.validation, images.test
    training, validation, test = (_splits(name).split(split) for name, split in zip(names, TRAINING))
    if images.held_out:
        training, validation, _ = held_out((training, validation, test))
    return training, validation, test
