"""A study's numbers for other programs: a line for each student, and everything that the page says."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from kernelscope import files
from kernelscope.paper.cells import EMBEDDING, LOGITS, spread, value
from kernelscope.report.csv_text import csv_text

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.paper.findings import Findings
    from kernelscope.paper.rows import Row

FORMAT, FORMAT_VERSION = "kernelscope.study", 1
OF_LAYER = (
    "raw", "scaled", "centred", "head", "head_held_out", "width_floor", "neighbours", "cka_debiased", "estimate",
    "expanded_estimate", "min_eigenvalue_teacher", "min_eigenvalue_student",
)  # fmt: skip
MEANS = ("top1", "agreement", "flips", "training_ce")


def write(found: Findings, folder: Path) -> None:
    """Write ``folder/results.csv`` and ``folder/results.json``.

    Raises:
        ResourceError: the disk cannot take it.
    """
    files.write_text(folder / "results.csv", csv_text([row.flat() for row in found.study.rows]))
    files.write_text(folder / "results.json", document(found))


def document(found: Findings) -> str:
    """JSON: claims with their verdicts, bounds, tracking, correlations, and means by cell."""
    study = found.study
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "figures": study.plan.figures,
        "seeds": study.plan.seeds,
        "weights": study.weights,
        "claims": [_plain(judged) for judged in found.judged],
        "bounds": [_plain(bound) for bound in found.bounds],
        "lemma1": None if found.lemma is None else _plain(found.lemma),
        "tracking": [_plain(tracking) for tracking in found.trackings],
        "broken": found.broken,
        "prediction": [_plain(group) for group in found.groups],
        "means": [_means(found, *cell) for cell in dict.fromkeys(_place(row) for row in study.rows)],
    }
    return json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _place(row: Row) -> tuple[str, str, str, str]:
    return row.scene, row.role, row.system, row.purpose


def _means(found: Findings, *place: str) -> dict[str, Any]:
    """Mean, standard deviation and number of every quantity over the students of one cell."""
    rows = [row for row in found.study.rows if _place(row) == place and row.failed is None]

    def over(name: str, layer: str = EMBEDDING) -> dict[str, Any] | None:
        of = spread([v for row in rows if (v := value(row, name, layer)) is not None])
        return None if of is None else _plain(of)

    return {
        **dict(zip(("scene", "role", "system", "purpose"), place)),
        **{name: over(name) for name in MEANS},
        "layers": {layer: {name: over(name, layer) for name in OF_LAYER} for layer in (EMBEDDING, LOGITS)},
    }


def _plain(value: Any) -> dict[str, Any]:
    return dataclasses.asdict(value)
