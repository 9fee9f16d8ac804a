"""What a statement says was kept, was lost, and where: sentences without their full stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.difference_ends import in_a_line
from kernelscope.rendering.wording import outputs_of, units
from kernelscope.report.digits import interval, loss_in_digits, number, percent
from kernelscope.report.verdict_limits import SIGNIFICANT
from kernelscope.report.verdict_worth import collapsed

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport
    from kernelscope.report.similarity_fields import Outputs

MOST_CLASSES = 3


def nothing_lost(pair: PairReport) -> str | None:
    """That no loss can be told from none: equal kernels, storage, or rounding; None where one can, or it is open."""
    low, high = pair.rounding_interval
    if (low, high) == (0.0, 0.0):
        return "all of it: the two kernels are equal"
    if not pair.resolved or (high > pair.storage_floor and low > 0):
        return None
    at_most = f"at most {number_up(high)}{'' if pair.rounding_certified else ' (estimated)'}"
    if high <= pair.storage_floor:
        return f"all, as far as can be told: the loss is {at_most}, and storing the features may have made it"
    return f"all, as far as can be told: the loss is {at_most}, which rounding does not tell from 0"


def by_chance(pair: PairReport) -> bool:
    """Whether shuffled examples do as well."""
    return pair.null.p_value is not None and pair.null.p_value > SIGNIFICANT


def kept(report: TransferReport, pair: PairReport) -> list[str]:
    """What both networks have in common, with what chance would give."""
    if (why := nothing_lost(pair)) is not None:
        return [why]
    if not pair.resolved:
        return ["how much is not known more closely than the loss is"]
    if collapsed(pair) is not None:
        return [_of_a_collapse(pair)]
    if by_chance(pair):
        return [f"nothing that can be told from chance: shuffled {pair.unit}s do as well (p = {pair.null.p_value:.2f})"]
    said = []
    if pair.cka is not None:
        chance = pair.null.cka_mean
        beside = "" if chance is None else f"; {units(pair)} that are shuffled have {number(chance)} on average"
        said.append(f"CKA, which is 1 for kernels equal up to a factor and a shift, is {number(pair.cka)}{beside}")
    within = pair.within_class_cka
    if within is not None and within.value is not None:
        beside = "" if within.chance is None else f", by chance {number(within.chance)}"
        said.append(f"within classes, with their means taken off, CKA is {number(within.value)}{beside}")
    near = pair.neighbours
    if near is not None:
        said.append(
            f"of the {near.k} nearest neighbours of {_one(pair)} both networks name {percent(near.overlap)} alike, by "
            f"chance {percent(near.chance)}"
        )
    outputs = outputs_of(report, pair.student)
    if outputs is not None:
        said.append(f"both networks answer with the same class {percent(outputs.agreement)} of the time")
    return said or ["nothing but the loss was measured"]


def lost(report: TransferReport, pair: PairReport) -> list[str]:
    """The loss, what it would be by chance, and the answers that became wrong."""
    if nothing_lost(pair) is not None:
        return ["nothing that can be told"]
    if not pair.resolved:
        return [f"between {interval(*pair.rounding_interval)} of the teacher's kernel: the loss is not resolved"]
    said = [
        f"the transfer loss is {loss_in_digits(pair)}: ‖K_S − K_T‖ / ‖K_T‖, 0 for the teacher's kernel, 1 for an "
        "all-zero student, and more is possible"
    ]
    if pair.null.transfer_loss is not None:
        said.append(f"with its {pair.unit}s shuffled the student would lose {number(pair.null.transfer_loss)}")
    if pair.feature_spectrum is not None:
        teacher, student = pair.feature_spectrum.teacher.rank, pair.feature_spectrum.student.rank
        if student < teacher:
            said.append(f"the rank of its features is {student:,}, of the teacher's {teacher:,}")
    outputs = outputs_of(report, pair.student)
    if outputs is not None and outputs.flips is not None:
        said.append(_flips(outputs))
    return said


def where(pair: PairReport) -> list[str]:
    """Classes, parts of the kernel and examples that carry the squared difference."""
    if nothing_lost(pair) is not None:
        return ["nothing is lost that could be placed"]
    if not pair.resolved:
        return ["not known: the loss is not resolved"]
    said = [*_classes(pair), *_parts(pair)]
    if pair.difference_eigenvectors:
        said.append(in_a_line(pair.difference_eigenvectors[0]))
    if pair.worst:
        first = pair.worst[0]
        label = "" if first.label is None else f" (class {plain(first.label)})"
        said.append(
            f"the row with most of the squared difference is {first.index:,}{label}, with {percent(first.share)}"
        )
    return said or ["not measured"]


def number_up(value: float) -> str:
    """Two digits, never less than the value."""
    return interval(0.0, value).removeprefix("0 to ")


def _of_a_collapse(pair: PairReport) -> str:
    if pair.norm_student == 0:
        return "nothing: the student's features are all zero"
    assert pair.feature_spectrum is not None
    who = "teacher" if pair.feature_spectrum.teacher.centred_effective_rank == 0 else "student"
    return f"nothing that tells {pair.unit}s apart: the {who}'s features are the same for all of them"


def _classes(pair: PairReport) -> list[str]:
    if pair.classes is None or not pair.classes.names:
        return []
    carried = [sum(row) for row in pair.classes.loss]
    sizes = pair.classes.sizes
    order = sorted(range(len(carried)), key=lambda i: -carried[i])[:MOST_CLASSES]
    named = [
        f"{plain(pair.classes.names[i])} ({percent(carried[i])}"
        + (f", with {percent(sizes[i] / sum(sizes))} of the {units(pair)})" if sizes and sum(sizes) else ")")
        for i in order
    ]
    return [f"of the squared difference most is in rows of the classes {', '.join(named)}"]


def _parts(pair: PairReport) -> list[str]:
    if pair.anova is None:
        return []
    by_class = pair.landmarks is not None and pair.landmarks.strategy.startswith("class-means")
    groups = "classes" if by_class else "cells"
    return [
        f"of the squared difference {percent(pair.anova.mean_mean)} is between means of {groups}, "
        f"{percent(pair.anova.mean_within)} between means and deviations from them, "
        f"{percent(pair.anova.within_within)} among deviations"
    ]


def _flips(outputs: Outputs) -> str:
    flips = outputs.flips
    assert flips is not None
    said = (
        f"{percent(flips.right_to_wrong)} of answers went from right to wrong, {percent(flips.wrong_to_right)} from "
        "wrong to right; "
    )
    if flips.accuracy_interval is None:
        points = 100 * flips.accuracy_difference
        return f"{said}on these examples its accuracy differs by {points:+.1f} points, without an interval"
    low, high = (100 * end for end in flips.accuracy_interval)
    if low <= 0 <= high:
        return f"{said}whether its accuracy differs is open (95%: {interval(low, high)} points)"
    return f"{said}its accuracy is {'higher' if low > 0 else 'lower'} (95%: {interval(low, high)} points)"


def _one(pair: PairReport) -> str:
    return f"{'an' if pair.unit[:1] in 'aeiou' else 'a'} {pair.unit}"
