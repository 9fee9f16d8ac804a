"""A tiny plan of two recipes, searched and trained in two processes; and what every stage asks for."""

import json
import os
import signal
from dataclasses import replace

import pytest

from kernelscope.errors import ResourceError, UsageError
from kernelscope.paper.folder import require_free
from kernelscope.paper.jobs import cohorts
from kernelscope.paper.plan import Cell, Plan, plan
from kernelscope.paper.reproduction import Stages, expected, reproduce
from kernelscope.paper.running import Workers, done
from kernelscope.paper.scenes import Scene
from kernelscope.paper.systems import SYSTEMS
from tests.paper.plans import few_digits


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    images = few_digits(tmp_path_factory.mktemp("data"))
    scene = Scene("first", "few digits", images, None, "mlp", teacher_epochs=8, students={"S1": "mlpx0.25"}, epochs=2)
    return Plan(("fig7",), "minutes", (scene,), (0, 1), (Cell("first", "S1", "ce"), Cell("first", "S1", "kda")))


def test_a_tiny_plan_is_searched_and_trained_in_two_processes(tiny, tmp_path):
    said, epochs = [], []
    with Workers(tmp_path, 2, progress=epochs.append) as workers:
        study = reproduce(tiny, workers, lambda job: 1.0, said.append)
        running = workers.processes
        first = {path: path.stat().st_mtime_ns for path in (tmp_path / "students").iterdir()}
        count = len(epochs)
        again = reproduce(tiny, workers, lambda job: 1.0, said.append)
        assert again.rows == study.rows and len(epochs) == count, "nothing was trained twice"
        workers.progress = lambda job: os.kill(running[0], signal.SIGKILL)
        with pytest.raises(ResourceError, match=r"signal 9.*resume") as told:
            workers.train([long_job(tiny, tmp_path)])
    assert len(str(told.value)) <= 200
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())
    for number in running:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert [(row.system, row.seed) for row in study.rows if row.purpose == "figure"] == [
        ("ce", 0), ("ce", 1), ("kda", 0), ("kda", 1)
    ]  # fmt: skip
    require_chosen_by_held_out_images(study, tmp_path)
    assert study.teacher("first").top1 == study.of("first", "S1", "kda")[0].teacher_top1 > 0.5
    assert count == 8 + 2 * (len(SYSTEMS["kda"].tried) + 4) and {row.threads for row in study.rows} == {1}


def long_job(tiny, folder):
    stages = Stages(tiny, folder)
    job = stages.students(stages.options_before_a_search())[0]
    return replace(job, recipe=replace(job.recipe, epochs=500))


def require_chosen_by_held_out_images(study, folder):
    weights = json.loads((folder / "weights.json").read_text())["first"]
    tried = weights["kda"]["tried"]
    assert list(weights) == ["kda"] and tuple(tried) == SYSTEMS["kda"].tried
    assert tried[weights["kda"]["chosen"]] == max(tried.values())
    searched = [row for row in study.rows if row.purpose == "search"]
    assert {row.validation_top1[-1] for row in searched} == set(tried.values()) and {r.seed for r in searched} == {100}
    chosen = f"kda({weights['kda']['chosen']})"
    assert {row.method for row in study.of("first", "S1", "kda")} == {chosen}


def test_no_network_of_the_whole_plan_is_trained_twice(tmp_path):
    whole = plan()
    jobs = expected(whole, tmp_path)
    assert len({job.key for job in jobs}) == len(jobs)
    figures = [job for job in jobs if job.purpose == "figure"]
    made = [(job.scene, job.recipe.arch, job.recipe.method, job.recipe.seed) for job in figures]
    assert len(set(made)) == len(made) == 3 * len(whole.cells)
    assert sum(len(cohort) for cohort in cohorts(jobs)) == len(jobs) > 250
    assert done(jobs, tmp_path) == {}


def test_a_search_holds_images_out_and_shares_no_seed_with_a_figure(tmp_path):
    stages = Stages(plan(), tmp_path)
    searches, students = stages.searches(), stages.students(stages.options_before_a_search())
    assert all(job.images.held_out and job.role == "S1" for job in searches.values())
    assert not any(job.images.held_out for job in [*students, *stages.teachers()])
    assert {job.recipe.seed for job in searches.values()}.isdisjoint({job.recipe.seed for job in students})
    assert {key for scene, key, _ in searches if scene == "first"} >= {"kda", "kd", "at", "rkd", "kda_whitened"}


def test_students_of_one_scene_take_the_weight_that_was_found_for_it(tmp_path):
    stages = Stages(plan(["table2"]), tmp_path)
    options = stages.options_before_a_search()
    options["first"]["kda"] = "weight=0.7"
    made = {job.recipe.method for job in stages.students(options) if "weight=0.7" in job.recipe.method}
    assert made == {"kda(weight=0.7)", "kda@embedding(weight=0.7)+kda@logits(weight=0.1)"}


def test_the_papers_size_takes_the_authors_weights_and_searches_nothing(tmp_path):
    stages = Stages(plan(["table2"], "paper"), tmp_path)
    assert stages.searches() == {}
    jobs = stages.students(stages.options_before_a_search())
    assert {"kd(T=4,weight=9)", "at(weight=1000)", "rkd(distance=25,angle=50)", "kda(weight=0.04)"} <= {
        job.recipe.method for job in jobs
    }
    assert {(job.recipe.epochs, job.recipe.batch_size, job.recipe.pad) for job in jobs} == {(120, 256, 4)}
    assert {job.recipe.arch for job in jobs} == {"resnet18", "resnet18x0.5", "shufflenetv2"}


def test_a_study_is_used_or_replaced_and_not_both(tmp_path):
    with pytest.raises(UsageError, match="pass one of them"):
        require_free(tmp_path, resume=True, overwrite=True)
    require_free(tmp_path, resume=True, overwrite=False)
