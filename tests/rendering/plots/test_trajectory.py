"""Trajectories as figures: every curve is the file's numbers, and a file may hold anything."""

import dataclasses
import math

import pytest

from kernelscope.errors import UsageError
from kernelscope.rendering.page_figures import section
from kernelscope.rendering.plots import kinds as plots
from kernelscope.rendering.plots.trajectory import QUANTITIES, curves, layers
from tests.report.sample_reports import full_report

EMBEDDING = [
    ("loss", ["transfer_loss", "scaled", "head_held_out"]),
    ("estimate", ["transfer_loss", "expanded_estimate", "estimate"]),
    ("cka", ["cka"]),
    ("neighbours", ["neighbours"]),
]


def students(report):
    named = {pair.student for pair in report}
    return [network for network in report.networks if network.name in named]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def with_trajectory(network, trajectory):
    return dataclasses.replace(network, trajectory=trajectory)


@pytest.mark.parametrize(("quantity", "fields"), EMBEDDING)
@pytest.mark.parametrize("layer", ["embedding", "logits"])
def test_every_curve_is_a_field_of_the_points(quantity, fields, layer):
    report = full_report()
    ax = report.plot("trajectory", quantity=quantity, student_layer=layer)
    expected = [
        ([p["epoch"] for p in network.trajectory], [p["layers"][layer][field] for p in network.trajectory])
        for network in students(report)
        for field in fields
    ]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines] == expected
    assert layer in ax.get_title(loc="left")


def test_the_teachers_eigenvalue_is_drawn_once_and_the_assumption_beside_it():
    report = full_report()
    ax = report.plot("trajectory", quantity="eigenvalues")
    *drawn, level = ax.lines
    assert len(drawn) == len(students(report)) + 1
    assert sum(set(line.get_ydata()) == {20.0} for line in drawn) == 1
    assert list(level.get_ydata()) == [1, 1] and "assumed above 1" in texts(ax) and "teacher" in texts(ax)


def test_bounds_are_those_of_one_student():
    report = full_report()
    last = students(report)[-1]
    ax = report.plot("trajectory", quantity="bounds")
    point = last.trajectory[-1]["layers"]["embedding"]
    ends = [
        point["transfer_loss"],
        *(point["bounds"][name.removeprefix("bounds.")] for name in list(QUANTITIES["bounds"].curves)[1:]),
    ]
    assert [line.get_ydata()[-1] for line in ax.lines] == ends
    first = students(report)[0]
    chosen = report.plot("trajectory", quantity="bounds", student=first.name)
    assert chosen.lines[0].get_ydata()[-1] == first.trajectory[-1]["layers"]["embedding"]["transfer_loss"]


def test_gradients_are_those_of_the_history():
    report = full_report()
    ax = report.plot("trajectory", quantity="gradients")
    expected = [[r["gradient"][part] for r in n.history] for n in students(report) for part in ("ce", "distill")]
    assert [list(line.get_ydata()) for line in ax.lines] == expected


def test_what_cannot_be_drawn_is_told():
    report = full_report()
    with pytest.raises(UsageError, match="a trajectory shows loss, estimate, eigenvalues"):
        report.plot("trajectory", quantity="lass")
    with pytest.raises(UsageError, match="no trajectory follows layer 'layer9'; there are: embedding, logits"):
        plots.plot(report, "trajectory", student_layer="layer9", student=students(report)[0].name)
    none = dataclasses.replace(report, networks=tuple(with_trajectory(n, None) for n in report.networks))
    with pytest.raises(UsageError, match="trajectory cannot be drawn: no student's file holds its loss by epoch"):
        none.plot("trajectory")


DAMAGED = [
    None,
    {},
    [],
    [7, None, "text"],
    [{"layers": 3}],
    [{"epoch": "x", "layers": {"embedding": {"transfer_loss": 1.0}}}],
    [{"epoch": 1, "layers": {"embedding": None}}],
    [
        {"epoch": 1, "layers": {"embedding": {"transfer_loss": value}}}
        for value in (math.nan, math.inf, "1", True, 1e300, [])
    ],
]


@pytest.mark.parametrize("trajectory", DAMAGED, ids=map(str, range(len(DAMAGED))))
def test_a_trajectory_may_hold_anything(trajectory):
    report = full_report()
    network = with_trajectory(students(report)[0], trajectory)
    for quantity in QUANTITIES.values():
        if not quantity.of_history:
            assert curves(network, quantity, "embedding") == {}
    assert set(layers(network)) <= {"embedding"}
    networks = tuple(network if n.name == network.name else n for n in report.networks)
    damaged = dataclasses.replace(report, networks=networks)
    assert len(damaged.plot("trajectory", quantity="cka", student_layer="embedding").lines) == len(students(report)) - 1


def test_the_page_shows_every_trajectory_there_is():
    assert sum(len(group.svgs) for group in section(full_report(), "training").groups) == 2 + len(QUANTITIES)
    none = full_report()
    none = dataclasses.replace(
        none, networks=tuple(dataclasses.replace(n, trajectory=None, history=None) for n in none.networks)
    )
    assert not section(none, "training").groups
