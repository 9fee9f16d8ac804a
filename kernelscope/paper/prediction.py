"""Does a number say how accurate a student is? Rank correlations over all students of a scene, with their intervals.

Students of one method are alike, so the bootstrap draws methods, each with all its students. Lengths are judged apart:
within one run every loss falls while accuracy rises, so that mixing them would correlate anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.paper.cells import EMBEDDING, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kernelscope.paper.rows import Row

    Correlate = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

#: what may predict accuracy, with its name for a reader; of the embedding, but for the last three
PREDICTORS = {
    "raw": "loss as it is (the paper's)",
    "scaled": "after the best scalar",
    "centred": "after both means",
    "head": "after a linear head",
    "head_held_out": "after a linear head, held out",
    "neighbours": "shared nearest neighbours",
    "cka_debiased": "CKA, debiased",
    "agreement": "agreement with the teacher",
    "flips": "teacher right, student wrong",
    "training_ce": "training cross-entropy",
}
ENOUGH = 100  #: students from which the figure is worth drawing a conclusion from
FEWEST = 12
DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation of a number with test accuracy; ``low .. high`` holds 95 % of draws of methods.

    ``zero``: the interval contains it. All None where a draw has no value, say for a single method.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def zero(self) -> bool:
        return self.low is None or self.high is None or self.low <= 0 <= self.high


@dataclass(frozen=True)
class Group:
    """Students of one scene and length among which numbers are held against accuracy.

    ``within``: ``all``, an architecture, ``fixed`` training cross-entropy, or the ``best`` half.
    """

    scene: str
    epochs: int
    within: str
    students: int
    methods: int
    found: dict[str, Correlation]


def groups(rows: Iterable[Row], draws: int = DRAWS, seed: int = 0) -> list[Group]:
    """Every group of at least :data:`FEWEST` students of three methods, in the order of the scenes."""
    students = [row for row in rows if row.purpose != "teacher" and row.failed is None and row.top1 is not None]
    made = []
    for scene, epochs in dict.fromkeys((row.scene, row.epochs) for row in students):
        alike = [row for row in students if (row.scene, row.epochs) == (scene, epochs)]
        for within, those in _within(alike).items():
            correlate = partial_spearman if within == "fixed" else spearman
            methods = len({row.method for row in those})
            if len(those) >= FEWEST and methods > 2 and len({row.top1 for row in those}) > 1:
                found = _correlations(those, correlate, draws, seed)
                made.append(Group(scene, epochs, within, len(those), methods, found))
    return made


def _within(students: Sequence[Row]) -> dict[str, Sequence[Row]]:
    """Students by what is held fixed; one architecture is no group of its own where there are no others."""
    found: dict[str, Sequence[Row]] = {"all": students}
    archs = dict.fromkeys(row.arch for row in students)
    if len(archs) > 1:
        found |= {arch: [row for row in students if row.arch == arch] for arch in archs}
    found["fixed"] = [row for row in students if row.training_ce is not None]
    middle = np.median([row.top1 or 0.0 for row in students])
    found["best"] = [row for row in students if (row.top1 or 0.0) > middle]
    return found


def _correlations(
    students: Sequence[Row],
    correlate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    draws: int,
    seed: int,
) -> dict[str, Correlation]:
    """Of every predictor that all these students have, and that differs among them."""
    table = {name: [value(row, name, EMBEDDING) for row in students] for name in PREDICTORS}
    names = [name for name, column in table.items() if None not in column and len(set(column)) > 1]
    if correlate is partial_spearman and "training_ce" in names:
        names.remove("training_ce")
    X = np.array([table[name] for name in names], float).T
    y, ce = np.array([row.top1 for row in students], float), np.array(table["training_ce"], float)
    drawn = np.stack([correlate(X[i], y[i], ce[i]) for i in resamples([row.method for row in students], draws, seed)])
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    point = correlate(X, y, ce)
    return {name: _correlation(*numbers) for name, *numbers in zip(names, point, low, high)}


def _correlation(*numbers: float) -> Correlation:
    return Correlation(*(float(number) if np.isfinite(number) else None for number in numbers))


def resamples(methods: Sequence[str], draws: int, seed: int) -> list[np.ndarray]:
    """Students' indices, ``draws`` times: as many methods as there are, drawn with replacement, each whole."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(list(methods), return_inverse=True)
    of = [np.flatnonzero(codes == code) for code in range(len(names))]
    return [np.concatenate([of[code] for code in rng.integers(len(names), size=len(names))]) for _ in range(draws)]


def spearman(X: np.ndarray, y: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Of each column of X ``(n, p)`` with y; NaN for a column that is constant."""
    return _with_last(_centred_ranks(np.column_stack([X, y])))


def partial_spearman(X: np.ndarray, y: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The same of what is left of the ranks of X and y after a linear fit on the ranks of ``held``."""
    ranks = _centred_ranks(np.column_stack([X, y, held]))
    fixed = ranks[:, -1]
    square = float(fixed @ fixed)
    rest = ranks[:, :-1]
    return _with_last(rest - np.outer(fixed, fixed @ rest) / square if square > 0 else rest)


def _centred_ranks(table: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    ranks = rankdata(table, axis=0)
    centred: np.ndarray = ranks - ranks.mean(axis=0)
    return centred


def _with_last(columns: np.ndarray) -> np.ndarray:
    """Cosines of all columns with the last."""
    norms = np.linalg.norm(columns, axis=0)
    norms[norms <= 1e-9 * len(columns) ** 1.5] = np.nan  # of ranks that were fitted whole, rounding is left
    cosines: np.ndarray = (columns[:, :-1].T @ columns[:, -1]) / (norms[:-1] * norms[-1])
    return cosines
