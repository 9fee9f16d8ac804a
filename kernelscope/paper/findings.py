"""Everything that a study says beyond its rows, computed once: verdicts, bounds, tracking, prediction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import KernelscopeError
from kernelscope.paper import claims, corollaries, prediction
from kernelscope.paper.cells import Cells
from kernelscope.paper.verdicts import OUTCOMES, Outcome, Verdict, after, judge

if TYPE_CHECKING:
    from kernelscope.paper.plan import Study


@dataclass(frozen=True)
class Judged:
    """A claim's verdict; of a claim on a loss as it is also those after the best scalar and after a held-out head."""

    verdict: Verdict
    after: dict[str, Verdict]


@dataclass(frozen=True)
class Findings:
    """What the page, the text and the tables of a study show."""

    study: Study
    cells: Cells
    judged: tuple[Judged, ...]
    bounds: tuple[corollaries.Summary, ...]
    lemma: corollaries.Lemma | None
    trackings: tuple[corollaries.Tracking, ...]
    broken: tuple[str, ...]
    groups: tuple[prediction.Group, ...]

    def counts(self, *, ours: bool = False) -> dict[Outcome, int]:
        """How many of the paper's claims, or of ours, came out how."""
        found = Counter(j.verdict.outcome for j in self.judged if (j.verdict.claim.figure == claims.OURS) == ours)
        return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}

    def of(self, figure: str) -> list[Judged]:
        """The verdicts of one figure."""
        return [judged for judged in self.judged if judged.verdict.claim.figure == figure]


def of(study: Study, draws: int = prediction.DRAWS) -> Findings:
    """The findings of a study; ``draws``: of methods, for the intervals of correlations."""
    cells = Cells(study.rows)
    verdicts = [judge(claim, cells) for claim in claims.of(study.plan)]
    points = corollaries.of_points(study.rows)
    return Findings(
        study=study,
        cells=cells,
        judged=tuple(Judged(verdict, after(verdict, cells)) for verdict in verdicts),
        bounds=tuple(corollaries.summaries(points)),
        lemma=corollaries.lemma(study.rows),
        trackings=tuple(corollaries.trackings(study.rows)),
        broken=tuple(corollaries.broken(points, study.rows)),
        groups=tuple(prediction.groups(study.rows, draws)),
    )


def require_proved(found: Findings) -> None:
    """Stop where something proved does not hold.

    Raises:
        KernelscopeError: with the first of them.
    """
    if found.broken:
        raise KernelscopeError(
            f"{len(found.broken)} proved bounds do not hold, first {found.broken[0]}; "
            "this is a bug of kernelscope, please report it"
        )
