"""The notebooks convert and run without a display, in a kernel of their own, as a reader of them would run them."""

import pytest

from tests.docs.blocks import ROOT

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_converts_and_runs(path, tmp_path):
    notebook = jupytext.read(path)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    shown = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
    assert len(shown) >= 3
    assert all(len(data["text/plain"]) < 6000 for data in shown)
    streams = [output for output in outputs if output["output_type"] == "stream"]
    assert all(output["name"] == "stdout" and output["text"].count("\n") < 20 for output in streams)
