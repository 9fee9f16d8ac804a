"""Figures of a report: ``plot`` draws one on matplotlib axes, ``figure_svg`` writes one for a page.

Kinds: ladder, references, neighbours, layers, classes, spectra, landmark_spectrum, theorem2, bounds, anova,
training, trajectory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError, one_line
from kernelscope.rendering.plots import (
    canvas,
)
from kernelscope.rendering.plots import (
    levels as plots_levels,
)
from kernelscope.rendering.plots import (
    loss as plots_loss,
)
from kernelscope.rendering.plots import (
    spectra as plots_spectra,
)
from kernelscope.rendering.plots import (
    theory as plots_theory,
)
from kernelscope.rendering.plots import (
    training as plots_training,
)
from kernelscope.rendering.plots import trajectory as trajectories
from kernelscope.rendering.wording import first_pairs, layer_name, short_names
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Kind:
    """One kind of figure: how it is drawn, what a pair must have for it, and what to do where none has."""

    draw: Callable[..., None]
    title: str
    needs: Callable[[PairReport], object]
    missing: str
    one_pair: bool = False
    grid: bool = False  #: shows every pair of layers of one student at once
    among: bool = False  #: the drawing is told of every pair, to keep one scale from student to student
    size: tuple[float, float] = (canvas.WIDTH, canvas.HEIGHT)
    growth: float = 0.2  #: inches of height for every pair beyond four


DRAWABLE = 1e250  #: matplotlib's scales overflow somewhere above

KINDS: dict[str, Kind] = {
    "ladder": Kind(
        plots_loss.ladder,
        "What is left of the loss",
        lambda p: p.ladder.raw < DRAWABLE,
        "no pair has a loss that fits a figure; measure again",
        among=True,
        size=(5.0, 3.4),
        growth=0.35,
    ),
    "references": Kind(
        plots_levels.references,
        "What to read the loss by",
        lambda p: p.transfer_loss < DRAWABLE,
        "no pair has a loss that fits a figure; measure again",
        one_pair=True,
        size=(5.1, 2.9),
    ),
    "neighbours": Kind(
        plots_levels.neighbours,
        "Who is near whom",
        lambda p: p.neighbours,
        "no pair has neighbours compared; measure with --neighbours 10",
        size=(5.0, 2.6),
        growth=0.3,
    ),
    "layers": Kind(
        plots_levels.layers,
        "Layer against layer",
        lambda p: True,
        "there is no pair of layers; measure with --pairs all",
        grid=True,
        size=(4.4, 4.4),
        growth=0,
    ),
    "landmark_spectrum": Kind(
        plots_spectra.landmark_spectrum,
        "How the landmarks spread: eigenvalues of W",
        lambda p: (w := p.landmark_spectrum) and w.teacher.eigenvalues and max(w.teacher.max, w.student.max) < DRAWABLE,
        "no pair has landmarks; measure with --landmarks",
    ),
    "theorem2": Kind(
        plots_theory.theorem2,
        "Theorem 2, term by term",
        lambda p: p.paper and p.paper.theorem2 and p.paper.theorem2.bound < DRAWABLE * p.norm_teacher,
        "no pair has Theorem 2's terms, which need class-means or kmeans landmarks; pass --landmarks",
        size=(5.1, 3.9),
        growth=0.65,
    ),
    "bounds": Kind(
        plots_theory.bounds,
        "How far every bound is from the truth",
        lambda p: plots_theory.comparable(p, DRAWABLE),
        "no pair has bounds on a loss above 0; measure with --landmarks",
        one_pair=True,
        size=(5.1, 3.9),
    ),
    "anova": Kind(
        plots_loss.anova,
        "What class centres see of the difference",
        lambda p: p.anova,
        "no pair has shares by class means, which need class-means or kmeans landmarks; pass --landmarks",
        size=(5.0, 2.3),
        growth=0.35,
    ),
    "classes": Kind(
        plots_loss.classes,
        "Which classes carry the loss",
        lambda p: p.classes and p.classes.names,
        "no pair has shares by class, which need labels of at most 200 classes; pass --labels",
        one_pair=True,
        size=(3.9, 4.0),
    ),
    "spectra": Kind(
        plots_spectra.difference_spectrum,
        "What was added and what was lost",
        lambda p: (d := p.difference_spectrum) and d.eigenvalues and d.spectral_norm < DRAWABLE * p.norm_teacher,
        "no pair has the eigenvalues of its kernel difference; measure it again",
        one_pair=True,
        size=(3.9, 3.0),
    ),
}
TRAINING_TITLES = {"accuracy": "Accuracy while training", "loss": "Loss terms while training"}
TRAINING_SIZE = (canvas.WIDTH, canvas.HEIGHT)
OF_TRAINING = ("training", "trajectory")  #: kinds that show networks and not pairs


def plot(
    report: TransferReport,
    kind: str = "ladder",
    ax: Axes | None = None,
    *,
    student: str | None = None,
    teacher_layer: str | None = None,
    student_layer: str | None = None,
    quantity: str | None = None,
) -> Axes:
    """Draw one figure and return its axes; ``axes.figure`` shows it in a notebook and has ``savefig``.

    Args:
        kind: one of :data:`KINDS`, ``training`` or ``trajectory``.
        ax: axes to draw on; by default those of a new figure. pyplot is neither needed nor touched.
        student, teacher_layer, student_layer: which pairs, as in ``report.sel``; all that fit are drawn. By default
            one pair of each student, the embedding where it was measured; ``bounds``, ``classes``, ``references`` and
            ``spectra`` show one pair, the first of these, ``layers`` every pair of one student.
        quantity: for ``training``: ``accuracy`` (default) or ``loss``; for ``trajectory``, which follows the layer
            ``student_layer``: ``loss`` (default), ``estimate``, ``eigenvalues``, ``bounds``, ``cka`` or ``gradients``.

    Raises:
        UsageError: an unknown kind, no such pair, or nothing to draw; the message says what is missing.
    """
    with canvas.own_style():
        if kind == "training":
            return _plot_training(report, ax, student, quantity or "accuracy")
        if kind == "trajectory":
            return _plot_trajectory(report, ax, student, student_layer, quantity or "loss")
        if kind not in KINDS:
            raise UsageError(_unknown(kind))
        chosen = KINDS[kind]
        pairs = [pair for pair in choose(report, student, teacher_layer, student_layer) if chosen.needs(pair)]
        if chosen.grid and pairs:
            pairs = [pair for pair in report if pair.student == pairs[0].student]
        if not pairs:
            raise UsageError(f"{kind} cannot be drawn: {chosen.missing}")
        ax = ax if ax is not None else canvas.new_axes(*_size(chosen, len(pairs)))
        return _draw(report, chosen, ax, pairs)


def figure_svg(
    report: TransferReport,
    kind: str = "ladder",
    *,
    prefix: str = "ks",
    student: str | None = None,
    teacher_layer: str | None = None,
    student_layer: str | None = None,
    quantity: str | None = None,
) -> str:
    """The figure as an inline ``<svg>`` element; see :func:`plot` for what it shows and what it raises.

    Args:
        prefix: begins every id inside, so give each figure of a page its own.
    """
    with canvas.own_style():
        ax = plot(
            report,
            kind,
            student=student,
            teacher_layer=teacher_layer,
            student_layer=student_layer,
            quantity=quantity,
        )
        return canvas.to_svg(canvas.figure_of(ax), prefix, ax.get_title(loc="left"))


def kinds() -> tuple[str, ...]:
    """What :func:`plot` can draw."""
    return (*KINDS, *OF_TRAINING)


def drawable(report: TransferReport, kind: str) -> list[PairReport]:
    """The pairs that have what a kind of figure needs."""
    return [pair for pair in report if KINDS[kind].needs(pair)]


def choose(
    report: TransferReport, student: str | None, teacher_layer: str | None, student_layer: str | None
) -> list[PairReport]:
    """All pairs that fit; one of each student where nothing is asked.

    Raises:
        UsageError: none fits.
    """
    asked = {"student": student, "teacher_layer": teacher_layer, "student_layer": student_layer}
    if not any(asked.values()):
        return first_pairs(report)
    names = short_names(report)
    fits = [
        pair
        for pair in report
        if student in (None, pair.student, names[pair.student])
        and teacher_layer in (None, pair.teacher_layer)
        and student_layer in (None, pair.student_layer)
    ]
    if not fits:
        have = "; ".join(f"{names[p.student]} {layer_name(p)}" for p in report.pairs[:6])
        wanted = ", ".join(f"{key} {value!r}" for key, value in asked.items() if value)
        raise UsageError(one_line(f"no pair has {wanted}; there are: {have}"))
    return fits


def _draw(report: TransferReport, kind: Kind, ax: Axes, pairs: Sequence[PairReport]) -> Axes:
    """Label the pairs by what differs between them, name in the title what does not."""
    names = short_names(report)
    order = list(dict.fromkeys(pair.student for pair in report))
    students = list(dict.fromkeys(pair.student for pair in pairs))
    layers = list(dict.fromkeys(layer_name(pair) for pair in pairs))
    if kind.grid:
        kind.draw(ax, pairs, f"{kind.title}: {canvas.shortened(names[pairs[0].student])}")
        return ax
    if kind.one_pair:
        pair = pairs[0]
        title = f"{kind.title}: {canvas.shortened(names[pair.student])}, {canvas.words(layer_name(pair))}"
        kind.draw(ax, pair, canvas.stroke(order.index(pair.student)), title)
        return ax
    alone = len(students) == 1
    named = [canvas.shortened(names[students[0]])] if alone else []
    named += [canvas.words(layers[0])] if len(layers) == 1 else []
    labels = [names[pair.student] if len(layers) == 1 else layer_name(pair) for pair in pairs]
    if not alone and len(layers) > 1:
        labels = [f"{names[pair.student]} {layer_name(pair)}" for pair in pairs]
    strokes = [
        canvas.stroke(order.index(pair.student), layers.index(layer_name(pair)), one_student=alone) for pair in pairs
    ]
    options = {"among": report.pairs} if kind.among and alone else {}
    kind.draw(ax, pairs, labels, strokes, f"{kind.title}: {', '.join(named)}" if named else kind.title, **options)
    return ax


def _plot_training(report: TransferReport, ax: Axes | None, student: str | None, quantity: str) -> Axes:
    if quantity not in TRAINING_TITLES:
        raise UsageError(f"training shows {' or '.join(TRAINING_TITLES)}, not {quantity[:40]!r}; pass quantity=...")
    names = short_names(report)
    wanted = {pair.student for pair in choose(report, student, None, None)} | {pair.teacher for pair in report}
    curves = plots_training.accuracy_curve if quantity == "accuracy" else plots_training.loss_curves
    teachers = {pair.teacher for pair in report}
    networks = [
        (network, names[network.name], None if network.name in teachers else _colour(report, network.name))
        for network in report.networks
        if network.name in wanted and curves(network)
    ]
    if not networks:
        raise UsageError(
            f"training cannot be drawn: no network's file holds its {quantity} by epoch; kernelscope train writes it"
        )
    ax = ax if ax is not None else canvas.new_axes(*TRAINING_SIZE)
    plots_training.training(ax, networks, quantity, TRAINING_TITLES[quantity])
    return ax


def _plot_trajectory(
    report: TransferReport, ax: Axes | None, student: str | None, layer: str | None, quantity: str
) -> Axes:
    if quantity not in trajectories.QUANTITIES:
        known = ", ".join(trajectories.QUANTITIES)
        raise UsageError(f"a trajectory shows {known}, not {quantity[:40]!r}; pass quantity=...")
    names, chosen = short_names(report), trajectories.QUANTITIES[quantity]
    wanted = {pair.student for pair in choose(report, student, None, None)}
    students = [network for network in report.networks if network.name in wanted]
    followed = list(dict.fromkeys(each for network in students for each in trajectories.layers(network)))
    if layer is not None and layer not in followed:
        raise UsageError(f"no trajectory follows layer {layer[:40]!r}; there are: {', '.join(followed[:6]) or 'none'}")
    layer = layer or (followed[0] if followed else "embedding")
    networks = [
        (network, names[network.name], _colour(report, network.name))
        for network in students
        if trajectories.curves(network, chosen, layer)
    ]
    if not networks:
        raise UsageError(
            f"{quantity} by epoch cannot be drawn: no student's file holds it; kernelscope train --teacher writes it"
        )
    ax = ax if ax is not None else canvas.new_axes(*TRAINING_SIZE)
    trajectories.trajectory(ax, networks[-1:] if chosen.one_student else networks, chosen, layer)
    return ax


def _colour(report: TransferReport, student: str) -> int:
    """A student has one colour in every figure."""
    students = list(dict.fromkeys(pair.student for pair in report))
    return students.index(student) if student in students else 0


def _size(kind: Kind, pairs: int) -> tuple[float, float]:
    """Many pairs need room for their bars and labels."""
    width, height = kind.size
    return width, height + kind.growth * max(0, pairs - 4)


def _unknown(kind: str) -> str:
    near = difflib.get_close_matches(kind, kinds(), n=1, cutoff=0.4)
    hint = f", nearest {near[0]}" if near else ""
    return f"there is no figure {str(kind)[:30]!r}{hint}; choose from {', '.join(kinds())}"
