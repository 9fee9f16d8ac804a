"""Claims and the paper's numbers: each claim is of cells that the plan trains, with the paper's own difference."""

import pytest

from kernelscope.paper import claims, published
from kernelscope.paper.plan import FIGURES, Cell, plan

ALL = claims.of(plan())


def test_every_claim_compares_students_that_the_plan_trains():
    cells = set(plan().cells)
    for claim in ALL:
        assert {Cell(claim.scene, claim.role, system) for system in (claim.first, claim.second)} <= cells, claim


def test_every_figure_of_the_paper_claims_something():
    assert {claim.figure for claim in ALL} == set(FIGURES) | {claims.OURS}


def test_claims_of_one_figure_are_those_of_its_place_and_ours():
    found = claims.of(plan(("fig7",)))
    assert found[0].text == "two centres a class are no better than one"
    assert {claim.figure for claim in found} == {"fig7", claims.OURS}
    assert {claim.first for claim in found if claim.figure == claims.OURS} == {"running"}


def test_no_claim_of_the_whole_plan_is_left_out():
    made = [claim for place in claims.places(plan()) for claim in claims._of_place(place)]
    assert made == [claim for claim in ALL if claim.figure != claims.OURS]


@pytest.mark.parametrize(
    ("figure", "role", "first", "second", "points"),
    [("table2", "S1", "kda", "rkd", 1.3), ("table3", "S3", "combo", "kda", 0.4), ("fig2", "S1", "kda", "ce", 2.4)],
)
def test_own_differences_are_those_of_the_printed_tables(figure, role, first, second, points):
    assert published.gain(figure, role, first, second) == pytest.approx(points / 100)


def test_where_our_copy_lacks_a_cell_there_is_no_difference():
    assert published.gain("table2", "S3", "kda", "ce") is None
    assert published.gain("table1", "S1", "kda_conv4", "kda_conv3") is None


def test_a_claim_with_a_size_says_where_the_paper_has_it():
    unknown = {"a curve without numbers", "missing in our copy", "ours"}
    assert all((claim.size is None) == (claim.source in unknown) for claim in ALL)


def test_ratios_of_losses_are_those_of_the_text():
    sizes = {claim.text: claim.size for claim in ALL if claim.figure in ("fig3a", "fig3b") and claim.size}
    assert list(sizes.values()) == pytest.approx([0.23, 0.23, 0.2 / 0.23])
