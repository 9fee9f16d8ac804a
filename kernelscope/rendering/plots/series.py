"""Students that are checkpoints of one run: their own measurements, by the epoch or step that their names tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from kernelscope.report.fields import NetworkReport

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport

#: words that count training, the one to go by first, with what the axis is called
COUNTERS = {
    "epoch": "epoch",
    "ep": "epoch",
    "global_step": "step",
    "step": "step",
    "iteration": "step",
    "iter": "step",
    "checkpoint": "step",
    "ckpt": "step",
    "e": "epoch",
}
_COUNTER = re.compile(rf"(?<![a-z])({'|'.join(sorted(COUNTERS, key=len, reverse=True))})[-_=. ]?(\d+)", re.IGNORECASE)
_MEASURED = re.compile(r"\d+\.\d+")  #: a validation loss in a file's name, say


@dataclass(frozen=True)
class Series:
    """A run as a network with a trajectory, what its points are counted by, and the first of its students."""

    network: NetworkReport
    unit: str
    first: str


def series_of(report: TransferReport) -> list[Series]:
    """Every run of which there are two checkpoints at least."""
    runs: dict[tuple[str, str], dict[int, str]] = {}
    for student in dict.fromkeys(pair.student for pair in report):
        if (found := _place(student)) is not None:
            run, number = found
            runs.setdefault(run, {}).setdefault(number, student)
    series = []
    for (name, word), students in runs.items():
        if len(students) > 1:
            points = [_point(report, number, students[number]) for number in sorted(students)]
            network = NetworkReport(name, None, None, None, trajectory=points)
            series.append(Series(network, COUNTERS[word], students[min(students)]))
    return series


def _place(student: str) -> tuple[tuple[str, str], int] | None:
    """The run (its name without counts, and the word that counts) and the count of a student."""
    counts = {word.lower(): int(number) for word, number in _COUNTER.findall(student)}
    word = next((word for word in COUNTERS if word in counts), None)
    if word is None:
        return None
    return (_MEASURED.sub("*", _COUNTER.sub(lambda m: f"{m[1]}*", student)), word), counts[word]


def label(series: Series) -> str:
    """The run's name without its folders."""
    return PurePath(series.network.name).name


def _point(report: TransferReport, number: int, student: str) -> dict[str, object]:
    layers = {_layer(pair): _quantities(pair) for pair in report if pair.student == student}
    return {"epoch": number, "layers": layers}


def _layer(pair: PairReport) -> str:
    same = pair.teacher_layer == pair.student_layer
    return pair.student_layer if same else f"{pair.teacher_layer} = {pair.student_layer}"


def _quantities(pair: PairReport) -> dict[str, object]:
    """What a trajectory's figures show, as ``kernelscope train`` writes it."""
    w, norm = pair.landmark_spectrum, pair.norm_teacher
    bounds = {} if pair.paper is None else pair.paper.bounds
    return {
        "transfer_loss": pair.transfer_loss,
        "sampling_interval": pair.sampling_interval,
        "scaled": pair.ladder.scaled,
        "cka": pair.cka,
        "head_held_out": pair.ladder.head_held_out,
        "neighbours": None if pair.neighbours is None else pair.neighbours.overlap,
        "estimate": None if pair.paper is None else pair.paper.estimate,
        "expanded_estimate": None if pair.nystrom is None else pair.nystrom.expanded_estimate,
        "min_eigenvalue_student": None if w is None else w.student.min,
        "min_eigenvalue_teacher": None if w is None else w.teacher.min,
        "bounds": {name: None if bound is None else bound.value / norm for name, bound in bounds.items()},
    }
