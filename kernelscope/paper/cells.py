"""The finished students of a study by cell: scene, student, system; one row for each seed."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.paper.plan import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.paper.rows import Row

#: losses of a layer in the order of what was done first: nothing, the best scalar, a linear head on held-out images
LOSSES = {"raw": "as it is", "scaled": "after the best scalar", "head_held_out": "after a linear head, held out"}
EMBEDDING, LOGITS = "embedding", "logits"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; None for a standard deviation of one value."""

    mean: float
    sd: float | None
    n: int


class Cells:
    """Rows of figures that did not fail, by cell and seed."""

    def __init__(self, rows: Iterable[Row]) -> None:
        found: dict[Cell, dict[int, Row]] = defaultdict(dict)
        for row in rows:
            if row.purpose == "figure" and row.failed is None:
                found[Cell(row.scene, row.role, row.system)][row.seed] = row
        self._rows = {cell: {seed: by_seed[seed] for seed in sorted(by_seed)} for cell, by_seed in found.items()}

    def students(self, cell: Cell) -> list[Row]:
        """In the order of their seeds."""
        return list(self._rows.get(cell, {}).values())

    def paired(self, first: Cell, second: Cell) -> list[tuple[Row, Row]]:
        """Students of the seeds that both have."""
        a, b = self._rows.get(first, {}), self._rows.get(second, {})
        return [(a[seed], b[seed]) for seed in a if seed in b]

    def spread(self, cell: Cell, quantity: str, layer: str = EMBEDDING) -> Spread | None:
        """Over the seeds that have a value; None where none has."""
        return spread([v for row in self.students(cell) if (v := value(row, quantity, layer)) is not None])


def spread(values: list[float]) -> Spread | None:
    """None for no values."""
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


def value(row: Row, quantity: str, layer: str = EMBEDDING) -> float | None:
    """``top1`` and other numbers of the student, else one of a layer; ``tracking`` see :func:`tracking`."""
    if quantity == "tracking":
        return tracking(row, layer)
    if quantity == "min_eigenvalue":
        both = [value(row, f"min_eigenvalue_{network}", layer) for network in ("teacher", "student")]
        return None if None in both else min(v for v in both if v is not None)
    found: Any = getattr(row, quantity) if hasattr(row, quantity) else row.layers.get(layer, {}).get(quantity)
    return None if found is None else float(found)


def points(row: Row, layer: str = EMBEDDING) -> list[tuple[int, dict[str, Any]]]:
    """Epoch and numbers of a layer, of every epoch that has them."""
    return [(p["epoch"], found) for p in row.trajectory if (found := p["layers"].get(layer)) is not None]


def tracking(row: Row, layer: str = EMBEDDING, statistic: str = "pearson") -> float | None:
    """Correlation over epochs of the paper's estimate with the loss; None below 3 epochs or where one stands still."""
    pairs = [(p["estimate"], p["transfer_loss"]) for _, p in points(row, layer)]
    return correlation([e for e, _ in pairs], [t for _, t in pairs], statistic) if len(pairs) > 2 else None


def correlation(x: Iterable[float], y: Iterable[float], statistic: str = "pearson") -> float | None:
    """Pearson's or, of the ranks, Spearman's; None where one of the two is constant."""
    from scipy.stats import rankdata

    a, b = (np.asarray(list(values), float) for values in (x, y))
    if statistic == "spearman":
        a, b = rankdata(a), rankdata(b)
    size = abs(a).max() * abs(b).max() * len(a)
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 1e-12 * size else None
