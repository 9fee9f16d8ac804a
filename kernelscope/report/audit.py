"""``audit``: the paper's claims one by one on real pairs of layers, as printed and as corrected."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kernelscope.kernels.nystrom.claims import TITLES, Claim, Statement
from kernelscope.report.json_answer import JsonAnswer

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
class AuditReport(JsonAnswer):
    """The paper's claims on every pair measured; ``print`` it for one line per claim."""

    pairs: tuple[PairAudit, ...]
    tracking: Tracking

    def failures(self) -> list[tuple[PairAudit, Claim]]:
        """Corrected claims that do not hold: bugs of kernelscope, to be reported."""
        return [(p, c) for p in self.pairs for c in p.claims if c.corrected is not None and not c.corrected.holds]

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    def to_records(self) -> list[dict[str, Any]]:
        """One for each claim on each pair."""
        return [
            {
                "student": pair.student,
                "teacher_layer": pair.teacher_layer,
                "student_layer": pair.student_layer,
                "claim": claim.name,
                "assumption": claim.assumption,
                **_columns("printed", claim.printed),
                **_columns("corrected", claim.corrected),
            }
            for pair in self.pairs
            for claim in pair.claims
        ]

    def __str__(self) -> str:
        from kernelscope.rendering import audit_table

        return audit_table.text(self)


def _columns(name: str, said: Statement | None) -> dict[str, Any]:
    return {f"{name}_{key}": None if said is None else getattr(said, key) for key in ("holds", "slack", "vacuous")}
