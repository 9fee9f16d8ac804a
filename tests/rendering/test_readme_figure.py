"""The README's figure is what its script draws of a report, on light and on dark paper."""

import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from kernelscope.rendering.plots.canvas import COLOURS, DARK
from tests.report.sample_reports import full_report

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "figures" / "readme_figure.py"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    full_report().save(folder / "report.json")
    runpy.run_path(str(SCRIPT))["main"](folder / "report.json", folder)
    return {name: (folder / f"readme-{name}.svg").read_text() for name in ("light", "dark")}


@pytest.mark.parametrize(("name", "colours"), [("light", COLOURS[:3]), ("dark", [DARK[f"c{i}"] for i in range(3)])])
def test_every_student_is_drawn_in_the_papers_colours(drawn, name, colours):
    assert ElementTree.fromstring(drawn[name]).tag.endswith("svg")
    assert all(colour in drawn[name] for colour in colours)


def test_the_two_papers_differ_in_nothing_but_colours(drawn):
    light, dark = (re.findall(r' (?:d|x|y|transform)="[^"]*"', svg) for svg in drawn.values())
    assert light == dark
    assert len(light) > 100
    assert drawn["light"] != drawn["dark"]


def test_the_readme_shows_both_and_they_are_small():
    text = (ROOT / "README.md").read_text()
    for name in ("light", "dark"):
        path = f"docs/figures/readme-{name}.svg"
        assert path in text
        assert (ROOT / path).stat().st_size < 60_000


def test_the_numbers_in_the_alternative_text_are_those_of_the_readmes_table():
    text = (ROOT / "README.md").read_text()
    for row in re.findall(r"^\w+\.pt +embedding +([\d.]+) +([\d.]+) +([\d.]+) ", text, flags=re.MULTILINE):
        assert ", ".join(f"{float(value):.2f}" for value in row) in text, row
