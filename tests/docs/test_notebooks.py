"""The notebooks run as plain Python, show something in every cell that ends in a value, and print no line per step."""

import ast
import runpy
import sys

import pytest
from matplotlib import pyplot

from tests.docs.blocks import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))


def cells(text: str) -> list[str]:
    """The code cells of a script in jupytext's percent format."""
    return [cell.partition("\n")[2] for cell in text.split("# %%")[1:] if not cell.startswith(" [markdown]")]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_as_plain_python(notebook, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(sys, "argv", [str(notebook)])
    runpy.run_path(str(notebook), run_name="__main__")
    pyplot.close("all")
    out, err = capfd.readouterr()
    assert 0 < len(out.splitlines()) < 20
    assert err == ""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_is_whole_python_and_some_show_a_value(notebook):
    trees = [ast.parse(cell) for cell in cells(notebook.read_text())]
    assert len(trees) > 5
    assert sum(isinstance(tree.body[-1], ast.Expr) for tree in trees if tree.body) >= 4
