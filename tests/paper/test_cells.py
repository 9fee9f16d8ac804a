"""Cells: students of figures by seed, paired, and the numbers of one student."""

import dataclasses

import pytest

from kernelscope.paper.cells import Cells, correlation, tracking, value
from kernelscope.paper.plan import Cell
from tests.paper.synthetic import student

KDA, CE = Cell("first", "S1", "kda"), Cell("first", "S1", "ce")


def test_students_of_a_search_and_failed_ones_are_in_no_cell():
    failed = dataclasses.replace(student(seed=2), failed="loss is nan")
    cells = Cells([student(seed=1), student(seed=100, purpose="search"), failed, student(seed=0)])
    assert [row.seed for row in cells.students(KDA)] == [0, 1]


def test_pairs_are_of_the_seeds_that_both_have():
    rows = [student(system="kda", seed=seed) for seed in (0, 1, 2)] + [
        student(system="ce", seed=seed) for seed in (2, 0)
    ]
    assert [(a.seed, b.seed) for a, b in Cells(rows).paired(KDA, CE)] == [(0, 0), (2, 2)]


def test_spread_is_over_the_seeds_that_have_the_number():
    without = dataclasses.replace(student(seed=1), layers={})
    found = Cells([student(seed=0), without]).spread(KDA, "raw")
    assert (found.n, found.sd, found.mean) == (1, None, student(seed=0).layers["embedding"]["raw"])
    assert Cells([without]).spread(KDA, "raw") is None


def test_the_smallest_eigenvalue_is_that_of_either_network():
    assert value(student(), "min_eigenvalue") == pytest.approx(0.005)


def test_what_stands_still_correlates_with_nothing():
    assert correlation([1, 2, 3], [5.0, 5.0, 5.0]) is None
    assert correlation([1, 2, 3], [2.0, 4.0, 6.5]) == pytest.approx(0.99795, abs=1e-5)


def test_two_epochs_say_nothing_of_tracking():
    row = student()
    assert tracking(dataclasses.replace(row, trajectory=row.trajectory[:2])) is None and tracking(row) > 0.99
