"""A user's study: methods by architectures by seeds, each network once, and how the methods differ."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.checkpoints.loading import load
from kernelscope.distill.comparison import Difference, of_predictions, paired
from kernelscope.distill.searching import Choice, alternatives, choose, seeds_of
from kernelscope.errors import NumericalError, one_line
from kernelscope.paper.jobs import Job, Learning, checkpoint_of
from kernelscope.paper.running import done
from kernelscope.paper.training import examples_of
from kernelscope.report.csv_text import csv_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernelscope.paper.rows import Row
    from kernelscope.paper.running import Workers
    from kernelscope.paper.user_plan import UserPlan

SCENE = "study"
Choices = dict[tuple[str, str], Choice]  #: by architecture and method as written, what a search chose


class UserStages:
    """The jobs of a user's plan, stage by stage, for a study in ``folder``."""

    def __init__(self, plan: UserPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        if plan.teacher is not None:
            self.teacher: Job | None = Job(SCENE, "teacher", "ce", "teacher", plan.teacher, plan.images)
            self._learning = Learning(self.teacher.key, checkpoint_of(folder, self.teacher), plan.teacher.arch)
        else:
            loaded = load(str(plan.teacher_file), role="teacher")
            self.teacher = None
            self._learning = Learning(
                loaded.sha256, files.require_readable(str(plan.teacher_file)).absolute(), loaded.arch
            )

    def teachers(self) -> list[Job]:
        """The teacher, if it is to be trained."""
        return [] if self.teacher is None else [self.teacher]

    def searches(self) -> dict[tuple[str, str, str, int], Job]:
        """By architecture, method as written, one of what it stands for, and a seed that no other student has."""
        recipes = [self.plan.recipe(arch, "ce", seed) for arch in self.plan.students for seed in self.plan.seeds]
        images, found = replace(self.plan.images, held_out=True), {}
        for arch in self.plan.students:
            for method in self.plan.methods:
                tried = alternatives(method)
                for one in tried if len(tried) > 1 else ():
                    for seed in seeds_of(recipes):
                        job = self._student(arch, method, one, seed)
                        found[arch, method, one, seed] = replace(job, purpose="search", images=images)
        return found

    def students(self, choices: Choices) -> list[Job]:
        """Of every architecture, method and seed, by what was chosen; else by the first of what a method stands for."""
        return [
            self._student(arch, method, self._chosen(choices, arch, method), seed)
            for arch in self.plan.students
            for method in self.plan.methods
            for seed in self.plan.seeds
        ]

    def expected(self) -> list[Job]:
        """Every job, each once; where a search is not over, with the first of what was tried."""
        searches = self.searches()
        rows = done(list(searches.values()), self.folder)
        over = all(job.key in rows for job in searches.values())
        choices = choices_of(self.plan, {place: rows[job.key] for place, job in searches.items()}) if over else {}
        jobs = [*self.teachers(), *searches.values(), *self.students(choices)]
        return list({job.key: job for job in jobs}.values())

    def _chosen(self, choices: Choices, arch: str, method: str) -> str:
        return choices[arch, method].chosen if (arch, method) in choices else alternatives(method)[0]

    def _student(self, arch: str, system: str, method: str, seed: int) -> Job:
        role = f"S{1 + self.plan.students.index(arch)}"
        recipe = self.plan.recipe(arch, method, seed)
        return Job(SCENE, role, system, "figure", recipe, self.plan.images, self._learning, self.plan.layers)


@dataclass(frozen=True)
class Outcome:
    """What a user's study came to: its rows, and what was chosen."""

    plan: UserPlan
    rows: tuple[Row, ...]
    choices: Choices

    def of(self, arch: str, method: str) -> list[Row]:
        """The students of one method that did not fail, by their seeds."""
        found = [row for row in self.rows if (row.purpose, row.arch, row.system) == ("figure", arch, method)]
        return sorted((row for row in found if row.failed is None), key=lambda row: row.seed)

    def difference(self, arch: str, method: str, field: str) -> Difference | None:
        """A method minus the first on the seeds that both have: ``top1``, or ``LAYER.NUMBER`` of a row's layers."""
        both: list[dict[int, Row]] = [{r.seed: r for r in self.of(arch, m)} for m in (method, self.plan.methods[0])]
        seeds = sorted(set(both[0]) & set(both[1]))
        if not seeds:
            return None
        if field == "top1":
            right = [np.stack([found for seed in seeds if (found := rows[seed].right()) is not None]) for rows in both]
            return of_predictions(*right)
        values = [[number(rows[seed], field) for seed in seeds] for rows in both]
        first, second = ([v for v in of if v is not None] for of in values)
        complete = len(first) == len(second) == len(seeds)
        return paired(first, second, "seeds, on these test images") if complete else None


def number(row: Row, field: str) -> float | None:
    """``top1``, or ``LAYER.NUMBER``."""
    layer, dot, name = field.rpartition(".")
    value = row.layers.get(layer, {}).get(name) if dot else getattr(row, field)
    return None if value is None else float(value)


def run(stages: UserStages, workers: Workers, cost: Callable[[Job], float], say: Callable[[str], None]) -> Outcome:
    """Train what is not trained yet.

    Raises:
        NumericalError: a teacher that fails. Others: as :meth:`kernelscope.paper.running.Workers.train`.
    """
    teachers = workers.train(stages.teachers(), cost)
    for row in teachers:
        if row.failed is not None:
            raise NumericalError(f"the teacher failed ({one_line(row.failed, 100)}); lower its rate")
    searches = stages.searches()
    searched = dict(zip(searches, workers.train(list(searches.values()), cost)))
    choices = choices_of(stages.plan, searched)
    for choice in choices.values():
        say(choice.note)
    students = workers.train(stages.students(choices), cost)
    return Outcome(stages.plan, (*teachers, *searched.values(), *students), choices)


def choices_of(plan: UserPlan, searched: dict[tuple[str, str, str, int], Row]) -> Choices:
    """The best of what each method stands for, by rows of :meth:`UserStages.searches`."""
    scores: dict[tuple[str, str], dict[str, list[float | None]]] = {}
    for (arch, method, one, _), row in searched.items():
        score = row.validation_top1[-1] if row.failed is None else None
        scores.setdefault((arch, method), {}).setdefault(one, []).append(score)
    if not scores:
        return {}
    held_out = examples_of(replace(plan.images, held_out=True))[1].n
    seeds = sorted({seed for *_, seed in searched})
    return {place: choose(place[1], tried, held_out, seeds) for place, tried in scores.items()}


def write(outcome: Outcome, folder: Path) -> None:
    """``results.csv``, a line per network, and ``results.json`` with the rows whole and what was chosen.

    Raises:
        ResourceError: the disk cannot take it.
    """
    files.write_text(folder / "results.csv", csv_text([row.flat() for row in outcome.rows]))
    document: dict[str, Any] = {
        "format": "kernelscope.study",
        "format_version": 1,
        "choices": [
            {"arch": arch, "method": method, **dataclasses.asdict(choice)}
            for (arch, method), choice in outcome.choices.items()
        ],
        "rows": [dataclasses.asdict(row) for row in outcome.rows],
    }
    files.write_text(folder / "results.json", json.dumps(document, allow_nan=False) + "\n")
