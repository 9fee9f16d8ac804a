"""Jobs: the networks that a study trains, each under a key of all that decides it, and the cohorts they train in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kernelscope.distill.recipe import SHARED, Recipe
from kernelscope.paper.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from kernelscope.paper.scenes import Images

MOST = 6  #: students of a cohort: few enough that little is lost with one, enough that the teacher costs little


@dataclass(frozen=True)
class Learning:
    """The teacher of a job: the key of all that decides its weights, its checkpoint, and what it is."""

    key: str
    file: Path
    arch: str


@dataclass(frozen=True)
class Job:
    """One network to train; fields as in :class:`kernelscope.paper.rows.Row`.

    ``layers``: what is measured of it beside its teacher.
    """

    scene: str
    role: str
    system: str
    purpose: str
    recipe: Recipe
    images: Images
    teacher: Learning | None = None
    layers: str = "embedding,logits"

    @cached_property
    def key(self) -> str:
        """Equal for two jobs only if they train the same network."""
        decisive = {
            "recipe": self.recipe.decisive(),
            "images": dataclasses.asdict(self.images),
            "teacher": None if self.teacher is None else self.teacher.key,
            "layers": self.layers,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]

    def row(self, **numbers: object) -> Row:
        """A row of it with these numbers."""
        return Row(
            key=self.key,
            scene=self.scene,
            role=self.role,
            arch=self.recipe.arch,
            system=self.system,
            method=self.recipe.method,
            seed=self.recipe.weights_seed,
            epochs=self.recipe.epochs,
            purpose=self.purpose,
            **numbers,  # type: ignore[arg-type]
        )


def checkpoint_of(folder: Path, job: Job) -> Path:
    """Where a job's weights lie in a study's folder."""
    return folder / "students" / f"{job.key}.pt"


def row_of(folder: Path, job: Job) -> Path:
    """Where its row lies; a job is done when it is there."""
    return folder / "students" / f"{job.key}.json"


def cohorts(jobs: Iterable[Job]) -> Iterator[tuple[Job, ...]]:
    """Jobs that may train side by side, at most :data:`MOST` together; each job once, whatever it is in twice."""
    groups: dict[object, dict[str, Job]] = {}
    for job in jobs:
        shared = tuple(getattr(job.recipe, name) for name in SHARED)
        groups.setdefault((job.images, job.teacher, job.recipe.arch, job.layers, shared), {}).setdefault(job.key, job)
    for group in groups.values():
        together = list(group.values())
        count = -(-len(together) // MOST)
        yield from (tuple(together[i::count]) for i in range(count))
