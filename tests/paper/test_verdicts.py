"""Verdicts: right where the truth is known, and rarely confirmed where there is no difference."""

import dataclasses
import math

import numpy as np
import pytest

from kernelscope.distill.comparison import of_predictions, paired
from kernelscope.paper.cells import Cells
from kernelscope.paper.claims import Claim
from kernelscope.paper.rows import packed
from kernelscope.paper.verdicts import after, judge, unmet
from tests.paper.synthetic import student

SEEDS = range(3)
TRIALS = 1000
ANYONE = student(images=8)


def verdict(claim: Claim, *, seeds=SEEDS, images=2000, sd=0.005, draw=0, **means):
    """``means``: accuracy or loss by system."""
    key = "top1" if claim.quantity == "top1" else "loss"
    rows = [
        student(claim.scene, claim.role, system, seed, sd=sd, images=images, draw=draw, **{key: mean})
        for system, mean in means.items()
        for seed in seeds
    ]
    return judge(claim, Cells(rows))


def claim(relation="higher", quantity="top1", size=None, first="kda", second="ce"):
    return Claim("fig", "said", "first", "S1", first, second, quantity, relation=relation, size=size)


@pytest.mark.parametrize(
    ("relation", "quantity", "size", "first", "second", "outcome"),
    [
        ("higher", "top1", 0.05, 0.80, 0.70, "confirmed"),
        ("higher", "top1", 0.05, 0.70, 0.80, "contradicted"),
        ("higher", "top1", 0.001, 0.80, 0.70, "not testable"),
        ("higher", "top1", None, 0.80, 0.70, "confirmed"),
        ("lower", "raw", 0.23, 0.20, 0.50, "confirmed"),
        ("lower", "raw", 0.23, 0.50, 0.20, "contradicted"),
        ("lower", "raw", 0.9999, 0.20, 0.50, "not testable"),
        ("ratio", "raw", 0.23, 0.23, 1.00, "confirmed"),
        ("ratio", "raw", 0.23, 0.82, 1.00, "contradicted"),
        ("ratio", "raw", 0.23, 0.10, 1.00, "confirmed"),
        ("ratio", "raw", 0.23, 0.35, 1.00, "contradicted"),
        ("similar", "top1", 0.05, 0.75, 0.75, "confirmed"),
        ("similar", "top1", 0.05, 0.60, 0.75, "contradicted"),
        ("similar", "top1", 0.001, 0.75, 0.75, "not testable"),
        ("no higher", "top1", 0.05, 0.60, 0.75, "confirmed"),
        ("no higher", "top1", 0.05, 0.90, 0.75, "contradicted"),
        ("level", "min_eigenvalue", 10.0, 0.75, 0.75, "contradicted"),
        ("level", "min_eigenvalue", 0.001, 0.75, 0.75, "confirmed"),
    ],
)
def test_a_clear_truth_has_its_verdict(relation, quantity, size, first, second, outcome):
    found = verdict(claim(relation, quantity, size), kda=first, ce=second)
    assert found.outcome == outcome
    if outcome in ("confirmed", "contradicted"):
        assert found.agreeing == (3 if outcome == "confirmed" else 0)


def exact(said: Claim, first, second):
    """The verdict on losses as they are given, one for each seed."""
    rows = [
        dataclasses.replace(ANYONE, system=system, seed=seed, layers={"embedding": {"raw": loss}})
        for system, losses in ((said.first, first), (said.second, second))
        for seed, loss in enumerate(losses)
    ]
    return judge(said, Cells(rows))


def test_testable_ends_where_half_the_interval_is_the_papers_own_difference():
    first, second = (0.49, 0.50, 0.51), (1.0, 1.0, 1.0)  # differences of -0.5 with a half-width of 0.0248
    wider, narrower = (exact(claim("lower", "raw", size), first, second).outcome for size in (0.98, 0.97))
    assert (wider, narrower) == ("not testable", "confirmed")


def test_an_interval_across_the_margin_decides_nothing():
    found = exact(claim("no higher", "raw", 0.03), (1.02, 1.03, 1.04), (1.0, 1.0, 1.0))
    assert (found.outcome, found.agreeing) == ("direction only", 1) and found.half_width == pytest.approx(
        0.0248, abs=1e-4
    )


@pytest.mark.parametrize(("sd", "images"), [(0.03, 2000), (0.0, 60)], ids=["seeds-differ", "few-images"])
def test_an_interval_of_accuracies_covers_seeds_alone_and_test_images_too(sd, images):
    for draw in range(8):
        alike = {"sd": sd, "top1": 0.7, "draw": draw, "images": images}
        both = [[student(system=system, seed=seed, **alike) for seed in SEEDS] for system in ("kda", "ce")]
        seeds = paired(*([row.top1 for row in rows] for rows in both), "seeds").half_width
        over_both = of_predictions(*(np.stack([row.right() for row in rows]) for rows in both)).half_width
        assert judge(claim(), Cells([*both[0], *both[1]])).half_width == max(seeds, over_both)


def test_a_claim_of_students_that_are_not_there_is_not_run():
    assert verdict(claim(), ce=0.7).outcome == "not run"


def test_two_seeds_have_no_interval_and_decide_nothing():
    found = verdict(claim(size=0.05), seeds=range(2), kda=0.8, ce=0.7)
    assert (found.outcome, found.half_width, found.agreeing) == ("not testable", None, 2)


def test_seeds_are_paired_and_failed_students_left_out():
    rows = [student(system=system, seed=seed, top1=0.7) for system in ("kda", "ce") for seed in SEEDS]
    rows[1] = dataclasses.replace(rows[1], failed="loss is nan in epoch 1", top1=None, correct=None)
    found = judge(claim(), Cells(rows))
    assert found.seeds == 2


def test_another_test_set_is_part_of_the_interval_of_an_accuracy():
    few, many = (verdict(claim(), images=images, sd=0.0, kda=0.72, ce=0.70).half_width for images in (100, 10_000))
    assert few > 5 * many


def test_the_value_of_a_ratio_is_its_logarithm():
    assert verdict(claim("ratio", "raw", 0.23), sd=0.0, kda=0.3, ce=0.6).value == pytest.approx(math.log(0.5))


def test_a_loss_is_judged_again_after_the_scalar_and_the_head():
    rows = [student(system=system, seed=seed) for system in ("kda", "ce") for seed in SEEDS]
    cells = Cells(rows)
    again = after(judge(claim("lower", "raw"), cells), cells)
    assert {rung: found.outcome for rung, found in again.items()} == {
        "scaled": "confirmed",
        "head_held_out": "confirmed",
    }
    assert after(judge(claim(), cells), cells) == {}


@pytest.mark.parametrize(
    ("size", "relation", "quantity"), [(None, "higher", "top1"), (0.23, "ratio", "raw"), (None, "lower", "raw")]
)
def test_of_no_difference_few_claims_are_confirmed(size, relation, quantity):
    rng = np.random.default_rng(7)
    outcomes = [no_difference(claim(relation, quantity, size), rng) for _ in range(TRIALS)]
    for wrong in ("confirmed", "contradicted") if relation != "ratio" else ("confirmed",):
        assert np.mean([outcome == wrong for outcome in outcomes]) <= 0.025 + 3 * math.sqrt(0.025 / TRIALS)


def no_difference(said: Claim, rng: np.random.Generator) -> str:
    """The verdict on two systems that differ by their seeds and a finite test set alone."""
    rows = []
    difficulty = rng.random(400)
    for system in (said.first, said.second):
        for seed in SEEDS:
            right = difficulty + 0.1 * rng.standard_normal(400) < 0.75 + 0.02 * rng.standard_normal()
            row = dataclasses.replace(ANYONE, system=system, seed=seed)
            layers = {"embedding": {"raw": float(0.3 * np.exp(0.1 * rng.standard_normal()))}}
            rows.append(with_right(row, right, layers))
    return judge(said, Cells(rows)).outcome


def with_right(row, right, layers):

    return dataclasses.replace(
        row, top1=float(right.mean()), correct=packed(right), test_images=len(right), layers=layers
    )


def test_a_plain_student_beyond_the_range_and_few_images_are_told():
    rows = [student(system=system, seed=seed, top1=0.95, images=500) for system in ("kda", "ce") for seed in SEEDS]
    said = " ".join(unmet(Cells(rows), "first", "S1", rows))
    assert "plain student at" in said and "points above" in said and "500 test images" in said


def test_a_long_warm_up_is_told_and_a_single_epoch_is_not():
    rows = [student(seed=seed, method="kda(warm_up=3)") for seed in SEEDS]
    assert "warm-up over 50%" in " ".join(unmet(Cells(rows), "first", "S1", rows))
    rows = [student(seed=seed, method="kda(weight=0.1)") for seed in SEEDS]
    assert not any("warm-up" in said for said in unmet(Cells(rows), "first", "S1", rows))
