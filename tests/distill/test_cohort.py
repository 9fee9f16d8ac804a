"""Students side by side are the students they would be alone, and are compared in pairs."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from kernelscope.cli import cohort_table
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.comparison import Group, compared, paired
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.teaching import Teacher
from kernelscope.distill.training import train, train_cohort
from kernelscope.errors import UsageError
from kernelscope.networks.sources import load

SMALL = Recipe(arch="resnet8x0.25", epochs=3, batch_size=32)
METHODS = ("ce", "kd", "kda", "at", "rkd")


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 200), ("validation", 60), ("test", 90)))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, arch="resnet8x0.5", epochs=8), data=data).last)


@pytest.fixture(scope="module")
def cohort(data, teacher):
    recipes = [dataclasses.replace(SMALL, method=method, init_seed=seed) for method in METHODS for seed in (0, 1)]
    return recipes, train_cohort(recipes, data=data, teacher=teacher)


def test_a_student_of_a_cohort_has_the_bits_it_would_have_alone(cohort, data, teacher):
    for recipe, student in zip(*cohort):
        alone = train(recipe, data=data, teacher=teacher).last
        for key, value in student.last.state_dict.items():
            assert torch.equal(value, alone.state_dict[key]), f"{recipe.method}: {key}"
        assert student.last.training["trajectory"] == alone.training["trajectory"]


def test_students_of_one_seed_begin_with_the_same_weights(data, teacher):
    recipes = [dataclasses.replace(SMALL, method=m, init_seed=s, lr=1e-30, epochs=1) for m in METHODS for s in (0, 1)]
    weights = {
        r: s.last.state_dict["conv1.weight"]
        for r, s in zip(map(str, recipes), train_cohort(recipes, data=data, teacher=teacher))
    }
    first = list(weights.values())[::2]
    assert all(torch.equal(first[0], other) for other in first[1:])
    assert not torch.equal(*list(weights.values())[:2])


def test_the_teacher_is_asked_once_a_batch(data, teacher, monkeypatch):
    asked, says = [], Teacher.says

    def counted(self, batch):
        asked.append(len(batch.labels))
        return says(self, batch)

    monkeypatch.setattr(Teacher, "says", counted)
    train_cohort([dataclasses.replace(SMALL, method=m, epochs=2) for m in METHODS], data=data, teacher=teacher)
    assert sum(asked[1:]) == 2 * 200  # after a rehearsal
    asked.clear()
    train_cohort([SMALL, SMALL], data=data, teacher=teacher)
    assert asked == []  # plain students are measured against it, not taught by it


@pytest.mark.parametrize("change", [{"epochs": 2}, {"batch_size": 16}, {"seed": 1}, {"pad": 0}])
def test_students_that_cannot_share_their_data_are_refused(change, data):
    name = next(iter(change))
    with pytest.raises(UsageError, match=f"share {name}"):
        train_cohort([SMALL, dataclasses.replace(SMALL, **change)], data=data)
    with pytest.raises(UsageError, match="no student"):
        train_cohort([], data=data)


def test_paired_differences_have_students_interval():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 7))
    found, interval = paired(a, b, "seeds"), stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.value - found.half_width, found.value + found.half_width) == pytest.approx(tuple(interval))
    assert (found.n, found.over) == (7, "seeds")
    assert paired([1.0], [0.5], "seeds").half_width is None


def test_pairing_cancels_what_two_students_share():
    rng = np.random.default_rng(1)
    shared = 10 * rng.standard_normal(20)
    a, b = shared + 1 + 0.1 * rng.standard_normal(20), shared
    assert paired(a, b, "seeds").half_width < 0.1
    assert paired(a, rng.permutation(b), "seeds").half_width > 3


def test_methods_are_compared_over_seeds_and_single_students_over_examples(cohort):
    recipes, trained = cohort
    groups = [Group(m, tuple(s for r, s in zip(recipes, trained) if r.method == m)) for m in METHODS]
    found = compared(groups[2], groups[0])
    differences = np.subtract(groups[2].top1(), groups[0].top1())
    assert found["top1"].value == pytest.approx(differences.mean()) and found["top1"].over == "seeds"
    last = [s.last.training["trajectory"][-1]["layers"]["embedding"]["transfer_loss"] for s in groups[2].students]
    assert groups[2].losses("embedding") == last
    assert found["transfer_loss at embedding"].value == pytest.approx(
        np.mean(last) - np.mean(groups[0].losses("embedding"))
    )
    single = compared(Group("kda", trained[4:5]), Group("ce", trained[:1]))
    assert (single["top1"].over, single["top1"].n) == ("examples", 90)
    assert single["top1"].value == pytest.approx(trained[4].last.metrics["top1"] - trained[0].last.metrics["top1"])
    assert single["transfer_loss at embedding"].half_width is None


def test_the_table_has_a_row_a_method_and_a_line_a_comparison(cohort):
    recipes, trained = cohort
    groups = [Group(m, tuple(s for r, s in zip(recipes, trained) if r.method == m)) for m in METHODS]
    lines = cohort_table.text(groups).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == list(METHODS)
    for group, line in zip(groups, lines[1:6]):
        assert f"{100 * np.mean(group.top1()):.1f} ± {100 * np.std(group.top1(), ddof=1):.1f}" in line
        assert f"{np.mean(group.losses('logits')):.3f}" in line
    assert [line.split(":")[0] for line in lines[-4:]] == [f"{method} − ce" for method in METHODS[1:]]
    without_teacher = Group("ce", (dataclasses.replace(trained[0], last=_without_trajectory(trained[0].last)),))
    assert "–" in cohort_table.text([without_teacher])


def _without_trajectory(checkpoint):
    return dataclasses.replace(checkpoint, training={**checkpoint.training, "trajectory": None})
