"""Which of two students has the lower loss, with an interval over examples."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.statistics.sampling import LeaveOut, paired_difference
from kernelscope.report.fields import Comparison, PairReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEVEL = 0.05


def compare(measured: Sequence[tuple[PairReport, LeaveOut | None]]) -> tuple[Comparison, ...]:
    """Every two students at the same layers, the better one first."""
    found: list[tuple[Comparison, float]] = []
    for (a, parts_a), (b, parts_b) in combinations(measured, 2):
        if (a.teacher_layer, a.student_layer) != (b.teacher_layer, b.student_layer):
            continue
        if parts_a is None or parts_b is None or not np.array_equal(parts_a.sizes, parts_b.sizes):
            continue
        if a.transfer_loss > b.transfer_loss:
            (a, parts_a), (b, parts_b) = (b, parts_b), (a, parts_a)
        estimate = paired_difference(parts_a, parts_b)
        if estimate is not None:
            compared = Comparison(
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
            found.append((compared, estimate.p_value))
    return tuple(_judged_together(found))


def _judged_together(found: Sequence[tuple[Comparison, float]]) -> Iterator[Comparison]:
    """Each with whether it is decided among all those at the same layers: Holm's procedure."""
    families: dict[tuple[str, str], list[int]] = {}
    for number, (each, _) in enumerate(found):
        families.setdefault((each.teacher_layer, each.student_layer), []).append(number)
    decided = set()
    for members in families.values():
        for place, number in enumerate(sorted(members, key=lambda number: found[number][1])):
            if found[number][1] * (len(members) - place) > LEVEL:
                break
            decided.add(number)
    for number, (each, _) in enumerate(found):
        yield replace(each, decided=number in decided)
