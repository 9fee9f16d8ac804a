"""Which of two students has the lower loss, and whether another sample of examples would say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from kernelscope.kernels.sampling import LeaveOut, paired_difference
from kernelscope.report.fields import Comparison, Interval, PairReport
from kernelscope.report.transfer import TransferReport
from kernelscope.report.wording import first_pairs, plain, short_names


def compare(measured: Sequence[tuple[PairReport, LeaveOut | None]]) -> tuple[Comparison, ...]:
    """Every two students at the same layers, the better one first."""
    found = []
    for (a, parts_a), (b, parts_b) in combinations(measured, 2):
        if (a.teacher_layer, a.student_layer) != (b.teacher_layer, b.student_layer):
            continue
        if parts_a is None or parts_b is None or not np.array_equal(parts_a.sizes, parts_b.sizes):
            continue
        if a.transfer_loss > b.transfer_loss:
            (a, parts_a), (b, parts_b) = (b, parts_b), (a, parts_a)
        estimate = paired_difference(parts_a, parts_b)
        if estimate is not None:
            found.append(
                Comparison(
                    teacher_layer=a.teacher_layer,
                    student_layer=a.student_layer,
                    first=a.student,
                    second=b.student,
                    difference=estimate.value,
                    interval=estimate.interval,
                    rounding_interval=(
                        a.rounding_interval[0] - b.rounding_interval[1],
                        a.rounding_interval[1] - b.rounding_interval[0],
                    ),
                )
            )
    return tuple(found)


def difference_interval(report: TransferReport, a: PairReport, b: PairReport) -> Interval | None:
    """95 % interval of the loss of ``a`` minus that of ``b``, whichever of them the report names first."""
    for each in report.comparisons:
        if (each.teacher_layer, each.student_layer) != (a.teacher_layer, a.student_layer):
            continue
        if (each.first, each.second) == (a.student, b.student):
            return each.interval
        if (each.first, each.second) == (b.student, a.student):
            low, high = each.interval
            return 0.0 - high, 0.0 - low  # from 0, so that no -0.0 comes of it
    return None


def comparisons_in_words(report: TransferReport, most: int) -> list[str]:
    """Every two students at the layer their verdicts are about."""
    names = short_names(report)
    layers = {(pair.teacher_layer, pair.student_layer) for pair in first_pairs(report)}
    chosen = [c for c in report.comparisons if (c.teacher_layer, c.student_layer) in layers][:most]
    return [f"{in_words(c, names)} ({plain(c.student_layer)}, 95 % over examples)" for c in chosen]


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
