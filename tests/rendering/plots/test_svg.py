"""What the rewriting of SVG rests on is what the installed matplotlib writes, and nothing of it reaches a page."""

import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure

from kernelscope.rendering.plots import canvas
from kernelscope.rendering.plots.svg import to_svg

TEXT = 'font-family: x; #0072b2 id="a" href="#b" url(#c) <b>'


def a_figure() -> Figure:
    ax = canvas.new_axes()
    ax.plot([0, 1], [0, 1], "o-", color=canvas.COLOURS[0])
    ax.plot([0, 1], [1, 0], color="#123456")
    ax.set_title(TEXT, loc="left")
    ax.set_xlabel("$x^2$")  # the one text that matplotlib comments on
    return canvas.figure_of(ax)


@pytest.fixture(scope="module")
def raw() -> str:
    stream = io.StringIO()
    with canvas.own_style():
        a_figure().savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


@pytest.fixture(scope="module")
def made() -> str:
    with canvas.own_style():
        return to_svg(a_figure(), "p", 'a "b" <c>')


@pytest.mark.parametrize(
    "pattern",
    [
        r"<\?xml[^>]*>", r"<!-- ", r"<defs>\s*<style", r'xmlns:xlink="http://www.w3.org/1999/xlink"',
        r'xlink:href="#\w+"', r'clip-path="url\(#\w+\)"', r' id="\w+"', r'style="[^"]*: #0072b2',
    ],
)  # fmt: skip
def test_matplotlib_still_writes_what_is_rewritten(raw, pattern):
    assert re.search(pattern, raw), f"matplotlib {matplotlib.__version__} writes no {pattern}; look at plots/svg.py"


def test_nothing_that_a_page_must_not_have_is_left(made):
    tags = "".join(re.findall(r"<[^>]+>", made))
    assert not re.search(r"<\?|<!|<style|xlink|font-family|<metadata|Matplotlib", tags)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', tags)) == set(re.findall(r' id="([^"]+)"', tags))
    assert re.findall(r' id="(?!p-\d+")[^"]*"', tags) == []


def test_text_is_left_as_it_was_written(made):
    assert TEXT in [node.text for node in ElementTree.fromstring(made).iter("{http://www.w3.org/2000/svg}text")]


def test_the_palettes_colours_become_variables_and_others_stay(made):
    assert "var(--ks-c0, #0072b2)" in made
    assert ": #0072b2" not in "".join(re.findall(r"<[^>]+>", made))
    assert ": #123456" in made


def test_the_alternative_text_is_an_attribute(made):
    assert ElementTree.fromstring(made).get("aria-label") == 'a "b" <c>'
