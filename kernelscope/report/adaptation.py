"""``adapt``: how much of what the teacher finds the student's queries find in the teacher's index."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kernelscope.report.fields import Interval
from kernelscope.report.json_answer import JsonAnswer

FORMAT = "kernelscope.adapt"
FORMAT_VERSION = 1
ENOUGH = 0.95
LEAST_RECALL = 0.5  #: of what the teacher finds
AS_THEY_ARE = "as they are"


@dataclass(frozen=True)
class Share:
    """A mean over queries and its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Way:
    """Queries taken into the teacher's space in one way; ``of_reembedding``: recall over that of re-embedding."""

    kind: str
    rank: int | None
    recall: Share
    of_reembedding: Share | None


@dataclass(frozen=True)
class Adaptation(JsonAnswer):
    """Recall@k of the student's queries in the teacher's index; ``print`` it for the table and the answer.

    Attributes:
        documents, queries, fitted_on: rows of the index, held out, and that maps were fitted on.
        enough: share of re-embedding's recall from which the index may stay.
        reembedded: recall of the student's queries in an index of the student's own documents.
        ways: as they are (equal widths alone), rotation, linear map, low rank.
    """

    teacher: str
    student: str
    teacher_layer: str
    student_layer: str
    documents: int
    queries: int
    fitted_on: int
    k: int
    similarity: str
    enough: float
    reembedded: Share
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Way:
        """The first of the ways, from the plainest on, whose recall is not below the best one's interval."""
        highest = max(self.ways, key=lambda way: way.recall.value)
        return next(way for way in self.ways if way.recall.value >= highest.recall.interval[0])

    @property
    def answer(self) -> str:
        """``yes``, ``no`` or ``open``: whether the index may stay, by the best way's intervals.

        It may where queries find enough of what embedding all again would find, and half of what the teacher finds:
        with a student that finds other documents altogether neither is of use.
        """
        recall, share = self.best.recall.interval, self.best.of_reembedding
        if share is None or recall[1] < LEAST_RECALL or share.interval[1] < self.enough:
            return "no"
        return "yes" if share.interval[0] >= self.enough and recall[0] >= LEAST_RECALL else "open"

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        best, again = self.best, self.reembedded
        through = best.kind if best.kind == AS_THEY_ARE else f"through the {best.kind} map"
        numbers = f"recall@{self.k} {_shown(best.recall)}, embedding again {_shown(again)}"
        if self.answer == "yes":
            return f"yes: student queries may use the teacher's index {through} ({numbers})"
        if self.answer == "open":
            return f"open: {self.queries:,} queries do not tell whether {through} is enough ({numbers}); give more"
        if again.interval[1] < LEAST_RECALL:
            return (
                f"no, and embedding again with this student would not do either: it finds other documents than the "
                f"teacher ({numbers}, {through})"
            )
        return f"no: embed all documents again; {through} queries find too little ({numbers})"

    def to_dict(self) -> dict[str, Any]:
        found = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return {**found, "best": self.best.kind, "answer": self.answer, "verdict": self.verdict}

    def to_records(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": way.kind,
                "rank": way.rank,
                **_columns("recall", way.recall),
                **_columns("of_reembedding", way.of_reembedding),
            }
            for way in self.ways
        ]

    def __str__(self) -> str:
        from kernelscope.rendering import adaptation_table

        return adaptation_table.text(self)


def _shown(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.3f} [{low:.3f}, {high:.3f}]"


def _columns(name: str, share: Share | None) -> dict[str, float | None]:
    low, high = (None, None) if share is None else share.interval
    return {name: None if share is None else share.value, f"{name}_low": low, f"{name}_high": high}
