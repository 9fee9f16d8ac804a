"""Which of two students has the lower loss, and whether another sample of examples would say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from kernelscope.kernels.sampling import paired_difference
from kernelscope.report.fields import Comparison
from kernelscope.report.numbers import Measured


def compare(measured: Sequence[Measured]) -> tuple[Comparison, ...]:
    """Every two students at the same layers, the better one first."""
    found = []
    for a, b in combinations(measured, 2):
        if (a.report.teacher_layer, a.report.student_layer) != (b.report.teacher_layer, b.report.student_layer):
            continue
        better, worse = (a, b) if a.report.transfer_loss <= b.report.transfer_loss else (b, a)
        if better.parts is None or worse.parts is None:
            continue
        estimate = paired_difference(better.parts, worse.parts)
        if estimate is not None:
            found.append(
                Comparison(
                    teacher_layer=a.report.teacher_layer,
                    student_layer=a.report.student_layer,
                    first=better.report.student,
                    second=worse.report.student,
                    difference=estimate.value,
                    interval=estimate.interval,
                )
            )
    return tuple(found)


def in_words(comparison: Comparison, names: dict[str, str]) -> str:
    """``kda.pt has a lower loss than rkd.pt by 0.10 ± 0.02``, or that this sample cannot tell them apart."""
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
