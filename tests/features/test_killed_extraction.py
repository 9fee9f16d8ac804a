"""Killed at any moment, an extraction goes on and ends with the bytes of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def killed_and_run_again(folder: Path, seed: int, kills: int, pairs: int) -> list[dict]:
    words = [sys.executable, "-m", "tests.features.kill_loop", *map(str, (folder, seed, kills, pairs))]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return killed_and_run_again(tmp_path_factory.mktemp("few"), seed=0, kills=4, pairs=2)


def test_four_killed_extractions_end_with_the_same_bytes(few):
    assert few[0]["equal"] == 4


def test_two_processes_one_of_them_killed_end_with_the_same_bytes(few):
    assert few[1]["equal"] == 2 and few[1]["alone"] == 0


@pytest.mark.long
def test_a_hundred_killed_extractions_end_with_the_same_bytes(tmp_path):
    told = killed_and_run_again(tmp_path, seed=1, kills=100, pairs=0)[0]
    assert told["equal"] == 100
    assert told["begun"] >= 50, "too few of the kills came while rows were written"
    assert told["seen"] < 0.8 * told["killed"] * told["n"], "what was written before the kill was computed again"


@pytest.mark.long
def test_a_hundred_killed_pairs_of_processes_end_with_the_same_bytes(tmp_path):
    _, told = killed_and_run_again(tmp_path, seed=1, kills=0, pairs=100)
    assert told["equal"] == 100
    assert told["alone"] == 0, "a process ended well though the other was killed and the file was not there"
    assert told["begun"] >= 40, "too few of the kills came while rows were written"
    assert told["seen"] < 0.9 * told["killed"] * told["n"], "what was written before the kill was computed again"
