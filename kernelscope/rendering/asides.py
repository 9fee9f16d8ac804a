"""Lines below the table, for reports that need them: CKA within classes, and prefixes that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.rendering.wording import first_pairs, layer_name, short_names
from kernelscope.report.digits import NONE, measured, number
from kernelscope.report.verdict import verdict

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport
    from kernelscope.report.similarity_fields import Prefix

FAR_BELOW = 0.25  #: CKA less CKA within classes, above which classes hide how far the two are apart
MOST_NAMED = 6


def asides(report: TransferReport) -> list[str]:
    """Lines to stand below the table; mostly none."""
    names = short_names(report)
    return [*_within_classes(report, names), *_prefixes(report, names)]


def _within_classes(report: TransferReport, names: dict[str, str]) -> list[str]:
    """One line for all students whose verdict does not state it already."""
    found = [
        f"{names[pair.student]} {number(pair.within_class_cka.value, 2)} instead of {number(pair.cka, 2)}"
        for pair in first_pairs(report)
        if pair.within_class_cka is not None and _is_far_below(pair) and "within classes" not in verdict(pair)
    ]
    named = ", ".join(found[:MOST_NAMED]) + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")
    return [f"CKA with the means of classes taken off: {named}"] if found else []


def _is_far_below(pair: PairReport) -> bool:
    within = pair.within_class_cka
    return within is not None and pair.cka is not None and pair.cka - within.value > FAR_BELOW


def _prefixes(report: TransferReport, names: dict[str, str]) -> list[str]:
    return [
        f"{names[pair.student]} {layer_name(pair)}, first {each.dims}: {_numbers(each)}"
        for pair in report
        for each in pair.prefixes or ()
    ]


def _numbers(prefix: Prefix) -> str:
    if prefix.transfer_loss is None or prefix.interval is None:
        return NONE
    low, high = prefix.interval
    loss = measured(prefix.transfer_loss, (high - low) / 2)
    return f"loss {loss}, after best scalar {number(prefix.scaled)}, CKA {number(prefix.cka)}"
