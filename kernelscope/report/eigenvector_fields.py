"""Fields of a report about the strongest eigenvectors of K_S − K_T, and the examples at their ends."""

from __future__ import annotations

from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class EndExample:
    """An example at one end of an eigenvector of length 1, and its entry there.

    ``thumbnail``: of an image, a small PNG as a data URI; None where there is none.
    """

    id: str
    index: int
    label: str | None
    entry: float
    thumbnail: str | None = None


@dataclass(frozen=True)
class DifferenceEigenvector:
    """An eigenvector of ``K_S − K_T``, or a space of ``dimension`` of them that rounding does not tell apart.

    A positive ``eigenvalue`` is similarity that the student added, a negative one similarity that it lost; ``share`` of
    ‖K_S − K_T‖². Examples at one end are those whose similarity this is; between the two ends it has the other sign. A
    space has one end, and lengths in the place of entries.
    """

    eigenvalue: float
    interval: Interval
    share: float
    dimension: int
    positive: tuple[EndExample, ...]
    negative: tuple[EndExample, ...]
