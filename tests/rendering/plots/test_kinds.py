"""Figures: something is drawn for every kind, nothing else on this machine changes, and SVGs fit side by side."""

import dataclasses
import functools
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelscope.errors import UsageError
from kernelscope.rendering.plots import kinds as plots
from kernelscope.rendering.plots import training as plots_training
from kernelscope.rendering.plots.canvas import COLOURS, power_of_ten, shortened, spread, words
from kernelscope.report.fields import Ladder, LandmarkSpectra, LandmarkSpectrum, Null
from tests.report.sample_reports import TEACHER_W, bare_report, full_report, renamed, with_pair

KIND = pytest.mark.parametrize("kind", plots.kinds())
EVIL = '<script>alert("1")</script> & $x_{ #0072b2 id="a" href="#b"'


def figure_svg(report, kind: str, prefix: str = "ks") -> str:
    return plots.KINDS[kind].svg(report, plots.Asked(), prefix)


@functools.cache
def svg(kind: str, prefix: str = "a") -> str:
    return figure_svg(full_report(), kind, prefix=prefix)


def texts(ax: Axes) -> list[str]:
    found = [ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
    found += [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    return [text for text in (*found, *(t.get_text() for t in ax.texts)) if text]


def drawn(svg: str) -> list[str]:
    return [node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text") if node.text]


@KIND
def test_every_kind_draws_something_under_a_title_in_words(kind):
    ax = plots.plot(full_report(), kind)
    assert isinstance(ax, Axes)
    assert ax.has_data()
    assert len(ax.get_title(loc="left").split()) >= 3


@KIND
def test_given_axes_are_the_ones_drawn_on(kind):
    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert plots.plot(full_report(), kind, ax=second) is second
    assert second.has_data()
    assert not first.has_data()
    assert figure.axes == [first, second]


@KIND
def test_settings_of_matplotlib_are_left_as_they_were(kind):
    with matplotlib.rc_context({"font.size": 31, "axes.grid": True, "text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        drawn_among_them = figure_svg(full_report(), kind, prefix="a")
        assert dict(matplotlib.rcParams) == before
    assert drawn_among_them == svg(kind)


def test_pyplot_is_never_imported_and_no_display_is_needed():
    code = (
        "import sys; from tests.report.sample_reports import full_report;"
        "from kernelscope.rendering.plots import kinds; r = full_report();"
        "kinds.KINDS['ladder'].svg(r, kinds.Asked(), 'a'); kinds.plot(r, 'classes');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = str(Path(__file__).parents[3])
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, cwd=root, env={"PATH": "", "PYTHONPATH": root}
    )


def test_the_ladder_stands_at_the_reports_numbers():
    report = full_report()
    ax = plots.plot(report, "ladder")
    joined = [line for line in ax.lines if len(line.get_ydata()) == 4]
    assert [list(line.get_ydata()) for line in joined] == [
        [p.ladder.raw, p.ladder.scaled, p.ladder.head, p.ladder.width_floor] for p in report.pairs[::2]
    ]
    dashed = [line.get_ydata()[0] for line in ax.lines if line.is_dashed()]
    assert dashed == [pair.null.transfer_loss for pair in report.pairs[::2]]


def test_a_missing_rung_is_passed_over():
    ax = plots.plot(with_pair(bare_report(), 0, ladder=Ladder(0.5, 0.4, None, None, None, 0.1)), "ladder")
    assert list(ax.lines[0].get_xdata()) == [0, 1, 3]
    assert not any("means" in text for text in texts(ax))


def test_chance_far_above_is_written_and_does_not_flatten_the_ladder():
    report = with_pair(bare_report(), 0, null=Null(40.0, None, None, None, None, None))
    ax = plots.plot(report, "ladder")
    assert ax.get_ylim()[1] < 1
    assert "40.000" in ax.get_xlabel()


def test_rungs_a_millionfold_apart_are_still_told_apart():
    rungs = Ladder(0.9, 1e-7, None, 0.0, None, 0.0)
    ax = plots.plot(with_pair(full_report(), 0, ladder=rungs), "ladder", student="ce.pt", student_layer="embedding")
    height = ax.transScale + ax.transLimits
    bottom, tiny, top = (height.transform((0, y))[1] for y in (0.0, 1e-7, 0.9))
    assert bottom == pytest.approx(0.0)
    assert 0.05 < tiny < top - 0.2


def test_landmark_eigenvalues_and_the_line_at_one():
    ax = plots.plot(full_report(), "landmark_spectrum")
    assert ax.get_yscale() == "log"
    assert tuple(ax.lines[0].get_ydata()) == TEACHER_W
    assert any(set(line.get_ydata()) == {1.0} and line.is_dashed() for line in ax.lines)


def test_eigenvalues_beyond_the_rank_are_marked_as_zero():
    noisy = LandmarkSpectrum((5.0, 2.0, 1e-15, 0.0), 0.0, 5.0, 2, None, 2)
    nothing = LandmarkSpectrum((0.0, 0.0), 0.0, 0.0, 0, None, 2)
    report = with_pair(full_report(), 0, landmark_spectrum=LandmarkSpectra(noisy, nothing))
    ax = plots.plot(report, "landmark_spectrum", student="ce.pt", student_layer="embedding")
    assert min(min(line.get_ydata(), default=1) for line in ax.lines) >= 0.1
    assert "zero to rounding" in ax.get_xlabel()


def test_theorem_two_adds_up():
    ax = plots.plot(full_report(), "theorem2", student="kda.pt", student_layer="embedding")
    left = ax.get_xlim()[0]
    loss, a_student, a_teacher, b, bound = (left + bar.get_width() for bar in ax.patches)
    assert loss == pytest.approx(0.1884)
    assert a_student + a_teacher + b == pytest.approx(bound)


def test_every_bound_is_drawn_at_its_multiple_and_failing_ones_are_marked():
    report = full_report()
    ax = plots.plot(report, "bounds")
    points = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert sorted(points) == sorted(b.over_truth for b in report.pairs[0].paper.bounds.values())
    said = [text for text in texts(ax) if "fails" in text and "×" in text]
    assert said == ["0.820×\u00a0 fails"]
    assert sum("vacuous" in text for text in texts(ax)) == 3


def test_class_shares_are_written_in_percent():
    report = full_report()
    ax = plots.plot(report, "classes")
    shares = np.asarray(report.pairs[0].classes.loss)
    assert ax.images[0].get_array().shape == (10, 10)
    assert [t.get_text() for t in ax.texts] == [f"{100 * share:.1f}" for share in shares.ravel()]


def test_the_signs_of_the_difference_are_told_apart():
    ax = plots.plot(full_report(), "spectra")
    up, down = (line.get_ydata() for line in ax.lines[:2])
    assert min(up) > 0 > max(down)
    said = [text for text in texts(ax) if "directions" in text]
    values = np.array(full_report().pairs[0].difference_spectrum.eigenvalues)
    share = np.sum(values[values < 0] ** 2) / np.sum(values**2)
    assert said[1] == f"lost from the teacher: {share:.0%} in 64 directions"


def test_training_shows_accuracy_or_every_term_of_the_loss():
    ax = plots.plot(full_report(), "training")
    assert [len(line.get_ydata()) for line in ax.lines] == [30] * 4
    labels = texts(plots.plot(full_report(), "training", quantity="loss"))
    assert {"teacher.pt: ce", "kd.pt: kd(T=4,weight=1)", "kda.pt: kda(weight=0.2)"} <= set(labels)


@pytest.mark.parametrize("kind", ["ladder", "theorem2", "landmark_spectrum", "spectra", "bounds"])
def test_numbers_no_scale_can_hold_are_not_drawn(kind):
    huge = 1.7e308
    pair = bare_report().pairs[0]
    whole = full_report().pairs[0]
    spectrum = LandmarkSpectrum((huge, 1.0), 1.0, huge, 2, huge, 0)
    pair = dataclasses.replace(
        pair,
        ladder=Ladder(huge, huge, None, None, None, None),
        landmark_spectrum=LandmarkSpectra(spectrum, spectrum),
        difference_spectrum=dataclasses.replace(whole.difference_spectrum, spectral_norm=huge),
        paper=dataclasses.replace(
            whole.paper, theorem2=dataclasses.replace(whole.paper.theorem2, bound=huge), bounds={}
        ),
    )
    with pytest.raises(UsageError, match="cannot be drawn"):
        plots.plot(dataclasses.replace(bare_report(), pairs=(pair,)), kind)


HISTORIES = [
    None,
    [],
    "words",
    [None, 3, "x"],
    [{"epoch": "one", "validation_top1": 0.5}],
    [{"epoch": 1, "loss": [1, 2], "validation_top1": "high"}],
    [{"epoch": 1, "loss": {"ce": None, "kd": True}}],
    [{"epoch": 10**400, "validation_top1": 10**400}],
]


@pytest.mark.parametrize("history", HISTORIES, ids=[str(i) for i in range(len(HISTORIES))])
def test_a_history_may_hold_anything(history):
    network = dataclasses.replace(full_report().networks[1], history=history)
    assert not plots_training.accuracy_curve(network)
    assert not plots_training.loss_curves(network)


@pytest.mark.parametrize("quantity", ["accuracy", "loss"])
def test_one_damaged_history_does_not_hide_the_others(quantity):
    report = full_report()
    networks = (dataclasses.replace(report.networks[0], history=[{"loss": 3}, 7]), *report.networks[1:])
    ax = plots.plot(dataclasses.replace(report, networks=networks), "training", quantity=quantity)
    assert ax.has_data()
    assert not any("teacher" in text for text in texts(ax))


@pytest.mark.parametrize(("kind", "near"), [("lader", "ladder"), ("Theorem2", "theorem2"), ("spectrun", "spectra")])
def test_an_unknown_kind_is_refused_with_the_nearest_and_the_list(kind, near):
    with pytest.raises(UsageError, match=rf"no figure '{kind}', nearest \w*{near}; choose from .*training") as caught:
        plots.plot(full_report(), kind)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("landmark_spectrum", "landmarks"), ("theorem2", "class-means or kmeans"), ("bounds", "bounds"),
        ("anova", "class means"), ("classes", "labels"), ("spectra", "eigenvalues"),
        ("training", "by epoch"),
    ],
)  # fmt: skip
def test_a_figure_without_data_says_what_is_missing(kind, missing):
    with pytest.raises(UsageError, match=f"{kind} cannot be drawn: .*{missing}.*[;,]"):
        plots.plot(bare_report(), kind)


@pytest.mark.parametrize("kind", sorted(set(plots.kinds()) - {"ladder", "references", "layers"}))
def test_a_page_leaves_out_what_has_nothing_to_draw(kind):
    assert plots.KINDS[kind].svg(bare_report(), plots.Asked(), "a") is None


def test_every_kind_stands_in_a_section_of_the_page():
    assert {kind.section for kind in plots.KINDS.values()} == set(plots.SECTIONS)
    firsts = {kind.section: kind for kind in reversed(plots.KINDS.values())}
    assert [name for name, kind in firsts.items() if not kind.caption] == ["layers"]


def test_choosing_no_pair_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no pair has student 'nobody'; there are: ce\.pt embedding; ce\.pt logits"):
        plots.plot(full_report(), "ladder", student="nobody")
    with pytest.raises(UsageError, match="accuracy or loss, not 'speed'"):
        plots.plot(full_report(), "training", quantity="speed")


def test_one_student_shows_all_its_layers_and_none_shows_all_students():
    one = texts(plots.plot(full_report(), "ladder", student="out/kda.pt"))
    assert any(text.startswith("logits") for text in one)
    every = texts(plots.plot(full_report(), "ladder"))
    assert {text.split("\u00a0")[0] for text in every} >= {"ce.pt", "kd.pt", "kda.pt"}


def test_a_student_keeps_its_colour_from_figure_to_figure():
    report = full_report()
    of_all = [line.get_color() for line in plots.plot(report, "ladder").lines if len(line.get_ydata()) == 4]
    alone = [plots.plot(report, "ladder", student=p.student).lines[0].get_color() for p in report.pairs[::2]]
    assert of_all == alone == list(COLOURS[:3])


@KIND
def test_an_svg_is_one_element_without_header_date_or_address(kind):
    root = ElementTree.fromstring(svg(kind))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert not re.search(r"<\?xml|<!|<metadata|<style|font-family|\d{4}-\d\d-\d\dT", svg(kind))
    assert set(re.findall(r"https?://[^\"]*", svg(kind))) == {"http://www.w3.org/2000/svg"}


@KIND
def test_an_svg_is_the_same_every_time_and_its_ids_are_its_own(kind):
    first = svg(kind)
    assert first == figure_svg(full_report(), kind, prefix="a")
    ids = re.findall(r' id="([^"]*)"', first)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("a-") for name in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', first)) == set(ids)
    assert first.replace("a-", "b-") == svg(kind, "b").replace("a-", "b-")


@KIND
def test_a_hostile_name_is_text_in_a_figure(kind):
    report = renamed(full_report(), {"out/ce.pt": EVIL, "out/kd.pt": "$\\frac{$", "out/teacher.pt": "]]>"})
    nodes = list(ElementTree.fromstring(figure_svg(report, kind)).iter())
    tags = {node.tag.rpartition("}")[2] for node in nodes}
    assert tags <= {"svg", "g", "path", "text", "defs", "use", "clipPath", "rect", "image", "tspan"}
    assert not any(name.lower().startswith("on") for node in nodes for name in node.attrib)


def test_a_hostile_name_is_drawn_as_it_is_written():
    name = "a<b> & $x$ \\frac"
    found = drawn(figure_svg(renamed(full_report(), {"out/ce.pt": name}), "anova"))
    assert name in found


def test_labels_keep_their_distance_and_their_order():
    wanted = [0.5, 0.5, 0.51, 0.1, 0.98]
    places = spread(wanted, 0.06)
    assert np.all(np.diff(sorted(places)) >= 0.06 - 1e-12)
    assert np.argsort(places, kind="stable").tolist() == np.argsort(wanted, kind="stable").tolist()
    assert places[3] == 0.1
    assert places[4] == 0.98


def test_labels_stay_on_the_axes_where_they_fit():
    places = spread([1.0, 1.0, 0.99, 0.0, 0.0], 0.1)
    assert min(places) >= 0.0
    assert max(places) <= 1.0
    assert np.all(np.diff(sorted(places)) >= 0.1 - 1e-12)


def test_labels_move_no_further_than_they_must():
    wanted, gap = [0.40, 0.42, 0.70], 0.1
    best = min(
        sum((p - w) ** 2 for p, w in zip(places, wanted))
        for places in itertools.product(np.linspace(0, 1, 101), repeat=3)
        if places[1] - places[0] >= gap - 1e-9 and places[2] - places[1] >= gap - 1e-9
    )
    found = sum((p - w) ** 2 for p, w in zip(spread(wanted, gap), wanted))
    assert found <= best + 1e-12


def test_long_names_keep_the_end_that_tells_them_apart():
    assert shortened("runs/2026/resnet8_weight_0.25_final.pt", 20).endswith("_final.pt")
    assert len(shortened("x" * 99, 20)) == 20
    assert words("5$ \u202e") == r"5\$ ?"


def test_powers_of_ten_are_plain_figures():
    assert [power_of_ten(10.0**e) for e in (-5, -2, 0, 3, 6, 12)] == ["10⁻⁵", "0.01", "1", "1,000", "10⁶", "10¹²"]
