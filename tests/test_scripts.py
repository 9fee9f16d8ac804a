"""The examples run as they stand, and print what the documents say."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_example_runs_and_prints(example, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example)])
    runpy.run_path(str(example), run_name="__main__")
    text = capsys.readouterr().out
    assert len(text.splitlines()) >= 3
    assert not list(tmp_path.iterdir())
    if "neighbourhoods" not in example.stem:
        return
    losses, shares = {}, {}
    for line in text.splitlines()[1:]:
        name, loss, _, _, share, chance = line.rsplit(maxsplit=5)
        losses[name], shares[name] = float(loss), float(share)
        assert float(share) > 5 * float(chance)
    assert losses["three directions"] < losses["reseeded"]  # the kernel prefers one student,
    assert shares["three directions"] < 0.6 * shares["reseeded"]  # the neighbourhoods the other
