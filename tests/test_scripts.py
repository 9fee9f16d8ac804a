"""The examples run as they stand, and print what the documents say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def printed_by(example: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=600, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_example_runs_and_prints(example):
    text = printed_by(example)
    assert len(text.splitlines()) >= 3
    if "neighbourhoods" not in example.stem:
        return
    losses, shares = {}, {}
    for line in text.splitlines()[1:]:
        name, loss, _, _, share, chance = line.rsplit(maxsplit=5)
        losses[name], shares[name] = float(loss), float(share)
        assert float(share) > 5 * float(chance)
    assert losses["three directions"] < losses["reseeded"]  # the kernel prefers one student,
    assert shares["three directions"] < 0.6 * shares["reseeded"]  # the neighbourhoods the other
