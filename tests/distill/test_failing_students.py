"""A student whose loss is not finite ends alone, named; the others end in the bits they would have without it."""

import dataclasses

import pytest
import torch

from kernelscope.checkpoints.loading import load
from kernelscope.cli import cohort_table
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.comparison import Group
from kernelscope.distill.outcome import SomeFailed
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train, train_cohort
from kernelscope.errors import NumericalError

SMALL = Recipe(arch="resnet8x0.25", epochs=3, batch_size=32)
METHODS = ("ce", "kd(weight=1e38)", "kda(weight=0.1)")


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 120), ("validation", 40), ("test", 60)))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, arch="resnet8x0.5"), data=data).last)


def cohort(methods=METHODS, seeds=(0, 1)):
    return [dataclasses.replace(SMALL, method=method, init_seed=seed) for method in methods for seed in seeds]


def test_the_others_are_trained_to_the_end_and_the_failed_ones_are_named(data, teacher):
    said = []
    with pytest.raises(
        SomeFailed, match=r"kd\(weight=1e38\), seed 0: loss term .* in batch \d of epoch 1; .* 1 more"
    ) as raised:
        train_cohort(cohort(), data=data, teacher=teacher, accuracy_check=False, announce=said.append)
    assert [student is None for student in raised.value.students] == [False, False, True, True, False, False]
    assert set(raised.value.reasons) == {2, 3}
    assert sum("not trained on: kd(weight=1e38), seed 1: " in note for note in said) == 1
    without = train_cohort(cohort(("ce", "kda(weight=0.1)")), data=data, teacher=teacher, accuracy_check=False)
    for ours, theirs in zip([s for s in raised.value.students if s is not None], without):
        for key, value in ours.last.state_dict.items():
            assert torch.equal(value, theirs.last.state_dict[key])


def test_of_students_that_all_fail_the_error_is_their_own(data, teacher):
    with pytest.raises(NumericalError, match="in batch") as raised:
        train_cohort(cohort(METHODS[1:2]), data=data, teacher=teacher, accuracy_check=False)
    assert not isinstance(raised.value, SomeFailed)


def test_the_table_says_which_failed_and_pairs_the_seeds_that_are_left(data, teacher):
    trained = train_cohort(cohort(("ce", "kda"), (0, 1, 2, 3)), data=data, teacher=teacher, accuracy_check=False)
    whole = [Group("ce", tuple(trained[:4])), Group("kda", tuple(trained[4:]))]
    short = [whole[0], Group("kda", (trained[4], None, *trained[6:])), Group("rkd", (None,) * 4)]
    lines = cohort_table.text(short).splitlines()
    assert "1 of 4 seeds failed" in lines[4] and lines[7] == "rkd: failed"
    assert "over 3 seeds" in lines[-1] and not any(line.startswith("rkd −") for line in lines)
    assert "over 4 seeds" in cohort_table.text(whole).splitlines()[-1]
