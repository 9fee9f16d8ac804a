"""Numbers of trained students beside their teacher, on the test images: what a row keeps of a report and an audit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kernelscope.measurement.audit import audit
from kernelscope.measurement.measure import measure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernelscope.datasets.examples import Examples
    from kernelscope.report.audit import PairAudit
    from kernelscope.report.fields import PairReport


def of_students(
    teacher: Path, students: Sequence[Path], examples: Examples, layers: str, device: str
) -> list[dict[str, Any]]:
    """Of each student the fields ``layers``, ``agreement`` and ``flips`` of its row, and its accuracy − the teacher's.

    Raises:
        NumericalError: of a student whose features are not finite.
    """
    asked: dict[str, Any] = {
        "teacher": teacher,
        "student": list(students),
        "data": examples,
        "layers": layers,
        "cache": False,
        "accuracy_check": False,
        "device": device,
    }
    report, audited = measure(**asked), audit(**asked)
    found: list[dict[str, Any]] = [{"layers": {}} for _ in students]
    for number, (pair, claims) in enumerate(zip(report, audited.pairs, strict=True)):
        student = found[number // (len(report) // len(students))]
        student["layers"][pair.student_layer] = of_pair(pair, claims)
        if pair.outputs is not None:
            student |= _answers(pair)
    return found


def of_pair(pair: PairReport, audited: PairAudit) -> dict[str, Any]:
    """What a row keeps of one layer; norms and bounds are of the kernels themselves, losses over ‖K_T‖_F.

    ``claims``: the paper's, by name, as :class:`kernelscope.kernels.nystrom.claims.Claim` has them.
    """
    paper, nystrom, spectrum, near = pair.paper, pair.nystrom, pair.landmark_spectrum, pair.neighbours
    bounds = {} if paper is None else {name: bound for name, bound in paper.bounds.items() if bound is not None}
    return {
        "n": pair.n,
        "landmarks": None if pair.landmarks is None else pair.landmarks.m,
        **dataclasses.asdict(pair.ladder),
        "neighbours": None if near is None else near.overlap,
        "neighbours_chance": None if near is None else near.chance,
        "cka": pair.cka,
        "cka_debiased": pair.cka_debiased,
        "norm_teacher": pair.norm_teacher,
        "norm_student": pair.norm_student,
        "norm_difference": pair.norm_difference,
        "estimate": None if paper is None else paper.estimate,
        "expanded_estimate": None if nystrom is None else nystrom.expanded_estimate,
        "partial_norm": None if nystrom is None else nystrom.partial_norm,
        "min_eigenvalue_teacher": None if spectrum is None else spectrum.teacher.min,
        "min_eigenvalue_student": None if spectrum is None else spectrum.student.min,
        "theorem2": None if paper is None or paper.theorem2 is None else dataclasses.asdict(paper.theorem2),
        "bounds": {name: dataclasses.asdict(bound) for name, bound in bounds.items()},
        "claims": {claim.name: dataclasses.asdict(claim) for claim in audited.claims},
    }


def _answers(pair: PairReport) -> dict[str, Any]:
    assert pair.outputs is not None
    found: dict[str, Any] = {"agreement": pair.outputs.agreement}
    if pair.outputs.flips is not None:
        found["flips"] = pair.outputs.flips.right_to_wrong
        found["accuracy_difference"] = pair.outputs.flips.accuracy_difference
    return found
