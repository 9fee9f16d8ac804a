"""Plan: from figures to the cells that they show, and the union of these: every network once."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError, one_line
from kernelscope.paper.scenes import Scene, scenes
from kernelscope.paper.systems import OURS, TABLE2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernelscope.paper.rows import Row


@dataclass(frozen=True)
class Cell:
    """One system of one student of a scene, over all seeds; figures and tables are made of cells."""

    scene: str
    role: str
    system: str


def _cells(scene: str, role: str, *systems: str) -> tuple[Cell, ...]:
    return tuple(Cell(scene, role, key) for key in systems)


def _table(scene: str) -> tuple[Cell, ...]:
    narrow = (cell for role in ("S2", "S3") for cell in _cells(scene, role, *TABLE2, "running", "full_kernel"))
    return (*_cells(scene, "S1", *TABLE2, *OURS), *narrow)


FIGURES: dict[str, tuple[Cell, ...]] = {
    "fig2": _cells("first", "S1", "ce", "kda_random", "kda", "running"),
    "fig3a": _cells("first", "S1", "ce", "rkd", "kda", "running", "full_kernel"),
    "fig3b": _cells("first", "S1", "ce", "kd", "kda_logits"),
    "fig4": _cells("first", "S1", "kda", "running"),
    "fig5": _cells("first", "S1", "kda", "running"),
    "fig6": _cells("first", "S1", "ce", "kda", "kda_whitened", "running"),
    "fig7": _cells("first", "S1", "ce", "kda", "kda_two", "running"),
    "table1": _cells("first", "S1", "ce", "kda_conv3", "kda_conv4", "kda", "kda_logits", "running"),
    "table2": _table("first"),
    "table3": _table("second"),
    "digits": _cells("digits", "S1", *TABLE2, *OURS),
}
GROUPS = {"fig3": ("fig3a", "fig3b"), "all": tuple(FIGURES)}
SEEDS = {"minutes": (0, 1, 2), "hour": (0, 1, 2, 3, 4), "paper": (0, 1, 2)}


@dataclass(frozen=True)
class Plan:
    """What is to be trained: figures, the scenes that they need, seeds.

    Attributes:
        cells: of all figures, each once.
    """

    figures: tuple[str, ...]
    size: str
    scenes: tuple[Scene, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...] = ()

    def scene(self, key: str) -> Scene:
        """One of the plan's scenes by its key."""
        return next(scene for scene in self.scenes if scene.key == key)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for a reader."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Study:
    """A plan and what its networks came to; every figure, verdict and page is made of it alone.

    Attributes:
        weights: by scene and searched system ``{"tried": {OPTIONS: accuracy on held-out images}, "chosen": OPTIONS}``;
            accuracy is None of a student that failed.
    """

    plan: Plan
    rows: tuple[Row, ...]
    weights: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def of(self, scene: str, role: str, system: str) -> tuple[Row, ...]:
        """A cell's students by their seeds, those that failed among them."""
        cell, found = (scene, role, system), [row for row in self.rows if row.purpose == "figure"]
        return tuple(sorted((r for r in found if (r.scene, r.role, r.system) == cell), key=lambda row: row.seed))

    def teacher(self, scene: str) -> Row | None:
        """The teacher of a scene."""
        return next((row for row in self.rows if row.scene == scene and row.purpose == "teacher"), None)


def plan(
    figures: Sequence[str] = (), size: str = "minutes", data: Sequence[str] = (), seeds: Sequence[int] | None = None
) -> Plan:
    """The plan of some figures, ``all`` if none is named.

    Raises:
        UsageError: an unknown figure, with the nearest; one whose scene needs a second data set; a seed twice.
    """
    chosen = _figures(figures or ("all",))
    there = {scene.key: scene for scene in scenes(size, tuple(data))}
    shown = tuple(figure for figure in chosen if all(cell.scene in there for cell in FIGURES[figure]))
    if left := [figure for figure in figures if figure in FIGURES and figure not in shown]:
        raise UsageError(f"{left[0]} needs another data set than {one_line(', '.join(data), 60)}; give --data twice")
    numbers = SEEDS[size] if seeds is None else tuple(seeds)
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds {','.join(map(str, numbers))} names a seed twice; name each once")
    cells = tuple(dict.fromkeys(c for figure in shown for c in FIGURES[figure] if c.role in there[c.scene].students))
    needed = tuple(scene for key, scene in there.items() if any(cell.scene == key for cell in cells))
    return Plan(shown, size, needed, numbers, cells)


def _figures(names: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        if name not in FIGURES and name not in GROUPS:
            known = [*FIGURES, *GROUPS]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(known)}"
            raise UsageError(f"unknown figure {one_line(name, 40)!r}; {hint}")
        found |= dict.fromkeys(GROUPS.get(name, (name,)))
    return tuple(figure for figure in FIGURES if figure in found)
