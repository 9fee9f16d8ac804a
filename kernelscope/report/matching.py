"""``match``: which teacher layer goes with which student layer, and whether the choice is more than chance."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from kernelscope.report.fields import Interval
from kernelscope.report.json_answer import JsonAnswer
from kernelscope.report.verdict_limits import SIGNIFICANT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "kernelscope.match"
FORMAT_VERSION = 1
Criterion = Literal["agreement", "head", "width"]
MOST_NAMED = 4  #: pairs that the sentence names; more stand in the table
CAUTION = (
    "ranked by what both networks share as they are given; in the one trial made this did not predict at which layers "
    "training gives the better student"
)


@dataclass(frozen=True)
class Paired:
    """A teacher layer and the student layer that goes with it."""

    teacher_layer: str
    student_layer: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A teacher layer for a student layer.

    Attributes:
        rank: among the student layer's candidates, from 1: those above chance first, then by the criterion.
        agreement: debiased CKA, 0 by chance and 1 for the same kernel but for its size.
        head_held_out: loss that the best linear map of the student's layer leaves on examples held out.
        width_floor: loss of the best student layer of this width.
        p_value, p_corrected: of the agreement, by itself and for having searched all candidates.
    """

    teacher_layer: str
    student_layer: str
    d_teacher: int
    d_student: int
    rank: int
    agreement: float | None
    head_held_out: float | None
    width_floor: float | None
    transfer_loss: float
    p_value: float | None
    p_corrected: float | None

    @property
    def above_chance(self) -> bool:
        return self.p_corrected is not None and self.p_corrected <= SIGNIFICANT

    def by(self, criterion: Criterion) -> float | None:
        """The criterion as a number that is higher for the better candidate, at most 1."""
        if criterion == "agreement":
            return self.agreement
        left = self.head_held_out if criterion == "head" else self.width_floor
        return None if left is None else 1.0 - left


@dataclass(frozen=True)
class Lead:
    """Mean agreement of the recommended pairing less that of the runner-up, 95 % over ``examples``, paired."""

    value: float
    interval: Interval
    examples: int

    @property
    def real(self) -> bool:
        return self.interval[0] > 0


@dataclass(frozen=True)
class Matching(JsonAnswer):
    """Every candidate, and the pairing that is recommended; ``print`` it for the table and the answer.

    Attributes:
        state: whether the student was trained, as far as its file states it.
        by: the criterion.
        teacher_layers, student_layers: in depth order.
        candidates: by student layer, the best first.
        recommended: the pairing of the highest sum of the criterion that is monotone in depth. runner_up: the next one;
            empty where there is none.
        lead: of the first over the second, where the criterion is agreement.
    """

    teacher: str
    student: str
    state: str
    n: int
    by: Criterion
    teacher_layers: tuple[str, ...]
    student_layers: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    recommended: tuple[Paired, ...]
    runner_up: tuple[Paired, ...]
    lead: Lead | None
    notes: tuple[str, ...] = ()

    @cached_property
    def _known(self) -> dict[Paired, Candidate]:
        return {Paired(each.teacher_layer, each.student_layer): each for each in self.candidates}

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        if not any(each.above_chance for each in self.candidates):
            return f"no layers agree above chance, corrected for {len(self.candidates)} pairs: nothing to recommend"
        if not self.recommended:
            return f"layers agree above chance, but none has anything by {self.by}: nothing to recommend"
        numbers = [self._known[pair].by(self.by) or 0.0 for pair in self.recommended]
        mean = sum(numbers) / len(numbers)
        return f"recommended: {_told(self.recommended)} (mean {self._measure} {mean:.2g}); {self._on_runner_up}"

    @property
    def _measure(self) -> str:
        return "agreement" if self.by == "agreement" else f"1 − {self.by}'s loss"

    @property
    def _on_runner_up(self) -> str:
        if not self.runner_up:
            return "no other pairing is above chance"
        others = [pair for pair in self.runner_up if pair not in self.recommended]
        said = f"the runner-up has {_told(others)}" if others else "the runner-up leaves a pair out"
        if self.lead is None:
            return f"{said}, with no interval of the difference"
        low, high = self.lead.interval
        answer = "a real difference" if self.lead.real else "which examples do not tell apart"
        return f"{said}: {answer} ({self.lead.value:.2g} [{low:.2g}, {high:.2g}])"

    def to_dict(self) -> dict[str, Any]:
        found = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        if self.lead is not None:
            found["lead"]["real"] = self.lead.real
        return {**found, "verdict": self.verdict, "caution": CAUTION}

    def to_records(self) -> list[dict[str, Any]]:
        chosen = set(self.recommended)
        return [
            {**dataclasses.asdict(each), "recommended": Paired(each.teacher_layer, each.student_layer) in chosen}
            for each in self.candidates
        ]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the agreement of all candidates, the recommended ones framed, and return matplotlib's axes."""
        from kernelscope.rendering.plots import matching

        return matching.draw(self, ax)

    def __str__(self) -> str:
        from kernelscope.rendering import matching_table

        return matching_table.text(self)


def _told(pairs: tuple[Paired, ...] | list[Paired]) -> str:
    named = ", ".join(f"{each.teacher_layer} → {each.student_layer}" for each in pairs[:MOST_NAMED])
    return named if len(pairs) <= MOST_NAMED else f"{named} and {len(pairs) - MOST_NAMED} more"
