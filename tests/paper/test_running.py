"""Cohorts in processes: what is finished stays, a student fails alone, and every process ends with its parent."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kernelscope.checkpoints.checkpoint import load_checkpoint
from kernelscope.errors import Stopped, UnreadableInput
from kernelscope.measurement.measure import measure
from kernelscope.paper.jobs import MOST, checkpoint_of, cohorts, row_of
from kernelscope.paper.running import Workers, done
from kernelscope.paper.training import train
from tests.distill.interrupting import interrupt_after
from tests.paper.plans import few_digits, student_jobs, teacher_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, images):
    """A folder with a teacher, a plain, a KDA and a lost student, of one seed."""
    folder = tmp_path_factory.mktemp("study")
    jobs = student_jobs(images, folder, "ce", "kda(weight=0.1)", "kd(weight=1e30)")
    train([teacher_job(images)], folder)
    train(jobs, folder)
    return folder, jobs, done(jobs, folder)


def test_a_row_says_what_measuring_its_checkpoint_says(trained, images):
    folder, jobs, rows = trained
    row, file, teacher = rows[jobs[1].key], checkpoint_of(folder, jobs[1]), checkpoint_of(folder, teacher_job(images))
    report = measure(teacher=teacher, student=file, cache=False, layers="embedding")
    numbers = row.layers["embedding"]
    assert numbers["raw"] == report.ladder.raw and numbers["head_held_out"] == report.ladder.head_held_out
    assert numbers["neighbours"] == report.neighbours.overlap and numbers["n"] == report.n == row.test_images
    assert numbers["bounds"]["corollary1"]["holds"] and numbers["claims"]["lemma1"]["corrected"]["holds"]
    assert row.right().mean() == pytest.approx(row.top1) == load_checkpoint(file).metrics["top1"]
    assert row.teacher_top1 == load_checkpoint(teacher).metrics["top1"]
    assert len(row.validation_top1) == len(row.trajectory) == 3
    assert 0 <= row.flips <= 1 - row.agreement + 1e-12


def test_a_student_that_is_lost_is_named_and_the_others_go_on(trained):
    folder, jobs, rows = trained
    lost = rows[jobs[2].key]
    assert "nan" in lost.failed and lost.top1 is None and not checkpoint_of(folder, jobs[2]).exists()
    assert all(rows[job.key].failed is None for job in jobs[:2])


def test_a_damaged_row_is_told_before_anything_trains(trained, images):
    folder, *_ = trained
    job = student_jobs(images, folder, "ce", seeds=(9,))[0]
    row_of(folder, job).write_text("{")
    with pytest.raises(UnreadableInput, match="remove it"), Workers(folder, 1) as workers:
        workers.train([job])
    row_of(folder, job).unlink()


def test_a_row_without_its_checkpoint_is_not_finished(trained, tmp_path):
    _folder, jobs, rows = trained
    (tmp_path / "students").mkdir()
    for job in jobs:
        row_of(tmp_path, job).write_text(rows[job.key].to_json())
    assert set(done(jobs, tmp_path)) == {jobs[2].key}, "but for one that failed, which has none"


def test_whatever_decides_a_network_is_in_its_key(tmp_path, images):
    keys = [
        job.key
        for changes in ({}, {"epochs": 2}, {"batch_size": 128}, {"arch": "resnet8"}, {"lr": 0.2})
        for job in student_jobs(images, tmp_path, "ce", "kd", seeds=(0, 1), **changes)
    ]
    held_out = [replace(job, images=replace(images, held_out=True)).key for job in student_jobs(images, tmp_path, "ce")]
    assert len({*keys, *held_out}) == 21
    assert [job.key for job in student_jobs(images, tmp_path / "elsewhere", "ce")] == keys[:1]


def test_a_cohort_shares_a_seed_and_is_not_too_large(tmp_path, images):
    methods = [f"kda(weight={w})" for w in range(1, 9)]
    found = list(cohorts(student_jobs(images, tmp_path, *methods, *methods[:3], seeds=(0, 1))))
    assert sorted(map(len, found)) == [4, 4, 4, 4] and MOST >= 4
    assert all(len({job.recipe.seed for job in cohort}) == 1 for cohort in found)


def numbers(folder, jobs):
    """Every row but for what it took."""
    return [{**vars(row), "seconds": None} for row in done(jobs, folder).values()]


def test_a_cohort_that_was_stopped_goes_on_where_it_stood(tmp_path, images, monkeypatch):
    jobs = student_jobs(images, tmp_path, "ce", "kda(weight=0.1)")
    train([teacher_job(images)], tmp_path)
    with monkeypatch.context() as during, pytest.raises(Stopped):
        interrupt_after(during, 40)  # of 2 x 3 x 9 steps
        train(jobs, tmp_path)
    assert not done(jobs, tmp_path) and list((tmp_path / "students").glob("*.state"))
    epochs = []
    train(jobs, tmp_path, progress=epochs.append)
    assert sorted(epochs) == [0, 1]
    resumed = numbers(tmp_path, jobs)
    for job in jobs:
        row_of(tmp_path, job).unlink()
    train(jobs, tmp_path)
    assert numbers(tmp_path, jobs) == resumed
    assert not list((tmp_path / "students").glob("*.state"))


def test_a_state_of_other_students_or_a_damaged_one_is_no_hindrance(tmp_path, images, monkeypatch):
    jobs = student_jobs(images, tmp_path, "ce", "kda(weight=0.1)")
    train([teacher_job(images)], tmp_path)
    with monkeypatch.context() as during, pytest.raises(Stopped):
        interrupt_after(during, 40)
        train(jobs, tmp_path)
    train(jobs[:1], tmp_path)
    (tmp_path / "students" / f"{jobs[1].key}.state").write_bytes(b"no state")
    train(jobs[1:], tmp_path)
    assert set(done(jobs, tmp_path)) == {job.key for job in jobs}


def killed_and_run_again(folder, seed, kills):
    command = [sys.executable, "-m", "tests.paper.kill_loop", str(folder), str(seed), str(kills)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=580, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_a_study_killed_twice_ends_with_the_same_numbers(tmp_path):
    told = killed_and_run_again(tmp_path, seed=0, kills=2)
    assert told["equal"] == told["untouched"] == 2 and told["killed"] >= 1 and told["kept"] >= 2


@pytest.mark.long
def test_a_study_killed_ten_times_ends_with_the_same_numbers(tmp_path):
    told = killed_and_run_again(tmp_path, seed=1, kills=10)
    assert told["equal"] == told["untouched"] == 10 and told["killed"] >= 5 and told["kept"] >= 10
