"""What the tables show: each column's heading, cell and meaning, once for terminal, page, notebook and documents.

A new column is one entry here; ``make docs`` then writes its meaning into docs/meaning.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from kernelscope.report.digits import (
    NONE,
    loss_in_digits,
    multiple,
    number,
    percent,
    population,
    population_differs,
)
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport, network_of


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: in the lines it takes on a terminal, where 80 columns have to do; ``K_S`` gets a subscript on a page.
        cell: what stands in it for one pair.
        meaning: one sentence, lower case, without a full stop.
        advice: what follows from the number, in whole sentences, for where there is room.
        where: which tables have it.
        shown: whether this report needs the column at all.
    """

    heading: str
    cell: Callable[[TransferReport, PairReport], str]
    meaning: str
    advice: str = ""
    where: Literal["both", "terminal", "page"] = "both"
    weight: Literal["strong", "plain", "soft"] = "plain"
    shown: Callable[[TransferReport], bool] = lambda report: True

    @property
    def name(self) -> str:
        """The heading on one line."""
        return " ".join(self.heading.replace("-\n", "").split())


LOSS_COLUMNS = (
    Column(
        "loss",
        lambda report, pair: loss_in_digits(pair),
        "‖K_S − K_T‖ / ‖K_T‖ over all examples: 0 is the teacher's kernel exactly, 1 is what an all-zero student gets",
        advice="More than 1 is possible. Where rounding leaves it open, the interval that holds it stands alone.",
        weight="strong",
    ),
    Column(
        "among\nmany",
        lambda report, pair: number(population(pair)),
        "the loss that many more such examples would have; a sample also counts each example against itself",
        where="terminal",  # a page has it before the range
        shown=lambda report: any(population_differs(pair) for pair in report),
    ),
    Column(
        "95% over examples",
        lambda report, pair: sampled(pair),
        "where the loss lies for other examples of the same kind",
        advice="A number before the range is the loss that many more of them would have, where it differs: a sample "
        "also counts each example against itself.",
        weight="soft",
        where="page",
    ),
    Column(
        "after\nbest\nscalar",
        lambda report, pair: number(pair.ladder.scaled),
        "what is left of the loss once the student is rescaled",
        advice="A large fall: the geometry is there, and one factor repairs it.",
    ),
    Column(
        "after\nlinear\nhead",
        lambda report, pair: number(pair.ladder.head),
        "what is left once the student is given the best linear head",
        advice="A large fall: the information is there, and a linear layer repairs it.",
    ),
    Column(
        "width\nfloor",
        lambda report, pair: number(pair.ladder.width_floor),
        "no student this wide goes below it",
        advice="A loss near it asks for a wider student rather than for more training.",
    ),
    Column(
        "chance",
        lambda report, pair: number(pair.null.transfer_loss),
        "the loss of the same student with its examples shuffled",
        advice="A loss near it is worth little.",
    ),
    Column(
        "CKA",
        lambda report, pair: number(pair.cka),
        "similarity of the two kernels up to scale, shift and rotation; 1 is equal",
    ),
    Column(
        "kNN\nover-\nlap",
        lambda report, pair: number(None if pair.neighbours is None else pair.neighbours.overlap, 2),
        "share of each example's nearest neighbours that both networks name",
        advice="Kernels can agree where neighbourhoods do not, and the other way round.",
    ),
    Column(
        "top-1",
        lambda report, pair: percent(_top1(report, pair.student)),
        "the student's own accuracy, where it is known",
    ),
)

THEORY_COLUMNS = (
    Column(
        "true\nloss",
        lambda report, pair: loss_in_digits(pair) if has_theory(pair) else NONE,
        "the loss of the first table",
    ),
    Column(
        "paper's\nestimate",
        lambda report, pair: number(None if pair.paper is None else pair.paper.estimate),
        "‖C_S − C_T‖ / ‖K_T‖ over the landmarks alone",
        advice="Too small by about √(examples / landmarks).",
    ),
    Column(
        "expanded\nestimate",
        lambda report, pair: number(None if pair.nystrom is None else pair.nystrom.expanded_estimate),
        "the same weighted to all examples, in the units of the loss",
    ),
    Column(
        "seen by centres",
        lambda report, pair: percent(_seen_by_centres(pair)),
        "the part of the squared difference that class centres can see at all",
        where="page",
    ),
    Column(
        "smallest\nof W_T",
        lambda report, pair: number(None if pair.landmark_spectrum is None else pair.landmark_spectrum.teacher.min),
        "smallest eigenvalue of the teacher's kernel between landmarks; the paper assumes it above 1",
    ),
    Column(
        "smallest\nof W_S",
        lambda report, pair: number(None if pair.landmark_spectrum is None else pair.landmark_spectrum.student.min),
        "the same of the student's kernel between landmarks",
    ),
    Column(
        "Theorem 2\n/ truth",
        lambda report, pair: multiple(_over_truth(pair)),
        "how many times too large the bound of the paper's Theorem 2 is",
    ),
)


def has_theory(pair: PairReport) -> bool:
    """Whether a pair has numbers for the second table; without landmarks it has none."""
    return not (pair.landmark_spectrum is None and pair.paper is None and pair.nystrom is None)


def columns_on(where: Literal["terminal", "page"], columns: Iterable[Column], report: TransferReport) -> list[Column]:
    """Those of ``columns`` that a table of this report has there."""
    return [column for column in columns if column.where in ("both", where) and column.shown(report)]


def caption(columns: Iterable[Column]) -> str:
    """The meanings in one paragraph, to stand below a table."""
    return " ".join(f"{column.name}: {column.meaning}." for column in columns)


def sampled(pair: PairReport) -> str:
    """``0.381 to 0.452``, after the loss among many examples where that is another; nothing for an open loss."""
    if pair.sampling_interval is None or not pair.resolved:
        said = NONE
    else:
        low, high = pair.sampling_interval
        said = f"{number(low)} to {number(high)}"
    return f"{number(population(pair))}: {said}" if population_differs(pair) else said


def _seen_by_centres(pair: PairReport) -> float | None:
    return None if pair.anova is None else pair.anova.mean_mean + pair.anova.mean_within


def _top1(report: TransferReport, name: str) -> float | None:
    network = network_of(report, name)
    return None if network is None else network.top1


def _over_truth(pair: PairReport) -> float | None:
    bound = None if pair.paper is None else pair.paper.bounds.get("theorem2")
    return None if bound is None else bound.over_truth
