"""Which route, at what cost in time and memory, before anything is read (docs/theory.md 3.9)."""

from __future__ import annotations

from dataclasses import dataclass

from kernelscope.kernels.distance.accumulate import block_rows


@dataclass(frozen=True)
class Plan:
    """What a computation will do, before it does it."""

    route: str
    multiply_adds: float
    bytes_read: float
    memory_bytes: float
    why: str

    def __str__(self) -> str:
        return (
            f"route {self.route}: {self.multiply_adds:.2g} multiply-adds, {self.bytes_read / 1e6:,.0f} MB read, "
            f"{self.memory_bytes / 1e6:,.0f} MB of memory ({self.why})"
        )


def few_examples(n: int, p: int) -> bool:
    """Whether n × n kernels of n examples with p features in all cost no more than their Gram: n <= p."""
    return n <= p


def plan(*, n: int, d_student: int, d_teacher: int, route: str = "auto", item_bytes: int = 4) -> Plan:
    """Route, cost and memory before anything is read (docs/theory.md 3.9).

    ``auto`` goes on to the pair route where the first one does not resolve the loss.
    """
    p, d = d_student + d_teacher, max(d_student, d_teacher)
    read = float(n * p * item_bytes)
    if route == "blocked" or (route == "auto" and few_examples(n, p)):
        why = "asked for" if route == "blocked" else f"n = {n} is at most d_S + d_T = {p}"
        return Plan("blocked", n * n * p / 2, read * (1 + n // 8192), 8.0 * 3 * min(n, 4096) ** 2, why)
    if route == "tsqr":
        return Plan("tsqr", 2.0 * n * p * p, read, 8.0 * 5 * p * p, "asked for")
    if route == "pair":
        return Plan("pair", n * p * p / 2 + 3.0 * n * d * d, 2 * read, 8.0 * 8 * d * d, "asked for")
    why = "asked for" if route == "gram" else f"n = {n} exceeds d_S + d_T = {p}"
    return Plan("gram", n * p * p / 2, read, 8.0 * (5 * p * p + block_rows(p) * p), why)
