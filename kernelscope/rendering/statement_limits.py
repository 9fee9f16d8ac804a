"""What a statement says of its own limits: how sure it is, what a repair would leave, and what nobody can say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.statement_findings import by_chance, nothing_lost, number_up
from kernelscope.rendering.wording import layer_name, outputs_of, rows_in_words, short_names, units
from kernelscope.report.digits import interval, loss_in_digits, number
from kernelscope.report.known_intervals import over_examples
from kernelscope.report.notes import ONE_BY_ONE
from kernelscope.report.report import network_of
from kernelscope.report.verdict_limits import SIGNIFICANT
from kernelscope.report.verdict_worth import collapsed

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport

LEAST_P = 1e-15  #: below it a p-value is written as a limit
MOST_WARNINGS = 3
MOST_LAYERS = 4
FINGERPRINT = 12  #: characters of a SHA-256 that are written


def how_sure(pair: PairReport) -> list[str]:
    """Rounding, storage, other examples, chance, and the warnings that go with the pair."""
    said = [_rounding(pair)]
    if pair.storage_floor > 0:
        said.append(
            f"storing the features in less than float64 may have moved it by up to {number_up(pair.storage_floor)}"
        )
    said.append(_over_examples(pair))
    said.append(_chance(pair))
    said += [f"warning: {plain(warning.text)}" for warning in pair.warnings[:MOST_WARNINGS]]
    left = len(pair.warnings) - MOST_WARNINGS
    return [*said, f"further warnings in the report: {left}"] if left > 0 else said


def repair(pair: PairReport) -> list[str]:
    """What the loss would be after each fix; no word on whether it is worth it, which the verdict has."""
    if nothing_lost(pair) is not None:
        return ["nothing that can be told"]
    if not pair.resolved:
        return ["nothing can be named while the loss is not resolved"]
    if collapsed(pair) is not None:
        return ["no factor and no layer on top: there is nothing to start from"]
    if by_chance(pair):
        return ["nothing can be named while shuffled rows do as well"]
    ladder, loss = pair.ladder, loss_in_digits(pair)
    factor = ""
    if pair.kernel == "linear" and pair.optimal_scale is not None and pair.optimal_scale > 0:
        factor = f" (features times {math.sqrt(pair.optimal_scale):.3g})"
    said = [f"of {loss}, the best factor on the student's kernel{factor} leaves {number(ladder.scaled)}"]
    if ladder.head_held_out is not None:
        said.append(
            f"a linear head fitted on half of the {units(pair)} leaves {number(ladder.head_held_out)} on the other half"
        )
    elif ladder.head is not None:
        said.append(
            f"the best linear head leaves {number(ladder.head)} on the rows that it is fitted on, no others tried"
        )
    if ladder.width_floor == 0:
        said.append(f"its width, {pair.d_student:,}, sets no floor")
    elif ladder.width_floor is not None:
        said.append(f"no student of {pair.d_student:,} features has a loss below {number(ladder.width_floor)} here")
    return said


def open_questions(report: TransferReport, pair: PairReport) -> list[str]:
    """What no number of this report answers."""
    layers = list(dict.fromkeys(layer_name(p) for p in report if p.student == pair.student))
    more = f" and {len(layers) - MOST_LAYERS} more" if len(layers) > MOST_LAYERS else ""
    said = [
        "anything of inputs unlike these, and of layers other than " + ", ".join(layers[:MOST_LAYERS]) + more,
        "whether the student does its task well: kernels compare what two networks find alike, the loss is no error "
        "rate, and a teacher may be wrong",
    ]
    if nothing_lost(pair) is None:
        said.insert(1, "why it was lost: one run of training was measured, and nothing was changed on purpose")
    if pair.classes is None and nothing_lost(pair) is None:
        said.append("which classes it concerns: there were no labels, or too many classes")
    if outputs_of(report, pair.student) is None:
        said.append("how many answers changed: no logits were compared")
    if pair.sampling_interval is not None and any(note.startswith(ONE_BY_ONE) for note in pair.notes):
        said.append(f"whether the {units(pair)} are independent, as the 95% takes them to be")
    return said


def measured_on(report: TransferReport, pair: PairReport) -> list[str]:
    """Data, files and versions, as far as the report has them."""
    names, meta = short_names(report), report.meta
    of = f" of {plain(pair.split)}" if pair.split else ""
    order = "" if not pair.order_sha256 else f", in the order {plain(pair.order_sha256)[:FINGERPRINT]}"
    said = [f"{rows_in_words(pair)}{of}{order}, {plain(pair.kernel)} kernel, route {plain(pair.route)}"]
    files = []
    for name in dict.fromkeys((pair.teacher, pair.student)):
        network = network_of(report, name)
        digest = "" if network is None or not network.sha256 else f" {plain(network.sha256)[:FINGERPRINT]}"
        files.append(f"{names[name]}{digest}")
    widths = f"{pair.d_teacher:,} features" if pair.d_teacher == pair.d_student else (
        f"{pair.d_teacher:,} and {pair.d_student:,} features"
    )  # fmt: skip
    said.append(f"networks: {' and '.join(files)}, {widths}")
    versions = [f"{key} {plain(meta[key])}" for key in ("kernelscope", "python", "numpy") if meta.get(key)]
    created = plain(meta.get("created") or "")[:10]
    made = [*versions, *([f"on {created}"] if created else [])]
    return [*said, f"versions: {', '.join(made)}"] if made else said


def _rounding(pair: PairReport) -> str:
    low, high = pair.rounding_interval
    how = "proved" if pair.rounding_certified else "estimated"
    if (low, high) == (0.0, 0.0):
        return f"rounding: exactly 0 ({how})"
    if not pair.resolved:
        return f"rounding: the loss of the features as stored lies between {interval(low, high)} ({how})"
    off = max(high - pair.transfer_loss, pair.transfer_loss - low, 0.0)
    return f"rounding has moved the loss by at most {number_up(off)} ({how})"


def _over_examples(pair: PairReport) -> str:
    if pair.sampling_interval is None or not pair.resolved:
        return f"other examples of the same kind: {_no_interval(pair)}"
    low, high = pair.sampling_interval
    many = "" if pair.population_loss is None else f", {number(pair.population_loss)} for many of them"
    return f"other examples of the same kind: a loss of {number(low)} to {number(high)} (95%){many}"


def _no_interval(pair: PairReport) -> str:
    """Why there is none; the fix that a gate would name is left out."""
    known = over_examples(pair)
    reason = known.by.removeprefix("no interval over examples: ").partition(";")[0]
    return f"no interval ({plain(reason)})" if known.by else "no interval (the loss is not resolved)"


def _chance(pair: PairReport) -> str:
    p = pair.null.p_value
    if p is None:
        return "chance: not tested"
    shown = f"p < {LEAST_P:.0e}" if p < LEAST_P else f"p = {p:.1g}" if p < SIGNIFICANT / 10 else f"p = {p:.2g}"
    many = ""
    if pair.null.p_corrected is not None:
        many = f", corrected for the search over layers {pair.null.p_corrected:.2g}"
    if p > SIGNIFICANT:
        return f"chance is not ruled out: {shown}{many}"
    return f"chance: shuffled rows agree as well with {shown}{many}"
