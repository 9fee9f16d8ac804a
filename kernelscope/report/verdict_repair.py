"""What would lower the loss most, or where it sits: each rule gives half of a sentence, or None."""

from __future__ import annotations

import math

from kernelscope.report.digits import brief
from kernelscope.report.fields import PairReport
from kernelscope.report.verdict_limits import (
    AMPLITUDE,
    AT_THE_FLOOR,
    ELSEWHERE,
    FALLEN,
    MOSTLY_MEAN,
    ONE_CLASS,
    REPAIRED,
    SAME_LENGTH,
    SMALL_ENOUGH,
    TIMES_ITS_SHARE,
    WITHIN,
)


def scale(pair: PairReport) -> str | None:
    """One factor repairs it: not of rows that all have the same length, where no factor is to be found."""
    scaled, centred = pair.ladder.scaled, pair.ladder.centred
    if pair.kernel.startswith(("cosine", "ridge")) or _rows_of_one_length(pair) or pair.optimal_scale is None:
        return None
    if not pair.transfer_loss or scaled > SMALL_ENOUGH or (centred is not None and centred > SMALL_ENOUGH):
        return None
    left = scaled / pair.transfer_loss
    if not (REPAIRED.clearly_below(left) or REPAIRED.near(left)):
        return None
    factor = math.sqrt(pair.optimal_scale)
    what = "between a matter of scale and more" if REPAIRED.near(left) else "a matter of scale"
    return f"rescaling alone leaves {brief(scaled)}: {what}; multiply the student's features by {factor:.3g}"


def amplitude(pair: PairReport) -> str | None:
    """The mean fits and the deviations from it have another size."""
    ratio, centred = pair.centred_scale_ratio, pair.ladder.centred
    if ratio is None or centred is None or centred > SMALL_ENOUGH or ratio == 0:
        return None
    if min(mean_share(pair, "teacher"), mean_share(pair, "student")) <= MOSTLY_MEAN:
        return None
    if AMPLITUDE[0] <= ratio <= AMPLITUDE[1] or not AMPLITUDE[0] <= pair.scale_ratio <= AMPLITUDE[1]:
        return None
    return (
        f"the mean fits, the deviations from it have the wrong amplitude: centred, one factor leaves {brief(centred)}; "
        f"multiply the deviations by {1 / math.sqrt(ratio):.3g}"
    )


def head(pair: PairReport) -> str | None:
    """Only the head that was held out may be put into words."""
    held_out, least = pair.ladder.head_held_out, min(pair.transfer_loss, pair.ladder.scaled)
    if held_out is None or held_out > SMALL_ENOUGH or least == 0:
        return None
    if not REPAIRED.clearly_below(held_out / least):
        return None
    return (
        f"a linear head would leave {brief(held_out)} on examples it has not seen: the information is there, the "
        "geometry is not; add a linear layer"
    )


def head_perhaps(pair: PairReport) -> str | None:
    """A linear head whose held-out loss is near the limit."""
    held_out, least = pair.ladder.head_held_out, min(pair.transfer_loss, pair.ladder.scaled)
    if held_out is None or held_out > SMALL_ENOUGH or least == 0 or not REPAIRED.near(held_out / least):
        return None
    return (
        f"a linear head would leave {brief(held_out)} on examples it has not seen: between a matter of geometry "
        "and more"
    )


def rank_cut(pair: PairReport) -> str | None:
    """Directions that are gone altogether, and not for want of width."""
    if pair.feature_spectrum is None:
        return None
    teacher, student = pair.feature_spectrum.teacher.rank, pair.feature_spectrum.student.rank
    if student > min(teacher, pair.d_student) / 2:
        return None
    return (
        f"it spans {student} directions where the teacher spans {teacher}: the others are lost; look for a bottleneck, "
        "or raise the rank"
    )


def one_class(pair: PairReport) -> str | None:
    """One class carries much more than its share, or what does not involve it is nearly right."""
    if pair.classes is None or pair.classes.sizes is None or len(pair.classes.sizes) < 2:
        return None
    carried = [sum(row) for row in pair.classes.loss]
    worst = max(range(len(carried)), key=carried.__getitem__)
    share = pair.classes.sizes[worst] / sum(pair.classes.sizes)
    others = 1 - 2 * carried[worst] + pair.classes.loss[worst][worst]
    alone = others <= ELSEWHERE * (1 - share) ** 2
    between = ONE_CLASS.near(carried[worst]) and not alone
    much = (between or carried[worst] > ONE_CLASS.value) and carried[worst] >= TIMES_ITS_SHARE * share
    if not (much or alone):
        return None
    what = "between a matter of one class and of all" if between else "look at that class first"
    return (
        f"class {pair.classes.names[worst]} carries {carried[worst]:.0%} of the loss with {share:.0%} of the examples: "
        f"{what}"
    )


def width(pair: PairReport) -> str | None:
    """The student has about the least loss that its width allows."""
    floor = pair.ladder.width_floor
    if not floor or not (pair.transfer_loss / floor <= AT_THE_FLOOR.value * (1 + AT_THE_FLOOR.margin)):
        return None
    what = "between the width's share and more" if AT_THE_FLOOR.near(pair.transfer_loss / floor) else "widen it"
    return f"its width of {pair.d_student} allows no less than {brief(floor)}: {what}"


def directions(pair: PairReport) -> str | None:
    """The student's features vary in far fewer directions than the teacher's."""
    if pair.feature_spectrum is None:
        return None
    teacher, student = (
        getattr(pair.feature_spectrum, which).centred_effective_rank for which in ("teacher", "student")
    )
    if not teacher or not student:
        return None
    if not (FALLEN.clearly_below(student / teacher) or FALLEN.near(student / teacher)):
        return None
    what = "between some and most of them are lost" if FALLEN.near(student / teacher) else "most of them are lost"
    return f"its features keep about {student:.0f} of the teacher's {teacher:.0f} effective directions: {what}"


def within_classes(pair: PairReport) -> str | None:
    """The classes agree, what varies inside them does not."""
    within = pair.within_class_cka
    if within is None or within.value is None or not pair.cka:
        return None
    left = (within.value - (within.chance or 0.0)) / pair.cka
    if not (WITHIN.clearly_below(left) or WITHIN.near(left)):
        return None
    much = "between some and little of it" if WITHIN.near(left) else "little of it"
    return (
        f"the kernels agree between classes (CKA {brief(pair.cka)}), within classes {much} (CKA "
        f"{brief(within.value)}): no cheap repair; train on examples, class centres cannot see that"
    )


def mean_share(pair: PairReport, which: str) -> float:
    """The share of ``‖X‖²`` that is the mean's; 0 where it is not known."""
    spectra = pair.feature_spectrum
    return (None if spectra is None else getattr(spectra, which).mean_share) or 0.0


def _rows_of_one_length(pair: PairReport) -> bool:
    """Whether all rows of both networks have the same length, so that no factor can be missing."""
    spectra = pair.feature_spectrum
    if spectra is None or spectra.teacher.row_length is None or spectra.student.row_length is None:
        return False
    return math.isclose(spectra.teacher.row_length, spectra.student.row_length, rel_tol=SAME_LENGTH)
