"""One line per student, in words: what the numbers say to somebody who has not read the paper, and what to do next.

The rules stand in the order in which they are asked; the first that applies speaks. Every limit stands in one table,
with the margin inside which the sentence says "between" rather than flip at a hair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from kernelscope.report.fields import PairReport


@dataclass(frozen=True)
class Limit:
    """A value up to which something is said; within ``margin`` of it, relative, it is said to lie between."""

    value: float
    margin: float = 0.1

    def clearly_below(self, x: float) -> bool:
        return x <= self.value * (1 - self.margin)

    def near(self, x: float) -> bool:
        return abs(x - self.value) < self.value * self.margin


SIGNIFICANT = 0.05  #: p-value above which shuffled examples do as well
NOTHING_MUCH = Limit(0.05)  #: above_chance below which that is so for all purposes, however many examples prove it
NEARLY = 0.05  #: loss below which nothing is left to repair
NEARLY_CENTRED = 0.15  #: if the centred rung is below this too
MOSTLY_MEAN = 0.5  #: share of ‖X‖² that is the mean's, in both networks
BEYOND_THE_MEAN = Limit(0.25)  #: above_chance, below which networks that are mostly mean share little else
REPAIRED = Limit(0.5)  #: share of the loss that a fix leaves, for the loss to be a matter of that fix
SMALL_ENOUGH = 0.5  #: and the loss it leaves
SAME_LENGTH = 0.05
AMPLITUDE = (0.5, 2.0)  #: ‖HK_SH‖ / ‖HK_TH‖ outside of which deviations from the mean have another size
ONE_CLASS = Limit(0.3)  #: share of ‖Δ‖² in the rows of one class, which is also three times its share of the examples
TIMES_ITS_SHARE = 3.0
ELSEWHERE = 0.15  #: or what other classes have among themselves, over what they had if all pairs were alike
WITHIN = Limit(0.2)  #: CKA within classes above its chance, over CKA: below it the classes agree, their insides do not
AT_THE_FLOOR = Limit(1.25)  #: loss over the least that the student's width allows
FALLEN = Limit(1 / 3)  #: the student's effective rank over the teacher's, means removed
OPENINGS = (  # above_chance from, centred rung up to
    (0.9, 0.45, "nearly all"),
    (0.6, 0.8, "most"),
    (0.3, 0.96, "a good part"),
    (0.1, 1.0, "a little"),
    (-math.inf, math.inf, "hardly anything"),
)


def sentence(pair: PairReport) -> str:
    """The verdict as it was saved; of a report older than saved verdicts, as it would be today."""
    return pair.verdict if pair.verdict is not None else verdict(pair)


def verdict(pair: PairReport) -> str:
    """What the loss is, whether it means anything, which fix would lower it most, or where it sits."""
    for rule in (_known_no_better, _collapsed, _as_by_chance, _carried_by_few, _mostly_the_mean, _left_over):
        said = rule(pair)
        if said is not None:
            return said
    for finding in FINDINGS:
        said = finding(pair)
        if said is not None:
            # that most is there would mislead where it is there between classes only
            opening = f"loss {_two(_loss(pair))}" if finding is _within_classes else _opening(pair)
            return f"{opening}; {said}"
    return f"{_opening(pair)}; {_no_cheap_repair(pair)}"


def _known_no_better(pair: PairReport) -> str | None:
    """Precision: equal, equal within storage, or not resolved."""
    low, high = pair.rounding_interval
    if (low, high) == (0.0, 0.0):
        return "the student has the teacher's kernel exactly"
    if not pair.resolved:
        return f"the loss is only known to lie between {_short(low)} and {_short(high)}: {_how_to_resolve(pair)}"
    if high <= pair.storage_floor:
        return (
            f"equal within storage: a loss of {_short(_loss(pair))} is no more than storing the features in less than "
            "float64 may have done; nothing to repair"
        )
    return None


def _how_to_resolve(pair: PairReport) -> str:
    if pair.route == "pairs-estimate":
        return "it is estimated from drawn pairs of examples; --route blocked forms all of them"
    return "too close to the teacher to tell apart by this route; take --route auto"


def _collapsed(pair: PairReport) -> str | None:
    if pair.norm_student == 0:
        return "the student's features are all zero: it has collapsed, or the layer is dead"
    if pair.feature_spectrum is None:
        return None
    for name in ("teacher", "student"):
        if getattr(pair.feature_spectrum, name).centred_effective_rank == 0:
            return (
                f"the {name}'s features are constant, the same for all examples: it has collapsed at this layer, and "
                f"the loss ({_two(_loss(pair))}) compares nothing; look at another layer, or at its training"
            )
    return None


def _as_by_chance(pair: PairReport) -> str | None:
    p, above = pair.null.p_value, pair.null.above_chance
    if p is None:
        return None
    if p > SIGNIFICANT:
        return f"no better than chance: shuffling the examples does as well (p = {p:.2f})"
    if above is not None and above < NOTHING_MUCH.value * (1 + NOTHING_MUCH.margin):
        how = "hardly" if NOTHING_MUCH.clearly_below(above) else "between hardly and somewhat"
        return (
            f"{how} better than chance: {_two(max(0.0, above))} above it, where 1 is the teacher's kernel (p = {p:.1g})"
        )
    return None


def _carried_by_few(pair: PairReport) -> str | None:
    """Two numbers differ, and one of them is about a handful of examples."""
    found = pair.outliers
    if found is None or found.loss_without is None:
        return None
    if 0.5 * _loss(pair) <= found.loss_without <= 2 * _loss(pair):
        return None
    return (
        f"{found.count} of {pair.n:,} examples carry half of the teacher's kernel: the loss is {_two(_loss(pair))} "
        f"with them and {_two(found.loss_without)} without the heaviest {found.left_out}; look at these examples first"
    )


def _mostly_the_mean(pair: PairReport) -> str | None:
    above = pair.null.above_chance
    if above is None or min(_mean_share(pair, "teacher"), _mean_share(pair, "student")) <= MOSTLY_MEAN:
        return None
    if not (BEYOND_THE_MEAN.clearly_below(above) or BEYOND_THE_MEAN.near(above)):
        return None
    centred = "" if pair.ladder.centred is None else f" (centred, the best factor leaves {_two(pair.ladder.centred)})"
    amount = "between little and some" if BEYOND_THE_MEAN.near(above) else "little"
    rank = "" if (cut := _rank_cut(pair)) is None else f"; {cut}"
    return (
        f"what the two share is mostly the mean direction, common to all examples: loss {_two(_loss(pair))}, but "
        f"beyond the mean {amount} is shared{centred}; judge by --centre{rank}"
    )


def _left_over(pair: PairReport) -> str | None:
    """A small loss; where a mean dominates, it is small whatever the rest does, which has to agree too."""
    centred, ratio = pair.ladder.centred, pair.centred_scale_ratio
    if _loss(pair) >= NEARLY or (centred or 0.0) > NEARLY_CENTRED:
        return None
    if ratio is not None and not AMPLITUDE[0] <= ratio <= AMPLITUDE[1]:
        return None
    return f"nearly the teacher's kernel (loss {_short(_loss(pair))}); little is left to repair"


def _opening(pair: PairReport) -> str:
    """How much of the teacher's kernel is there whatever its scale and mean."""
    above, centred = pair.null.above_chance, pair.ladder.centred
    if above is None or centred is None:
        return f"loss {_two(_loss(pair))}, where 0 is the teacher's kernel and 1 what an all-zero student has"
    amount = next(words for least, most, words in OPENINGS if above >= least and centred <= most)
    return f"{amount} of the teacher's kernel is there (loss {_two(_loss(pair))})"


def _scale(pair: PairReport) -> str | None:
    """One factor repairs it: not of rows that all have the same length, where no factor is to be found."""
    scaled, centred = pair.ladder.scaled, pair.ladder.centred
    if pair.kernel.startswith(("cosine", "ridge")) or _rows_of_one_length(pair) or pair.optimal_scale is None:
        return None
    if scaled > SMALL_ENOUGH or (centred is not None and centred > SMALL_ENOUGH):
        return None
    left = scaled / _loss(pair)
    if not (REPAIRED.clearly_below(left) or REPAIRED.near(left)):
        return None
    factor = math.sqrt(pair.optimal_scale)
    what = "between a matter of scale and more" if REPAIRED.near(left) else "a matter of scale"
    return f"rescaling alone leaves {_two(scaled)}: {what}; multiply the student's features by {factor:.3g}"


def _amplitude(pair: PairReport) -> str | None:
    """The mean fits and the deviations from it have another size."""
    ratio, centred = pair.centred_scale_ratio, pair.ladder.centred
    if ratio is None or centred is None or centred > SMALL_ENOUGH or ratio == 0:
        return None
    if min(_mean_share(pair, "teacher"), _mean_share(pair, "student")) <= MOSTLY_MEAN:
        return None
    if AMPLITUDE[0] <= ratio <= AMPLITUDE[1] or not AMPLITUDE[0] <= pair.scale_ratio <= AMPLITUDE[1]:
        return None
    return (
        f"the mean fits, the deviations from it have the wrong amplitude: centred, one factor leaves {_two(centred)}; "
        f"multiply the deviations by {1 / math.sqrt(ratio):.3g}"
    )


def _head(pair: PairReport) -> str | None:
    """Only the head that was held out may be put into words."""
    held_out, least = pair.ladder.head_held_out, min(_loss(pair), pair.ladder.scaled)
    if held_out is None or held_out > SMALL_ENOUGH or least == 0:
        return None
    if not REPAIRED.clearly_below(held_out / least):
        return None
    return (
        f"a linear head would leave {_two(held_out)} on examples it has not seen: the information is there, the "
        "geometry is not; add a linear layer"
    )


def _head_perhaps(pair: PairReport) -> str | None:
    held_out, least = pair.ladder.head_held_out, min(_loss(pair), pair.ladder.scaled)
    if held_out is None or held_out > SMALL_ENOUGH or least == 0 or not REPAIRED.near(held_out / least):
        return None
    return (
        f"a linear head would leave {_two(held_out)} on examples it has not seen: between a matter of geometry and more"
    )


def _one_class(pair: PairReport) -> str | None:
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


def _within_classes(pair: PairReport) -> str | None:
    within = pair.within_class_cka
    if within is None or within.value is None or not pair.cka:
        return None
    left = (within.value - (within.chance or 0.0)) / pair.cka
    if not (WITHIN.clearly_below(left) or WITHIN.near(left)):
        return None
    much = "between some and little of it" if WITHIN.near(left) else "little of it"
    return (
        f"the kernels agree between classes (CKA {_two(pair.cka)}), within classes {much} (CKA {_two(within.value)}): "
        "no cheap repair; train on examples, class centres cannot see that"
    )


def _width(pair: PairReport) -> str | None:
    floor = pair.ladder.width_floor
    if not floor or not (_loss(pair) / floor <= AT_THE_FLOOR.value * (1 + AT_THE_FLOOR.margin)):
        return None
    what = "between the width's share and more" if AT_THE_FLOOR.near(_loss(pair) / floor) else "widen it"
    return f"its width of {pair.d_student} allows no less than {_two(floor)}: {what}"


def _rank_cut(pair: PairReport) -> str | None:
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


def _directions(pair: PairReport) -> str | None:
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


def _no_cheap_repair(pair: PairReport) -> str:
    held_out = pair.ladder.head_held_out
    tried = f"a factor leaves {_two(pair.ladder.scaled)}"
    if held_out is not None:
        tried += f", a linear head {_two(held_out)} on examples it has not seen"
    return f"no cheap repair: {tried}; train longer, or on the kernel itself"


FINDINGS: tuple[Callable[[PairReport], str | None], ...] = (
    _scale,
    _amplitude,
    _head,
    _rank_cut,
    _one_class,
    _head_perhaps,
    _width,
    _directions,
    _within_classes,
)


def _loss(pair: PairReport) -> float:
    return pair.transfer_loss


def _mean_share(pair: PairReport, which: str) -> float:
    spectra = pair.feature_spectrum
    return (None if spectra is None else getattr(spectra, which).mean_share) or 0.0


def _rows_of_one_length(pair: PairReport) -> bool:
    """Whether all rows of both networks have the same length, so that no factor can be missing."""
    spectra = pair.feature_spectrum
    if spectra is None or spectra.teacher.row_length is None or spectra.student.row_length is None:
        return False
    return math.isclose(spectra.teacher.row_length, spectra.student.row_length, rel_tol=SAME_LENGTH)


def _two(value: float) -> str:
    """Two decimals, or two digits where that would be 0."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else _short(value)


def _short(value: float) -> str:
    return f"{value:.2g}"
