"""How names and numbers are written: the same on a terminal, a page and a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import PurePath

from kernelscope.errors import plain
from kernelscope.report.fields import NetworkReport, PairReport
from kernelscope.report.report import TransferReport

NONE = "–"
PLAIN_DECIMALS = 3
VISIBLE = 0.05  #: share of a loss that it may be off by without a reader minding


def short_names(report: TransferReport) -> dict[str, str]:
    """Every teacher's and student's name without folders, or with as many folders as tell two files apart."""
    names = list(dict.fromkeys(name for pair in report for name in (pair.teacher, pair.student)))
    names += [network.name for network in report.networks if network.name not in names]
    parts = {name: PurePath(name).parts or (name,) for name in names}
    return {name: plain(_shortest(parts[name], [parts[other] for other in names if other != name])) for name in names}


def layer_name(pair: PairReport) -> str:
    """The layer, or ``teacher's = student's`` where they differ."""
    if pair.teacher_layer == pair.student_layer:
        return plain(pair.student_layer)
    return plain(f"{pair.teacher_layer} = {pair.student_layer}")


def first_pairs(report: TransferReport) -> list[PairReport]:
    """One pair of each student: the embedding where it was measured, else the first."""
    found: dict[str, PairReport] = {}
    for pair in report:
        known = found.setdefault(pair.student, pair)
        if _is_embedding(pair) and not _is_embedding(known):
            found[pair.student] = pair
    return list(found.values())


def network_of(report: TransferReport, name: str) -> NetworkReport | None:
    return next((network for network in report.networks if network.name == name), None)


def number(value: float | None, decimals: int = PLAIN_DECIMALS) -> str:
    """A number short enough for a table: ``0.753``, ``615.3``, ``1,382``, ``8.98e6``, ``2.3e-5``."""
    if value is None:
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    if size < 10.0**-decimals:
        return _scientific(value, 1)
    if size < 99.9995:
        return f"{value:.{decimals}f}"
    if size < 999.95:
        return f"{value:.{max(0, decimals - 2)}f}"
    return f"{value:,.0f}" if size < 999_999.5 else _scientific(value, 2)


def multiple(value: float | None) -> str:
    """A factor: ``1,382×``."""
    if value is None:
        return NONE
    return f"{number(value, 3 if abs(value) < 2 else 2)}×"


def percent(value: float | None, decimals: int = 1) -> str:
    return NONE if value is None else f"{100 * value:.{decimals}f}%"


def loss_in_digits(pair: PairReport) -> str:
    """The loss in digits that mean something; where it is not resolved, the interval alone."""
    low, high = pair.rounding_interval
    if not pair.resolved:
        return interval(low, high)
    half = (high - low) / 2
    if pair.transfer_loss <= half:
        return "0" if high == 0 else f"<{_outward(high, up=True)}"
    return measured(pair.transfer_loss, half)


def population(pair: PairReport) -> float | None:
    """The loss over other examples, unless rounding leaves the loss itself open."""
    return pair.population_loss if pair.resolved else None


def population_says_more(pair: PairReport) -> bool:
    """Whether many examples would have another loss than these: off by a twentieth, or outside of what is likely."""
    expected, likely = population(pair), pair.sampling_interval
    if expected is None or likely is None:
        return False
    outside = pair.rounding_interval[0] > likely[1] or pair.rounding_interval[1] < likely[0]
    return outside or abs(expected - pair.transfer_loss) > VISIBLE * pair.transfer_loss


def measured(value: float, half_width: float) -> str:
    """``value`` rounded no coarser than keeps it inside its interval, and no finer than a table shows."""
    if half_width <= 0:
        return number(value)
    known = math.ceil(-math.log10(2 * half_width))
    if value < 10.0**-PLAIN_DECIMALS:
        return _scientific(value, max(0, min(1, known + math.floor(math.log10(value)))))
    shown = number(value)
    if "e" in shown or known >= len(shown.partition(".")[2]):
        return shown
    return f"{value:,.{known}f}" if known > 0 else f"{round(value, known):,.0f}"


def interval(low: float, high: float) -> str:
    """``low to high``, rounded outward, so that what it contained it still contains."""
    return f"{_outward(low, up=False)} to {_outward(high, up=True)}"


def grouped(said: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(where, text) pairs by text: a thing said of six pairs is said once, with the six places."""
    places: dict[str, list[str]] = {}
    for where, text in said:
        known = places.setdefault(plain(text), [])
        if where not in known:
            known.append(where)
    return list(places.items())


def rows_in_words(pair: PairReport) -> str:
    """``450 examples``, ``6,551 tokens``."""
    return f"{pair.n:,} {'patche' if pair.unit == 'patch' else pair.unit}s"


def warnings_by_text(report: TransferReport) -> list[tuple[str, str]]:
    """(text, where) of every warning of the report."""
    names = short_names(report)
    found = grouped((f"{names[p.student]} {layer_name(p)}", w.text) for p in report for w in p.warnings)
    return [(text, _places(where, len(report))) for text, where in found]


def notes_by_text(report: TransferReport) -> list[tuple[str, str]]:
    """(text, where) of every note of the report."""
    names = short_names(report)
    found = grouped((f"{names[p.student]} {layer_name(p)}", note) for p in report for note in p.notes)
    return [(text, _places(where, len(report))) for text, where in found]


def _places(where: list[str], pairs: int) -> str:
    if len(where) == pairs and pairs > 1:
        return "every pair"
    return ", ".join(where) if len(where) <= 6 else f"{', '.join(where[:6])} and {len(where) - 6} more"


def _is_embedding(pair: PairReport) -> bool:
    return pair.student_layer == "embedding"


def _shortest(parts: tuple[str, ...], others: list[tuple[str, ...]]) -> str:
    """The shortest tail of ``parts`` that no other path ends with."""
    for length in range(1, len(parts) + 1):
        if all(other[-length:] != parts[-length:] for other in others):
            return str(PurePath(*parts[-length:]))
    return str(PurePath(*parts))


def _scientific(value: float, decimals: int) -> str:
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _outward(value: float, *, up: bool) -> str:
    """Two digits, rounded up or down."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    unit = 10.0 ** (exponent - 1)
    rounded = (math.ceil if up else math.floor)(value / unit) * unit
    return _scientific(rounded, 1) if not 1e-3 <= abs(rounded) < 1000 else f"{rounded:.{max(0, 1 - exponent)}f}"
