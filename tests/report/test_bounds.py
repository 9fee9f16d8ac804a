"""Titles of the bounds come from the table of the bounds."""

from kernelscope.kernels.nystrom.bounds import NAMES, TABLE
from kernelscope.report.bounds import PRINTED, TITLES


def test_every_bound_has_a_title_of_its_own_and_a_place_in_the_figure():
    assert set(TITLES) == set(NAMES)
    assert len(set(TITLES.values())) == len({rule.place for rule in TABLE}) == len(NAMES)


def test_two_sided_bounds_come_first_and_printed_ones_last():
    ordered = list(TITLES)
    assert ordered[:2] == ["class_centres_lower", "class_centres_upper"]
    assert set(ordered[-len(PRINTED) :]) == PRINTED == {"theorem2", "corollary1_paper", "corollary2_paper"}


def test_only_bounds_that_can_fail_are_left_out_of_the_proved_ones():
    assert {rule.name for rule in TABLE if not rule.proved} == PRINTED - {"theorem2"}
