"""How numbers are written: the same on a terminal, a page and a figure."""

from __future__ import annotations

import math

from kernelscope.report.fields import PairReport

NONE = "–"
PLAIN_DECIMALS = 3
VISIBLE = 0.05  #: share of a loss that it may be off by without a reader minding


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
    """``98.4%``."""
    return NONE if value is None else f"{100 * value:.{decimals}f}%"


def brief(value: float) -> str:
    """Two decimals, or two digits where that would be 0."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else two_digits(value)


def two_digits(value: float) -> str:
    """Two significant digits."""
    return f"{value:.2g}"


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


def population_differs(pair: PairReport) -> bool:
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
