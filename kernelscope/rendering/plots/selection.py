"""What of a report a figure shows: pairs of layers, one pair, a grid of them or networks, labelled and coloured.

A selector makes such a value of a report, or gives the reason why there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError, one_line
from kernelscope.rendering.plots import training as curves
from kernelscope.rendering.plots import trajectory as trajectories
from kernelscope.rendering.plots.canvas import Stroke, shortened, stroke, words
from kernelscope.rendering.plots.names import names_in_figures
from kernelscope.rendering.plots.series import label, series_of
from kernelscope.rendering.plots.shown import Networks, OnePair, Pairs
from kernelscope.rendering.wording import first_pairs, layer_name
from kernelscope.report.fields import PairReport
from kernelscope.report.report import is_called

if TYPE_CHECKING:
    from kernelscope.report.report import TransferReport

MOST_LAYERS = 4  #: of one student in one figure of a page
LAYERS_ON_A_PAGE = 2  #: of which a page has one figure each
TRAINING_TITLES = {"accuracy": "Accuracy while training", "loss": "Loss terms while training"}


@dataclass(frozen=True)
class Asked:
    """Which of a report's pairs a figure is to show, as in ``report.sel``, and which of several quantities."""

    student: str | None = None
    teacher_layer: str | None = None
    student_layer: str | None = None
    quantity: str | None = None


Needs = Callable[[PairReport], object]  #: whether a pair has what a figure draws


def several(needs: Needs, missing: str) -> Callable[[TransferReport, Asked, str], Pairs | str]:
    """Every pair asked for that has what the figure needs."""

    def select(report: TransferReport, asked: Asked, title: str) -> Pairs | str:
        pairs = [pair for pair in choose(report, asked) if needs(pair)]
        return _labelled(report, pairs, title) if pairs else missing

    return select


def the_first(needs: Needs, missing: str) -> Callable[[TransferReport, Asked, str], OnePair | str]:
    """The first pair asked for that has what the figure needs."""

    def select(report: TransferReport, asked: Asked, title: str) -> OnePair | str:
        pair = next((pair for pair in choose(report, asked) if needs(pair)), None)
        if pair is None:
            return missing
        named = f"{shortened(names_in_figures(report)[pair.student])}, {words(layer_name(pair))}"
        return OnePair(f"{title}: {named}", pair, stroke(colour_of(report, pair.student)))

    return select


def all_of_one_student(missing: str) -> Callable[[TransferReport, Asked, str], Pairs | str]:
    """Every pair of layers of the first student asked for."""

    def select(report: TransferReport, asked: Asked, title: str) -> Pairs | str:
        chosen = choose(report, asked)
        if not chosen:
            return missing
        pairs = [pair for pair in report if pair.student == chosen[0].student]
        return _labelled(report, pairs, f"{title}: {shortened(names_in_figures(report)[pairs[0].student])}", name=False)

    return select


def trained(report: TransferReport, asked: Asked, title: str) -> Networks | str:
    """The networks of the chosen pairs whose files hold accuracy, or the terms of the loss, by epoch.

    The title is the quantity's own, in the place of the kind's; so it is in :func:`followed`.
    """
    quantity = asked.quantity or "accuracy"
    if quantity not in TRAINING_TITLES:
        raise UsageError(f"training shows {' or '.join(TRAINING_TITLES)}, not {quantity[:40]!r}; pass quantity=...")
    names, teachers = names_in_figures(report), {pair.teacher for pair in report}
    wanted = {pair.student for pair in choose(report, Asked(student=asked.student))} | teachers
    known = curves.accuracy_curve if quantity == "accuracy" else curves.loss_curves
    networks = [
        (network, names[network.name], None if network.name in teachers else colour_of(report, network.name))
        for network in report.networks
        if network.name in wanted and known(network)
    ]
    if not networks:
        return f"no network's file holds its {quantity} by epoch; kernelscope train writes it"
    return Networks(TRAINING_TITLES[quantity], tuple(networks), quantity)


def followed(report: TransferReport, asked: Asked, title: str) -> Networks | str:
    """The students by epoch: checkpoints of one run by their own losses, else what their files have followed."""
    quantity = asked.quantity or "loss"
    if quantity not in trajectories.QUANTITIES:
        known = ", ".join(trajectories.QUANTITIES)
        raise UsageError(f"a trajectory shows {known}, not {quantity[:40]!r}; pass quantity=...")
    names, chosen = names_in_figures(report), trajectories.QUANTITIES[quantity]
    wanted = {pair.student for pair in choose(report, Asked(student=asked.student))}
    students = [network for network in report.networks if network.name in wanted]
    runs = [] if chosen.of_history or asked.student else series_of(report)
    if runs:
        students = [run.network for run in runs]
        names |= {run.network.name: label(run) for run in runs}
    firsts = {run.network.name: run.first for run in runs}
    layers = list(dict.fromkeys(each for network in students for each in trajectories.layers(network)))
    layer = asked.student_layer
    if layer is not None and layer not in layers:
        raise UsageError(f"no trajectory follows layer {layer[:40]!r}; there are: {', '.join(layers[:6]) or 'none'}")
    layer = layer or (layers[0] if layers else "embedding")
    networks = [
        (network, names[network.name], colour_of(report, firsts.get(network.name, network.name)))
        for network in students
        if trajectories.curves(network, chosen, layer)
    ]
    if not networks:
        return f"no student's file holds its {quantity} by epoch; kernelscope train --teacher writes it"
    drawn = tuple(networks[-1:] if chosen.one_student else networks)
    unit = runs[0].unit if runs else "epoch"
    return Networks(chosen.title.replace("epoch", unit), drawn, quantity, layer, unit=unit)


def choose(report: TransferReport, asked: Asked) -> list[PairReport]:
    """All pairs that fit; one of each student where nothing is asked.

    Raises:
        UsageError: none fits.
    """
    wanted = {
        "student": asked.student,
        "teacher_layer": asked.teacher_layer,
        "student_layer": asked.student_layer,
    }
    if not any(wanted.values()):
        return first_pairs(report)
    names = names_in_figures(report)
    fits = [
        pair
        for pair in report
        if (asked.student in (None, names[pair.student]) or is_called(pair.student, asked.student))
        and asked.teacher_layer in (None, pair.teacher_layer)
        and asked.student_layer in (None, pair.student_layer)
    ]
    if not fits:
        have = "; ".join(f"{names[p.student]} {layer_name(p)}" for p in report.pairs[:6])
        said = ", ".join(f"{key} {value!r}" for key, value in wanted.items() if value)
        raise UsageError(one_line(f"no pair has {said}; there are: {have}"))
    return fits


def once(report: TransferReport) -> list[Asked]:
    """One figure on a page, of one pair of each student."""
    return [Asked()]


def each_student(report: TransferReport) -> list[Asked]:
    """A figure on a page for every student, of the pair its verdict is about."""
    return [exactly(pair) for pair in first_pairs(report)]


def each_layer(needs: Needs) -> Callable[[TransferReport], list[Asked]]:
    """A figure on a page for each of the first layers that it can show."""

    def place(report: TransferReport) -> list[Asked]:
        layers = list(dict.fromkeys(pair.student_layer for pair in report if needs(pair)))
        return [Asked(student_layer=layer) for layer in layers[:LAYERS_ON_A_PAGE]]

    return place


def all_then_each_student(report: TransferReport) -> list[Asked]:
    """Several students together, then each with its layers, or with the first alone where it is too crowded to read."""
    first = first_pairs(report)
    together = [Asked()] if len(first) > 1 else []
    counts = {pair.student: sum(other.student == pair.student for other in report) for pair in first}
    return together + [
        Asked(student=pair.student) if counts[pair.student] <= MOST_LAYERS else exactly(pair) for pair in first
    ]


def each_grid(report: TransferReport) -> list[Asked]:
    """A figure for every student whose layers were measured against several of the teacher's each."""
    found = []
    for pair in first_pairs(report):
        layers = [(p.teacher_layer, p.student_layer) for p in report if p.student == pair.student]
        if len(layers) > len({s for _, s in layers}) > 1:
            found.append(Asked(student=pair.student))
    return found


def the_nearest(report: TransferReport) -> list[Asked]:
    """One figure, of the student with the lowest loss."""
    return [exactly(min(first_pairs(report), key=lambda pair: pair.transfer_loss))]


def exactly(pair: PairReport) -> Asked:
    """Ask for this pair and no other."""
    return Asked(pair.student, pair.teacher_layer, pair.student_layer)


def colour_of(report: TransferReport, student: str) -> int:
    """A student has one colour in every figure."""
    students = list(dict.fromkeys(pair.student for pair in report))
    return students.index(student) if student in students else 0


def _labelled(report: TransferReport, pairs: Sequence[PairReport], title: str, *, name: bool = True) -> Pairs:
    """Label the pairs by what differs between them, name in the title what does not."""
    names = names_in_figures(report)
    students = list(dict.fromkeys(pair.student for pair in pairs))
    layers = list(dict.fromkeys(layer_name(pair) for pair in pairs))
    alone = len(students) == 1
    named = [shortened(names[students[0]])] if alone else []
    named += [words(layers[0])] if len(layers) == 1 else []
    labels = [names[pair.student] if len(layers) == 1 else layer_name(pair) for pair in pairs]
    if not alone and len(layers) > 1:
        labels = [f"{names[pair.student]} {layer_name(pair)}" for pair in pairs]
    strokes = [_stroke(report, pair, layers.index(layer_name(pair)), alone) for pair in pairs]
    whole = f"{title}: {', '.join(named)}" if named and name else title
    return Pairs(whole, tuple(pairs), tuple(labels), tuple(strokes), beside=report.pairs if alone else ())


def _stroke(report: TransferReport, pair: PairReport, layer: int, alone: bool) -> Stroke:
    return stroke(colour_of(report, pair.student), layer, one_student=alone)
