"""A study killed at random moments: ``python -m tests.paper.kill_loop FOLDER SEED KILLS`` prints what came of it.

Each run is forked from this process, which has run once, so that all is imported; it is killed, and run again.
"""

import json
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from kernelscope.paper.jobs import checkpoint_of, cohorts, row_of
from kernelscope.paper.rows import read
from kernelscope.paper.running import done
from kernelscope.paper.training import train
from tests.features.kill_loop import forked
from tests.paper.plans import few_digits, student_jobs, teacher_job


def jobs_in(folder: Path) -> list:
    """A teacher, and two recipes of two seeds that learn from it."""
    return [teacher_job(IMAGES), *student_jobs(IMAGES, folder, "ce", "kda(weight=0.1)", seeds=(0, 1))]


def run(folder: Path) -> None:
    jobs = jobs_in(folder)
    there = done(jobs, folder)
    for cohort in cohorts(job for job in jobs if job.key not in there):
        train(cohort, folder)


def numbers(folder: Path) -> list[dict]:
    """Every row but for what it took."""
    rows = [vars(read(row_of(folder, job))) for job in jobs_in(folder)]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def finished(folder: Path) -> dict[str, int]:
    """When each file of a finished job was written."""
    jobs = [job for job in jobs_in(folder) if row_of(folder, job).exists()]
    files = [path for job in jobs for path in (row_of(folder, job), checkpoint_of(folder, job))]
    return {path.name: path.stat().st_mtime_ns for path in files}


def main(here: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    run(here / "whole")
    whole, started = numbers(here / "whole"), time.perf_counter()
    assert forked(lambda: run(here / "again")) == 0 and numbers(here / "again") == whole
    took = time.perf_counter() - started
    told = {"killed": 0, "kept": 0, "equal": 0, "untouched": 0}
    for number in range(kills):
        folder = here / str(number)
        if number:  # with the teacher and one seed's students, as after an earlier kill
            shutil.copytree(here / "whole", folder)
            for job in jobs_in(folder)[1 + number % 4 :]:
                row_of(folder, job).unlink()
        told["killed"] += forked(lambda f=folder: run(f), seconds=rng.uniform(0.05, took)) == -signal.SIGKILL
        before = finished(folder)
        told["kept"] += len(before)
        assert forked(lambda f=folder: run(f)) == 0
        after = finished(folder)
        told["untouched"] += all(after[name] == when for name, when in before.items())
        told["equal"] += numbers(folder) == whole
    print(json.dumps(told))


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Path(sys.argv[1])
    IMAGES = few_digits(here)
    main(here, int(sys.argv[2]), int(sys.argv[3]))
