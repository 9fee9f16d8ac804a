"""The paper's bounds on every student and every epoch of a study, and whether its estimate follows the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.nystrom.bounds import TABLE, TOLERANCE
from kernelscope.paper.cells import EMBEDDING, LOGITS, correlation, points, tracking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kernelscope.kernels.nystrom.bounds import BoundRule
    from kernelscope.paper.rows import Row

LAYERS = (EMBEDDING, LOGITS)
#: bounds in the order of the paper's statements, each as printed before it is as corrected
SHOWN = (
    "corollary1_paper", "corollary1", "corollary2_paper", "corollary2", "theorem2", "theorem2_frobenius",
    "theorem2_quadratic", "class_centres_lower", "class_centres_upper",
)  # fmt: skip
_RULES = {rule.name: rule for rule in TABLE}


@dataclass(frozen=True)
class Point:
    """One bound on one student at one layer, on its validation images after ``epoch`` or on its test images (None).

    ``slack``: the larger side over the smaller, None where one is 0; ``assumed``: whether the smallest eigenvalues of
    both W exceed 1.
    """

    row: Row
    layer: str
    epoch: int | None
    bound: str
    value: float
    truth: float
    slack: float | None
    holds: bool
    vacuous: bool
    assumed: bool


@dataclass(frozen=True)
class Summary:
    """One bound over all points: of how many it holds and says nothing, its slack, and where its assumption holds."""

    bound: str
    title: str
    printed: bool
    points: int
    holds: int
    vacuous: int
    slack: tuple[float, float, float] | None
    assumed: int


@dataclass(frozen=True)
class Lemma:
    """Lemma 1 on sampled pairs of test images: on how many kernels no pair breaks it, as printed and with own norms.

    ``tightest``: the largest left side over right side, as printed and with own norms.
    """

    kernels: int
    holds: tuple[int, int]
    tightest: tuple[float, float]


@dataclass(frozen=True)
class Tracking:
    """Whether the estimate ‖C_S − C_T‖ / ‖K_T‖ follows the loss, in one scene at one layer.

    Attributes:
        pearson, spearman: over the epochs of each student, (least, median).
        across: Spearman across students after the last epoch, on the test images.
        level: median of estimate / loss there; ``expected``: 1 / √(n / landmarks).
        expanded: the same of the estimate in the loss's own units, (least, largest).
    """

    scene: str
    layer: str
    students: int
    pearson: tuple[float, float] | None
    spearman: tuple[float, float] | None
    across: float | None
    level: float
    expected: float
    expanded: tuple[float, float] | None


def of_points(rows: Iterable[Row]) -> list[Point]:
    """Every bound that the rows hold, of students that did not fail."""
    return [point for row in _students(rows) for point in (*_over_epochs(row), *_at_the_end(row))]


def summaries(found: Sequence[Point]) -> list[Summary]:
    """Those of :data:`SHOWN` that there are."""
    made = []
    for name in SHOWN:
        of = [point for point in found if point.bound == name]
        if not of:
            continue
        slack = [point.slack for point in of if point.slack is not None]
        made.append(
            Summary(
                bound=name,
                title=_RULES[name].title,
                printed=_RULES[name].printed,
                points=len(of),
                holds=sum(point.holds for point in of),
                vacuous=sum(point.vacuous for point in of),
                slack=(min(slack), float(np.median(slack)), max(slack)) if slack else None,
                assumed=sum(point.assumed for point in of),
            )
        )
    return made


def broken(found: Sequence[Point], rows: Iterable[Row]) -> list[str]:
    """Proved statements that do not hold, each with its student: a bug of this program."""
    told = [
        f"{_RULES[point.bound].title} of {point.row.key} {point.layer}"
        + ("" if point.epoch is None else f" in epoch {point.epoch}")
        for point in found
        if _RULES[point.bound].proved and not point.holds
    ]
    audited = (
        f"{claim['about']}, of {row.key} {layer}"
        for row, layer, claims in _audited(rows)
        for claim in claims.values()
        if claim["corrected"] is not None and not claim["corrected"]["holds"]
    )
    return [*told, *audited]


def lemma(rows: Iterable[Row]) -> Lemma | None:
    """Lemma 1 over all students and layers; None where no row has it."""
    said = [claims["lemma1"] for _, _, claims in _audited(rows) if "lemma1" in claims]
    if not said:
        return None
    printed, corrected = ([claim[side] for claim in said] for side in ("printed", "corrected"))
    return Lemma(
        kernels=len(said),
        holds=(sum(s["holds"] for s in printed), sum(s["holds"] for s in corrected)),
        tightest=(max(s["left"] for s in printed), max(s["left"] for s in corrected)),
    )


def trackings(rows: Sequence[Row]) -> list[Tracking]:
    """A line for each scene and layer, in the order of the rows."""
    students = list(_students(rows))
    places = dict.fromkeys((row.scene, layer) for row in students for layer in LAYERS if layer in row.layers)
    of = {(s, layer): [row for row in students if row.scene == s and layer in row.layers] for s, layer in places}
    return [made for (scene, layer), those in of.items() if (made := _tracking(scene, layer, those)) is not None]


def _tracking(scene: str, layer: str, students: list[Row]) -> Tracking | None:
    """None where no student has an estimate beside a loss above 0."""
    ends = [row.layers[layer] for row in students]
    ends = [end for end in ends if end["raw"] > 0 and None not in (end["estimate"], end["landmarks"])]
    if not ends:
        return None
    loss, estimate = ([float(end[key]) for end in ends] for key in ("raw", "estimate"))
    expanded = [end["expanded_estimate"] / end["raw"] for end in ends if end["expanded_estimate"] is not None]
    return Tracking(
        scene=scene,
        layer=layer,
        students=len(students),
        pearson=_least_and_median(tracking(row, layer) for row in students),
        spearman=_least_and_median(tracking(row, layer, "spearman") for row in students),
        across=correlation(estimate, loss, "spearman") if len(ends) > 2 else None,
        level=float(np.median(np.divide(estimate, loss))),
        expected=math.sqrt(ends[0]["landmarks"] / ends[0]["n"]),
        expanded=(min(expanded), max(expanded)) if expanded else None,
    )


def _least_and_median(values: Iterable[float | None]) -> tuple[float, float] | None:
    kept = [value for value in values if value is not None]
    return (min(kept), float(np.median(kept))) if kept else None


def _students(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if row.failed is None and row.purpose != "teacher")


def _audited(rows: Iterable[Row]) -> Iterator[tuple[Row, str, dict[str, Any]]]:
    """The paper's claims on each student's layers, as the audit has them, by name."""
    return ((row, layer, end.get("claims", {})) for row in _students(rows) for layer, end in row.layers.items())


def _assumed(numbers: dict[str, Any]) -> bool:
    """What Corollaries 1 and 2 assume."""
    smallest = [numbers[f"min_eigenvalue_{network}"] for network in ("teacher", "student")]
    return all(value is not None and value > 1 for value in smallest)


def _over_epochs(row: Row) -> Iterator[Point]:
    """In units of ‖K_T‖, as trajectories have them."""
    for layer in LAYERS:
        for epoch, point in points(row, layer):
            truth, norm = point["transfer_loss"], point["norm_student"] / point["norm_teacher"]
            assumed = _assumed(point)
            for name, value in point["bounds"].items():
                if (rule := _RULES.get(name)) is None:
                    continue
                lower, tolerance = rule.kind == "lower", 10 * TOLERANCE * (1 + norm) + 1e-7 * value
                holds = value <= truth + tolerance if lower else value >= truth - tolerance
                vacuous = value <= abs(1 - norm) if lower else value >= math.hypot(1, norm)
                yield Point(row, layer, epoch, name, value, truth, _slack(rule, value, truth), holds, vacuous, assumed)


def _at_the_end(row: Row) -> Iterator[Point]:
    for layer in (layer for layer in LAYERS if layer in row.layers):
        end = row.layers[layer]
        truth = end["norm_difference"]
        assumed = _assumed(end)
        for name, said in end["bounds"].items():
            if said is not None and (rule := _RULES.get(name)) is not None:
                value = said["value"]
                slack = _slack(rule, value, truth)
                yield Point(row, layer, None, name, value, truth, slack, said["holds"], said["vacuous"], assumed)


def _slack(rule: BoundRule, value: float, truth: float) -> float | None:
    small, large = (value, truth) if rule.kind == "lower" else (truth, value)
    return large / small if small > 0 else None
