"""Figures of trajectories: how the student's kernel came to be what it is, epoch by epoch (the paper's Figures 4, 5).

Each point is of the first validation examples, in eval mode, with class means as landmarks, as the checkpoint holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.rendering.plots.canvas import COLOURS, INK, SOFT, dress, label_ends, log_ticks, shortened, words
from kernelscope.rendering.plots.training import DASHES, Curve, is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.rendering.plots.shown import Networks
    from kernelscope.report.fields import NetworkReport


MOST_NAMED = 3  #: students, each of whose curves is named; of more only the first, and the axis says what others are
DASH_WORDS = ("dashed:", "dotted:")


@dataclass(frozen=True)
class Quantity:
    """What a figure shows: curves by their path in a point and their name; ``line`` a level and what it is.

    ``shared`` is the curve that all students have in common, drawn once.
    """

    title: str
    y: str
    curves: dict[str, str]
    log: bool = False
    one_student: bool = False
    line: tuple[float, str] | None = None
    shared: str = ""
    of_history: bool = False


QUANTITIES: dict[str, Quantity] = {
    "loss": Quantity(
        "Transfer loss while training",
        "loss (log scale)",
        {"transfer_loss": "", "scaled": "best scalar", "head_held_out": "linear head"},
        log=True,
    ),
    "estimate": Quantity(
        "The paper's estimate beside the loss (Figure 4)",
        "loss and estimates (log scale)",
        {"transfer_loss": "", "expanded_estimate": "expanded", "estimate": "estimate"},
        log=True,
    ),
    "eigenvalues": Quantity(
        "Smallest eigenvalues of W (Figure 5)",
        "smallest eigenvalue (log scale)",
        {"min_eigenvalue_student": "", "min_eigenvalue_teacher": "teacher"},
        log=True,
        line=(1.0, "assumed above"),
        shared="teacher",
    ),
    "bounds": Quantity(
        "Bounds on the loss while training",
        "over ‖K_T‖ (log scale)",
        {
            "transfer_loss": "loss",
            "bounds.theorem2": "Theorem 2",
            "bounds.theorem2_frobenius": "its Frobenius form",
            "bounds.corollary2": "Corollary 2, corrected",
            "bounds.class_centres_upper": "class centres, upper",
            "bounds.class_centres_lower": "class centres, lower",
        },
        log=True,
        one_student=True,
    ),
    "cka": Quantity("CKA while training", "CKA with the teacher", {"cka": ""}),
    "neighbours": Quantity("kNN overlap while training", "share of nearest neighbours kept", {"neighbours": ""}),
    "gradients": Quantity(
        "Gradients of the two parts of the sum",
        "norm on an epoch's first batch (log scale)",
        {"gradient.ce": "cross-entropy", "gradient.distill": "distillation"},
        log=True,
        of_history=True,
    ),
}


def curves(network: NetworkReport, quantity: Quantity, layer: str) -> dict[str, Curve]:
    """(epoch, value) by the curve's name, of those that have a value; a file may hold anything."""
    found = {}
    for path, name in quantity.curves.items():
        points = [(epoch, _at(point, path)) for epoch, point in _points(network, quantity, layer)]
        curve = [(epoch, value) for epoch, value in points if value is not None and (value > 0 or not quantity.log)]
        if curve:
            found[name] = curve
    return found


def layers(network: NetworkReport) -> list[str]:
    """The layers that a network's trajectory follows."""
    records = network.trajectory if isinstance(network.trajectory, list) else []
    return list(dict.fromkeys(str(layer) for record in records for layer in _dict(_dict(record).get("layers"))))


def trajectory(ax: Axes, shown: Networks) -> None:
    """Loss, estimates, eigenvalues, bounds, CKA or gradients of the students, epoch by epoch."""
    quantity, layer = QUANTITIES[shown.quantity], shown.layer
    ends: list[tuple[float, str, str]] = []
    values: list[float] = []
    crowded = len(shown.networks) > MOST_NAMED and "" in quantity.curves.values()
    for number, (network, label, student) in enumerate(shown.networks):
        found = curves(network, quantity, layer)
        for dash, name in zip(DASHES, quantity.curves.values()):
            common = bool(name) and name == quantity.shared
            if name not in found or (common and number > 0):
                continue
            epochs, heights = zip(*found[name])
            colour = INK if common or student is None else COLOURS[student % len(COLOURS)]
            ax.plot(epochs, heights, color=colour, linewidth=1.5, linestyle=dash, marker="." if len(epochs) < 4 else "")
            beside = shortened(label, 16)
            said = name if quantity.one_student or common else f"{beside}: {name}" if name else beside
            if not (crowded and name and not common):
                ends.append((heights[-1], said, INK if quantity.one_student else colour))
            values += heights
        if shown.quantity == "loss":
            _sampling(ax, network, quantity, layer, COLOURS[(student or 0) % len(COLOURS)])
    if quantity.line is not None:
        level, text = quantity.line
        ax.axhline(level, color=SOFT, linewidth=1.0, linestyle=(0, (2, 2)))
        ends.append((level, f"{text} {level:g}", SOFT))
        values.append(level)
    _scale(ax, quantity, values)
    where = "" if quantity.of_history else f": {words(layer)}"
    where += f", {shortened(shown.networks[0][1])}" if quantity.one_student else ""
    others = [name for name in quantity.curves.values() if name and name != quantity.shared]
    dashes = ", ".join(f"{word} {name}" for word, name in zip(DASH_WORDS, others)) if crowded and others else ""
    dress(ax, f"{shown.title}{where}", x=shown.unit, y=quantity.y + (f"\n{dashes}" if dashes else ""))
    label_ends(ax, ends)


def _sampling(ax: Axes, network: NetworkReport, quantity: Quantity, layer: str, colour: str) -> None:
    """Where the loss lies for other examples, where the points have it."""
    found = []
    for epoch, point in _points(network, quantity, layer):
        ends = point.get("sampling_interval")
        if isinstance(ends, (list, tuple)) and len(ends) == 2 and all(is_number(end) and end > 0 for end in ends):
            found.append((epoch, *ends))
    if len(found) > 1:
        epochs, low, high = zip(*found)
        ax.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)


def _scale(ax: Axes, quantity: Quantity, values: list[float]) -> None:
    low, high = min(values, default=0.5), max(values, default=1.0)
    if quantity.log:
        ax.set_yscale("log")
        log_ticks(ax, "y")
        ax.set_ylim(low / 1.5, high * 1.5)
    else:
        ax.set_ylim(0, 1.05 * max(high, 1e-12))


def _points(network: NetworkReport, quantity: Quantity, layer: str) -> list[tuple[float, dict[str, object]]]:
    """Epoch and record of every point that is one."""
    records = network.history if quantity.of_history else network.trajectory
    found = []
    for number, record in enumerate(records if isinstance(records, list) else []):
        if not isinstance(record, dict):
            continue
        point = record if quantity.of_history else _dict(_dict(record.get("layers")).get(layer))
        epoch = record.get("epoch", number + 1)
        if is_number(epoch):
            found.append((float(epoch), point))
    return found


def _at(point: dict[str, object], path: str) -> float | None:
    value: object = point
    for key in path.split("."):
        value = _dict(value).get(key)
    return float(value) if is_number(value) else None


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
