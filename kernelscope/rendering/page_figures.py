"""Which figures stand on a page, in which section."""

from __future__ import annotations

import dataclasses
from typing import Any

from kernelscope.errors import UsageError
from kernelscope.rendering.plots.kinds import drawable, figure_svg
from kernelscope.rendering.plots.trajectory import QUANTITIES
from kernelscope.rendering.wording import first_pairs
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport

MOST_STUDENTS = 6
SECTIONS = (
    "ladder",
    "levels",
    "neighbours",
    "layers",
    "difference",
    "classes",
    "landmarks",
    "theory",
    "training",
)
MOST_LAYERS = 4


def figures(report: TransferReport) -> dict[str, list[str]]:
    """SVGs by section, of the first students; a section for which the report has no numbers is empty."""
    if not report.pairs:
        return {section: [] for section in SECTIONS}
    report = _first_students(report)
    first = first_pairs(report)
    near = min(first, key=lambda pair: pair.transfer_loss)
    wanted: dict[str, list[dict[str, Any]]] = {
        "ladder": [*([{"kind": "ladder"}] if len(first) > 1 else []), *(_of_student(report, pair) for pair in first)],
        "levels": [{"kind": "references", **_exactly(pair)} for pair in first if pair.references],
        "neighbours": [{"kind": "neighbours", "student_layer": layer} for layer in _layers(report, "neighbours")],
        "layers": [{"kind": "layers", "student": pair.student} for pair in first if _is_grid(report, pair)],
        "landmarks": [
            {"kind": "landmark_spectrum", "student_layer": layer} for layer in _layers(report, "landmark_spectrum")
        ],
        "theory": [{"kind": "theorem2"}, {"kind": "bounds", **_exactly(near)}, {"kind": "anova"}],
        "classes": [{"kind": "classes", **_exactly(pair)} for pair in first],
        "difference": [{"kind": "spectra", **_exactly(pair)} for pair in first],
        "training": [
            *({"kind": "training", "quantity": quantity} for quantity in ("accuracy", "loss")),
            *({"kind": "trajectory", "quantity": quantity} for quantity in QUANTITIES),
        ],
    }
    drawn: dict[str, list[str]] = {}
    for section, all_options in wanted.items():
        drawn[section] = []
        for number, options in enumerate(all_options):
            try:
                drawn[section].append(figure_svg(report, prefix=f"ks-{section}-{number}", **options))
            except UsageError:  # this report has no such numbers
                continue
    return drawn


def _layers(report: TransferReport, kind: str) -> list[str]:
    """The first two layers that such a figure can show."""
    return list(dict.fromkeys(pair.student_layer for pair in drawable(report, kind)))[:2]


def _is_grid(report: TransferReport, pair: PairReport) -> bool:
    """Whether this student's layers were measured against several of the teacher's each."""
    layers = [(p.teacher_layer, p.student_layer) for p in report if p.student == pair.student]
    return len(layers) > len({s for _, s in layers}) > 1


def _first_students(report: TransferReport) -> TransferReport:
    """Few enough to be told apart by colour."""
    students = list(dict.fromkeys(pair.student for pair in report))[:MOST_STUDENTS]
    return dataclasses.replace(report, pairs=tuple(pair for pair in report if pair.student in students))


def _of_student(report: TransferReport, pair: PairReport) -> dict[str, Any]:
    """All layers of a student on one ladder, or the first alone where that would be a thicket."""
    several = sum(other.student == pair.student for other in report) <= MOST_LAYERS
    return {"kind": "ladder", "student": pair.student} if several else {"kind": "ladder", **_exactly(pair)}


def _exactly(pair: PairReport) -> dict[str, Any]:
    return {"student": pair.student, "teacher_layer": pair.teacher_layer, "student_layer": pair.student_layer}
