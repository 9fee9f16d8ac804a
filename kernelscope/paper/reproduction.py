"""The paper's networks of a plan: teachers, then the search for weights, then the students of the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernelscope.distill.recipe import recipe
from kernelscope.errors import NumericalError, one_line
from kernelscope.paper import searching
from kernelscope.paper.jobs import Job, Learning, checkpoint_of
from kernelscope.paper.plan import Plan, Study
from kernelscope.paper.running import done
from kernelscope.paper.scenes import SEARCH_SEED
from kernelscope.paper.systems import AUTHORS, SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernelscope.distill.recipe import Recipe
    from kernelscope.paper.rows import Row
    from kernelscope.paper.running import Workers
    from kernelscope.paper.scenes import Scene

SEARCHED_ROLE = "S1"  #: the student whose weights all students of a scene take


@dataclass(frozen=True)
class Stages:
    """The jobs of a plan, stage by stage, for a study in ``folder``; a stage takes what those before it found."""

    plan: Plan
    folder: Path

    def teachers(self) -> list[Job]:
        """One per scene."""
        return [self._teacher(scene) for scene in self.plan.scenes]

    def searches(self) -> dict[tuple[str, str, str], Job]:
        """By scene, searched system and options."""
        found = {}
        for scene in self.plan.scenes:
            for key in searching.needed(self._systems(scene)) if scene.search else ():
                for options in SYSTEMS[key].tried:
                    method = SYSTEMS[key].method({key: options}, scene.layers)
                    job = self._student(scene, SEARCHED_ROLE, key, method, SEARCH_SEED)
                    images = replace(scene.images, held_out=True)
                    found[scene.key, key, options] = replace(job, purpose="search", images=images)
        return found

    def students(self, options: dict[str, dict[str, str]]) -> list[Job]:
        """Of every cell and seed; ``options`` by scene and searched system."""
        found = []
        for cell in self.plan.cells:
            scene = self.plan.scene(cell.scene)
            method = SYSTEMS[cell.system].method(options[cell.scene], scene.layers)
            found += [self._student(scene, cell.role, cell.system, method, seed) for seed in self.plan.seeds]
        return found

    def options_before_a_search(self) -> dict[str, dict[str, str]]:
        """By scene, of each system some of the options that may be chosen; of no search those that are."""
        return {
            scene.key: {key: SYSTEMS[key].tried[0] if scene.search else AUTHORS[key] for key in AUTHORS}
            for scene in self.plan.scenes
        }

    def _systems(self, scene: Scene) -> list[str]:
        return [cell.system for cell in self.plan.cells if cell.scene == scene.key]

    def _teacher(self, scene: Scene) -> Job:
        made = _recipe(scene, scene.teacher, "ce", scene.teacher_seed, scene.teacher_epochs)
        return Job(scene.key, "teacher", "ce", "teacher", made, scene.images)

    def _student(self, scene: Scene, role: str, system: str, method: str, seed: int) -> Job:
        teacher = self._teacher(scene)
        learning = Learning(teacher.key, checkpoint_of(self.folder, teacher), scene.teacher)
        made = _recipe(scene, scene.students[role], method, seed, scene.epochs)
        return Job(scene.key, role, system, "figure", made, scene.images, learning)


def _recipe(scene: Scene, arch: str, method: str, seed: int, epochs: int) -> Recipe:
    return recipe(scene.preset, arch=arch, method=method, seed=seed, epochs=epochs, batch_size=scene.batch_size)


def reproduce(plan: Plan, workers: Workers, cost: Callable[[Job], float], say: Callable[[str], None]) -> Study:
    """Train what of a plan is not trained yet, and write ``weights.json``.

    Args:
        cost: of a job, in any unit: the dearest are begun first.
        say: called with a line where something was found that the rest rests on.

    Raises:
        NumericalError: a teacher that fails, or all students of a search. Others: as :meth:`Workers.train`.
    """
    stages = Stages(plan, workers.folder)
    teachers = workers.train(stages.teachers(), cost)
    for row in teachers:
        if row.failed is not None:
            raise NumericalError(f"the teacher of {row.scene} failed ({one_line(row.failed, 90)}); lower its rate")
        say(f"{row.scene}: teacher {row.arch}, top-1 {100 * (row.top1 or 0):.1f} %")
    searches = stages.searches()
    searched = workers.train(list(searches.values()), cost)
    found = _found(plan, dict(zip(searches, searched)))
    searching.write(found, workers.folder)
    options = {scene: searching.options_of(of) for scene, of in found.items()}
    for scene in (scene for scene in plan.scenes if scene.search):
        say(f"{scene.key}: {', '.join(f'{key} {value}' for key, value in options[scene.key].items())}")
    students = workers.train(stages.students(options), cost)
    return Study(plan, (*teachers, *searched, *students), found)


def expected(plan: Plan, folder: Path) -> list[Job]:
    """Every job of a plan, each once; where weights are not chosen yet, with some of those that are tried."""
    stages = Stages(plan, folder)
    searches = stages.searches()
    rows = done(list(searches.values()), folder)
    options = stages.options_before_a_search()
    if len(rows) == len({job.key for job in searches.values()}):
        found = _found(plan, {place: rows[job.key] for place, job in searches.items()})
        options = {scene: searching.options_of(of) for scene, of in found.items()}
    jobs = [*stages.teachers(), *searches.values(), *stages.students(options)]
    return list({job.key: job for job in jobs}.values())


def _found(plan: Plan, rows: dict[tuple[str, str, str], Row]) -> dict[str, searching.Found]:
    found = {}
    for scene in plan.scenes:
        students: dict[str, dict[str, Row]] = {}
        for (key, system, options), row in rows.items():
            if key == scene.key:
                students.setdefault(system, {})[options] = row
        found[scene.key] = searching.chosen(students) if scene.search else searching.given(AUTHORS)
    return found
