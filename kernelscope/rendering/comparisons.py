"""Two students against one another, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.wording import first_pairs, short_names

if TYPE_CHECKING:
    from kernelscope.report.fields import Comparison
    from kernelscope.report.report import TransferReport


def comparisons_in_words(report: TransferReport, most: int) -> list[str]:
    """Every two students at the layer their verdicts are about; a last line counts those that are left out."""
    names = short_names(report)
    layers = {(pair.teacher_layer, pair.student_layer) for pair in first_pairs(report)}
    chosen = [c for c in report.comparisons if (c.teacher_layer, c.student_layer) in layers][:most]
    said = [f"{in_words(c, names)} ({plain(c.student_layer)}, 95 % over examples)" for c in chosen]
    left = len(report.comparisons) - len(chosen)
    more = f"{left:,} {'more ' if chosen else ''}comparison{'' if left == 1 else 's'} of two students"
    return [*said, f"{more} {'is' if left == 1 else 'are'} in the saved report (comparisons)"] if left else said


def in_words(comparison: Comparison, names: dict[str, str]) -> str:
    """``kda.pt has a lower loss than rkd.pt by 0.10 ± 0.02``, or that this sample leaves the order open."""
    low, high = comparison.interval
    half = (high - low) / 2
    first, second = names[comparison.first], names[comparison.second]
    decimals = max(2, 1 - _exponent(half))
    size = f"{abs(comparison.difference):.{decimals}f} ± {half:.{decimals}f}"
    if low <= 0 <= high:
        return f"{first} and {second} cannot be told apart on these examples ({size})"
    lower, higher = (first, second) if comparison.difference < 0 else (second, first)
    return f"{lower} has a lower loss than {higher} by {size}"


def _exponent(value: float) -> int:
    """Decimal exponent, so that an error is written with two digits at least."""
    return math.floor(math.log10(value)) if value > 0 else 0
