"""One line per student, in words: what the numbers say to somebody who has not read the paper."""

from __future__ import annotations

from kernelscope.report.fields import PairReport


def verdict(pair: PairReport) -> str:
    """What the loss is, what kind of fix would lower it most, and whether chance would do as well."""
    loss = pair.transfer_loss
    if pair.rounding_interval == (0.0, 0.0):
        return "the student has the teacher's kernel exactly"
    if not pair.resolved:
        low, high = pair.rounding_interval
        return (
            f"too close to the teacher to tell apart in this precision: the loss lies between {low:.1e} and {high:.1e}"
        )
    if pair.null.p_value is not None and pair.null.p_value > 0.05:
        return f"no better than chance: shuffling the examples does as well (p = {pair.null.p_value:.2f})"
    return f"{_opening(pair, loss)}; {_fix(pair)}"


def _opening(pair: PairReport, loss: float) -> str:
    if loss < 0.05:
        return f"nearly the teacher's kernel (loss {loss:.2g})"
    if loss < 0.3:
        return f"most of the teacher's kernel is there (loss {loss:.2f})"
    if loss < 0.7:
        return f"a good part of the teacher's kernel is there (loss {loss:.2f})"
    if loss < 1.0:
        return f"little of the teacher's kernel is there as it stands (loss {loss:.2f})"
    return f"farther from the teacher than no kernel at all (loss {loss:.2f}, an all-zero student has 1)"


def _fix(pair: PairReport) -> str:
    """The cheapest fix that removes at least half of what is left, else the honest rest."""
    ladder = pair.ladder
    loss = ladder.raw
    floor = ladder.width_floor
    if floor is not None and floor > 0.8 * loss:
        return f"its width allows no less than {floor:.2f}: widen it"
    if ladder.scaled <= 0.5 * loss:
        return f"rescaling alone leaves {ladder.scaled:.2f}: mostly a matter of scale"
    if ladder.head is not None and ladder.head <= 0.5 * ladder.scaled:
        return (
            f"rescaling leaves {ladder.scaled:.2f}, a linear head would leave {ladder.head:.2f}: the information is "
            "there, the geometry is not"
        )
    if ladder.head is not None and loss < 0.3:
        return f"little is left to repair: {ladder.scaled:.2g} after a scalar, {ladder.head:.2g} after a linear head"
    if ladder.head is not None:
        return f"neither a scalar ({ladder.scaled:.2f}) nor a linear head ({ladder.head:.2f}) would halve it: retrain"
    return f"rescaling leaves {ladder.scaled:.2f}"
