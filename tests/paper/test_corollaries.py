"""Bounds over students and epochs: counted right, a broken one named, the estimate's tracking as it was made."""

import copy
import dataclasses
import math

import numpy as np
import pytest

from kernelscope.kernels.snapshot import Teacher
from kernelscope.paper import corollaries
from tests.paper.synthetic import EPOCHS, lemma, student

ROWS = [student(system=system, seed=seed) for system in ("kda", "ce", "rkd") for seed in range(3)]


def changed(row, at, bound, value):
    """``row`` with another value of a bound in an epoch of its trajectory."""
    trajectory = copy.deepcopy(row.trajectory)
    trajectory[at]["layers"]["embedding"]["bounds"][bound] = value
    return dataclasses.replace(row, trajectory=trajectory)


def test_every_student_epoch_and_layer_is_a_point():
    found = corollaries.summaries(corollaries.of_points(ROWS))
    assert {s.points for s in found} == {len(ROWS) * 2 * (EPOCHS + 1)}
    assert [s.printed for s in found if s.bound.endswith("_paper")] == [True, True]


def test_slack_and_what_is_vacuous_are_counted():
    by_name = {s.bound: s for s in corollaries.summaries(corollaries.of_points(ROWS))}
    assert by_name["corollary1"].slack == pytest.approx((3, 3, 3))
    assert by_name["class_centres_lower"].slack == pytest.approx((1 / 0.93,) * 3)
    assert by_name["corollary2_paper"].vacuous == by_name["corollary2_paper"].points
    assert by_name["class_centres_upper"].vacuous < by_name["class_centres_upper"].points
    assert by_name["corollary1"].assumed == 0


@pytest.mark.parametrize("bound", ["corollary1", "corollary2", "theorem2", "class_centres_upper"])
def test_a_corrected_bound_below_the_loss_is_named_with_its_epoch(bound):
    rows = [*ROWS, changed(student(seed=9), 2, bound, 1e-3)]
    (told,) = corollaries.broken(corollaries.of_points(rows), rows)
    assert f"{student(seed=9).key} embedding in epoch 3" in told


@pytest.mark.parametrize("bound", ["corollary1_paper", "corollary2_paper"])
def test_a_printed_bound_that_fails_is_a_finding_and_no_bug(bound):
    rows = [*ROWS, changed(student(seed=9), 2, bound, 1e-3)]
    found = corollaries.of_points(rows)
    assert corollaries.broken(found, rows) == []
    (summary,) = (s for s in corollaries.summaries(found) if s.bound == bound)
    assert summary.holds == summary.points - 1


def test_a_lower_bound_above_the_loss_is_a_bug():
    rows = [changed(student(seed=9), 2, "class_centres_lower", 1e3)]
    assert len(corollaries.broken(corollaries.of_points(rows), rows)) == 1


def test_lemma_1_is_counted_and_a_broken_corrected_one_is_a_bug():
    row = student(seed=9)
    layers = {"embedding": row.layers["embedding"] | {"claims": {"lemma1": lemma(1.2, 1.3)}}}
    rows = [*ROWS, dataclasses.replace(row, layers=layers)]
    found = corollaries.lemma(rows)
    assert found.kernels == 2 * len(ROWS) + 1
    assert found.holds == (found.kernels - 1, found.kernels - 1) and found.tightest == (1.2, 1.3)
    assert len(corollaries.broken([], rows)) == 1


def test_bounds_of_real_kernels_hold_at_every_point():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 20)
    X = rng.standard_normal((240, 12))[:, :8] + 2 * rng.standard_normal((12, 8))[labels]
    teacher = Teacher(X, labels)
    points = [
        {"epoch": e, "layers": {"embedding": teacher.against(X @ rng.standard_normal((8, 5)) / e + 0.1 * e).to_dict()}}
        for e in range(1, 6)
    ]
    row = dataclasses.replace(student(), trajectory=points, layers={})
    found = corollaries.of_points([row])
    assert {point.bound for point in found} >= set(corollaries.SHOWN) and corollaries.broken(found, [row]) == []


def test_tracking_is_the_correlation_over_epochs_and_the_level_at_the_end():
    first, second = corollaries.trackings(ROWS)
    assert (first.layer, second.layer, first.students) == ("embedding", "logits", len(ROWS))
    assert first.pearson[0] > 0.99 and first.spearman[0] > 0.9 and first.across > 0.9
    assert first.level == pytest.approx(0.3, rel=0.05) and first.expected == pytest.approx(math.sqrt(48 / 2000))
    assert first.expanded == pytest.approx((0.93, 0.93))


def test_a_failed_student_has_no_points():
    assert corollaries.of_points([dataclasses.replace(ROWS[0], failed="loss is nan")]) == []
