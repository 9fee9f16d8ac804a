"""Figures of training: accuracy and loss terms epoch by epoch, as far as the checkpoints hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from kernelscope.rendering.plots.canvas import COLOURS, INK, dress, label_ends, log_ticks, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import Networks
    from kernelscope.report.fields import NetworkReport

Dash = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 2)), (0, (2, 4)))
LARGEST = 1e250  #: beyond it, and for NaN, a file means nothing

Curve = list[tuple[float, float]]


def accuracy_curve(network: NetworkReport) -> Curve:
    """(epoch, validation accuracy)."""
    return _curve((i, record, record.get("validation_top1")) for i, record in _records(network))


def loss_curves(network: NetworkReport) -> dict[str, Curve]:
    """(epoch, mean loss) of every term."""
    losses = [(i, r, loss) for i, r in _records(network) if isinstance(loss := r.get("loss"), dict)]
    found = {}
    for term in dict.fromkeys(str(term) for *_, loss in losses for term in loss):
        points = ((i, record, loss.get(term)) for i, record, loss in losses)
        if curve := [(epoch, loss) for epoch, loss in _curve(points) if loss > 0]:  # 0: not switched on yet
            found[term] = curve
    return found


def training(ax: Axes, shown: Networks) -> None:
    """Validation accuracy, or the terms of the loss, by epoch."""
    ends: list[tuple[float, str, str]] = []
    values: list[float] = []
    for network, label, number in shown.networks:
        colour = INK if number is None else COLOURS[number % len(COLOURS)]
        curves = {"": accuracy_curve(network)} if shown.quantity == "accuracy" else loss_curves(network)
        for i, (term, curve) in enumerate(curves.items()):
            if not curve:
                continue
            epochs, heights = zip(*curve)
            ax.plot(epochs, heights, color=colour, linewidth=1.5, linestyle=DASHES[i % len(DASHES)])
            name = shortened(label, 16)
            ends.append((heights[-1], f"{name}: {shortened(term, 18)}" if term else name, colour))
            values += heights
    if shown.quantity == "accuracy":
        low = min(values, default=0.0)
        ax.set_ylim(max(0.0, low - 0.05), 1.005)
    else:
        ax.set_yscale("log")
        log_ticks(ax, "y")
        ax.set_ylim(min(values, default=1.0) / 1.5, max(values, default=1.0) * 1.5)
    dress(
        ax,
        shown.title,
        x="epoch",
        y="validation accuracy" if shown.quantity == "accuracy" else "mean loss term (log scale)",
    )
    label_ends(ax, ends)


def _records(network: NetworkReport) -> list[tuple[int, dict[str, object]]]:
    """Epochs as the file gives them; anything that is not a record is passed over."""
    history = network.history if isinstance(network.history, list) else []
    return [(i + 1, record) for i, record in enumerate(history) if isinstance(record, dict)]


def _curve(points: Iterable[tuple[int, dict[str, object], object]]) -> Curve:
    """Points that are numbers; a file may hold anything."""
    found = []
    for i, record, value in points:
        epoch = record.get("epoch", i)
        if is_number(epoch) and is_number(value):
            found.append((float(epoch), float(value)))
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value from a file can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST
