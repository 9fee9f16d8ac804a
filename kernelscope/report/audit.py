"""``audit``: the paper's claims one by one on real pairs of layers, as printed and as corrected."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelscope import files
from kernelscope.kernels.nystrom.claims import TITLES, Claim, Statement

__all__ = ["TITLES", "AuditReport", "Claim", "PairAudit", "Statement", "Tracking"]

FORMAT = "kernelscope.audit"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class PairAudit:
    """Every claim on one teacher layer against one student layer."""

    teacher: str
    student: str
    teacher_layer: str
    student_layer: str
    n: int
    landmarks: str
    m: int
    transfer_loss: float
    estimate: float
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Tracking:
    """Of two students at the same layers, how often the estimate orders them as the loss does."""

    agreeing: int
    compared: int


@dataclass(frozen=True)
class AuditReport:
    """The paper's claims on every pair measured; ``print`` it for one line per claim."""

    pairs: tuple[PairAudit, ...]
    tracking: Tracking

    def failures(self) -> list[tuple[PairAudit, Claim]]:
        """Corrected claims that do not hold: bugs of kernelscope, to be reported."""
        return [(p, c) for p in self.pairs for c in p.claims if c.corrected is not None and not c.corrected.holds]

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """One JSON document; never NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON to ``path``, whole or not at all."""
        files.write_text(path, self.to_json() + "\n")
        return Path(path)

    def __str__(self) -> str:
        from kernelscope.rendering import audit_table

        return audit_table.text(self)
