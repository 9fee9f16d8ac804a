"""Gates: limits on fields of a report, passed only if the whole interval passes."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

from kernelscope.errors import UsageError
from kernelscope.report.fields import PairReport
from kernelscope.report.transfer import TransferReport, flat_fields


@dataclass(frozen=True)
class Gate:
    """``field <= limit`` (``at_most``) or ``field >= limit``, for every pair of a report."""

    field: str
    limit: float
    at_most: bool

    @classmethod
    def parse(cls, text: str, *, at_most: bool) -> Gate:
        """``transfer_loss=0.3`` as a gate.

        Raises:
            UsageError: if it is not FIELD=NUMBER.
        """
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not name or math.isnan(limit):
            raise UsageError(f"gate {text!r} is not FIELD=NUMBER; write for example transfer_loss=0.3")
        return cls(name.strip(), limit, at_most)

    def failure(self, pair: PairReport, *, sampling: bool = False) -> str | None:
        """Why ``pair`` does not pass, in one line; None if it passes.

        Raises:
            UsageError: if the report has no such number.
        """
        low, high = _interval(pair, self.field, sampling)
        where = f"{pair.student}, {pair.teacher_layer}={pair.student_layer}"
        sign = "<=" if self.at_most else ">="
        if low is None or high is None:
            return f"FAILED {self.field} {sign} {self.limit:g}: not measured for this pair ({where})"
        worst = high if self.at_most else low
        passes = worst <= self.limit if self.at_most else worst >= self.limit
        if passes:
            return None
        width = "" if low == high else f" in [{low:.6g}, {high:.6g}]"
        return f"FAILED {self.field} {sign} {self.limit:g}: is {worst:.6g}{width} ({where})"


def failures(report: TransferReport, gates: list[Gate], *, sampling: bool = False) -> list[str]:
    """One line per gate and pair that does not pass."""
    lines = (gate.failure(pair, sampling=sampling) for pair in report for gate in gates)
    return [line for line in lines if line is not None]


def _interval(pair: PairReport, field: str, sampling: bool) -> tuple[float | None, float | None]:
    """The interval a field's exact value lies in; a point for fields that carry none."""
    if field in ("transfer_loss", "ladder.raw"):
        if sampling:
            return pair.sampling_interval or (None, None)
        return pair.rounding_interval
    fields = flat_fields(pair)
    if field not in fields:
        near = difflib.get_close_matches(field, fields, n=3, cutoff=0.4)
        raise UsageError(f"a report has no number {field!r}; nearest: {', '.join(near) or 'see docs/report.md'}")
    value = fields[field]
    if value is not None and not isinstance(value, (int, float)):
        raise UsageError(f"{field} is {value!r}, not a number; gate a number such as transfer_loss")
    return value, value
