"""What several processes measure together is what one does, and an error in one of them is raised in all."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
REFUSED = {
    "NaN": "NumericalError: student features hold 8 NaN or infinite values, first in row 5",
    "torn": "UnreadableInput: rows from 8192 on are torn",
    "zero": "DegenerateKernel: teacher features are all zero",
}
BY_BLOCKS = ("kernel of wide rows", "norms by blocks")
MEASURED = (
    "classes", "reproducible", "nearly equal", "equal", "far from 0", "split classes", "leverage", "grid",
    "sums", "one run", "two runs",
    "empty share", "rbf", "ridge", "neighbours", "one row", "fewer rows than processes", "tiny", "again",
)  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # run once for all workers of pytest
    answers, folder = shared / "joint_measures.json", tmp_path_factory.mktemp("jobs")
    with FileLock(shared / "joint_measures.lock"):
        if not answers.exists():
            words = [sys.executable, "-m", "tests.joint_measures", str(folder)]
            variables = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=variables)
            assert done.returncode == 0, done.stderr
            answers.write_text(done.stdout)
    return json.loads(answers.read_text())


def flat(value, at=""):
    """Every number and word of a report, by where it stands."""
    if isinstance(value, dict):
        return {key: x for name, each in value.items() for key, x in flat(each, f"{at}.{name}").items()}
    if isinstance(value, list):
        return {key: x for number, each in enumerate(value) for key, x in flat(each, f"{at}.{number}").items()}
    return {at: value}


def test_every_case_is_looked_at(told):
    assert set(told) == {*REFUSED, *MEASURED, *BY_BLOCKS, "shards"}


def test_a_shard_has_one_fingerprint_however_many_processes_sum_it(told):
    one, *many = told["shards"]
    assert one[0]["fingerprint"].startswith("rows:") and all(each == one for ranks in many for each in ranks)


@pytest.mark.parametrize("name", BY_BLOCKS)
def test_blocks_of_kernels_that_processes_deal_out_are_those_of_one(told, name):
    one, *many = told[name]
    flattened = [np.ravel(each) for ranks in many for each in ranks]
    assert len(flattened) == 5 and all(np.allclose(each, np.ravel(one), rtol=1e-13, atol=1e-13) for each in flattened)


def test_reproducible_sums_are_the_bits_of_one_process(told):
    one, *many = told["reproducible"]
    assert len(many) == 2 and all(each == one for ranks in many for each in ranks)


@pytest.mark.parametrize("name", [*MEASURED, *REFUSED])
def test_all_processes_say_the_same_bits(told, name):
    for count, ranks in enumerate(told[name][1:], start=2):
        assert len(ranks) == count and all(each == ranks[0] for each in ranks)


@pytest.mark.parametrize("name", MEASURED)
def test_several_processes_stay_within_the_printed_intervals(told, name):
    one, *many = told[name]
    for ranks in many:
        for alone, together in zip(one, ranks[0], strict=True):
            intervals = {"transfer_loss": "rounding_interval"} | {f: f"intervals.{f}" for f in alone["intervals"]}
            first, second = flat({"": alone}), flat({"": together})
            for field, where in intervals.items():
                for a, b in ((first, second), (second, first)):
                    low, high = (a[f"..{where}.{end}"] for end in (0, 1))
                    assert low <= b[f"..{field}"] <= high, field


@pytest.mark.parametrize("name", [name for name in MEASURED if name != "tiny"])
def test_all_other_numbers_agree_to_rounding(told, name):
    one, *many = told[name]
    for ranks in many:
        first, second = flat(one), flat(ranks[0])
        assert set(first) == set(second)
        for where, value in first.items():
            if isinstance(value, float):
                assert math.isclose(value, second[where], rel_tol=1e-6, abs_tol=1e-9), where
            else:
                assert value == second[where], where


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_in_one_share_is_raised_in_all_processes(told, name):
    one, *many = told[name]
    assert one.startswith(REFUSED[name]) and all(each == one for ranks in many for each in ranks)
