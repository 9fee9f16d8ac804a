"""Every pair on ``docs/pairs.md`` is measured by the one command that stands there, and prints what stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.libraries import pairs

PAGE = (Path(__file__).parent.parent.parent / "docs" / "pairs.md").read_text()
SECTIONS = [section.partition("\n") for section in PAGE.split("\n## ")[1:]]
BLOCKS = {title: re.findall(r"```console\n\$ (.*?)```", text, flags=re.DOTALL)[0] for title, _, text in SECTIONS}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of all pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    before = Path.cwd()
    os.chdir(folder)
    try:
        pairs.main()
    finally:
        os.chdir(before)
    return folder


def test_the_page_shows_the_pairs_it_is_about():
    assert len(BLOCKS) == 7 and all("measure" in block for block in BLOCKS.values())


@pytest.mark.filterwarnings("ignore")  # of the libraries, while they write what is measured
@pytest.mark.parametrize("title", BLOCKS)
def test_a_pair_is_measured_by_one_command(title, written, monkeypatch):
    monkeypatch.chdir(written)
    command, _, printed = BLOCKS[title].replace("\\\n", " ").partition("\n")
    words = shlex.split(command)
    assert words[0] == "kernelscope"
    run = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    found, expected = run.stdout[: len(printed) + 40].splitlines(), printed.splitlines()
    for here, there in zip(found, expected):
        assert NUMBER.sub("#", here) == NUMBER.sub("#", there)
        # another processor rounds otherwise: to what a reader looks at, numbers are the same
        assert numbers(here) == pytest.approx(numbers(there), rel=0.03, abs=0.011)
    assert len(found) >= len(expected)


def numbers(line):
    return [float(text) for text in NUMBER.findall(line)]
