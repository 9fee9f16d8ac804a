"""One sentence of what the numbers mean to a reader who has not read the paper, and what to do next.

The order of the rules stands here, the rules in verdict_worth.py and verdict_repair.py, their limits in
verdict_limits.py.
"""

from __future__ import annotations

from collections.abc import Callable

from kernelscope.report.digits import brief
from kernelscope.report.fields import PairReport
from kernelscope.report.verdict_limits import OPENINGS
from kernelscope.report.verdict_repair import (
    amplitude,
    directions,
    head,
    head_perhaps,
    one_class,
    rank_cut,
    scale,
    width,
    within_classes,
)
from kernelscope.report.verdict_worth import (
    as_by_chance,
    carried_by_few,
    collapsed,
    known_no_better,
    left_over,
    mostly_the_mean,
)

Rule = Callable[[PairReport], str | None]

#: asked in this order; the first that applies is the whole sentence
WORTH: tuple[Rule, ...] = (known_no_better, collapsed, as_by_chance, carried_by_few, mostly_the_mean, left_over)
#: asked next; the first that applies follows a word on how much of the kernel is there
FINDINGS: tuple[Rule, ...] = (
    scale,
    amplitude,
    head,
    rank_cut,
    one_class,
    head_perhaps,
    width,
    directions,
    within_classes,
)


def sentence(pair: PairReport) -> str:
    """The verdict as it was saved; of a report older than saved verdicts, as it would be today."""
    return pair.verdict if pair.verdict is not None else verdict(pair)


def verdict(pair: PairReport) -> str:
    """What the loss is, whether it means anything, which fix would lower it most, or where it sits."""
    for rule in WORTH:
        said = rule(pair)
        if said is not None:
            return said
    for finding in FINDINGS:
        said = finding(pair)
        if said is not None:
            # that most is there would mislead where it is there between classes only
            opening = f"loss {brief(pair.transfer_loss)}" if finding is within_classes else _opening(pair)
            return f"{opening}; {said}"
    return f"{_opening(pair)}; {_no_cheap_repair(pair)}"


def _opening(pair: PairReport) -> str:
    """How much of the teacher's kernel is there whatever its scale and mean."""
    above, centred = pair.null.above_chance, pair.ladder.centred
    if above is None or centred is None:
        return f"loss {brief(pair.transfer_loss)}, where 0 is the teacher's kernel and 1 what an all-zero student has"
    amount = next(words for least, most, words in OPENINGS if above >= least and centred <= most)
    return f"{amount} of the teacher's kernel is there (loss {brief(pair.transfer_loss)})"


def _no_cheap_repair(pair: PairReport) -> str:
    held_out = pair.ladder.head_held_out
    scaled, centred = pair.ladder.scaled, pair.ladder.centred
    tried = f"a factor leaves {brief(scaled)}"
    if centred is not None and centred > 2 * scaled:  # a factor that repairs the mean, and little else
        tried += f", but {brief(centred)} with the means taken off"
    if held_out is not None:
        tried += f", a linear head {brief(held_out)} on examples it has not seen"
    return f"no cheap repair: {tried}; train longer, or on the kernel itself"
