"""Students side by side are the students they would be alone, and are compared in pairs."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

from kernelscope.checkpoints.loading import load
from kernelscope.cli import cohort_table
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.comparison import Group, compared, of_accuracies, of_predictions, paired
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.teaching import Teacher
from kernelscope.distill.training import train, train_cohort
from kernelscope.errors import UsageError

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
    recipes, students = cohort
    for recipe, student in [*zip(recipes, students)][::2]:
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
    asked, forward = [], Teacher.forward

    def counted(self, batch, x):
        asked.append(len(batch.labels))
        return forward(self, batch, x)

    monkeypatch.setattr(Teacher, "forward", counted)
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


@pytest.mark.parametrize(("seeds", "given"), [(1, False), (2, False), (3, True)])
def test_below_three_seeds_there_is_a_difference_and_no_interval(seeds, given):
    rng = np.random.default_rng(seeds)
    a, b = rng.random((2, seeds))
    right = rng.random((2, seeds, 50)) < 0.8
    for found, value in (
        (paired(a, b, "seeds"), np.mean(a - b)),
        (of_accuracies(a, b, 50), np.mean(a - b)),
        (of_predictions(*right), right[0].mean() - right[1].mean()),
    ):
        assert found.value == pytest.approx(value) and found.n == seeds
        assert (found.half_width is not None) == given


def predictions(rng, seeds, n, centre, seed_spread=0.3):
    """Whether each seed's student is right: examples differ in difficulty, for both methods and for each."""
    shared = 2 * rng.standard_normal(n)
    return [
        rng.random((seeds, n))
        < 1 / (1 + np.exp(-c - shared - 0.7 * rng.standard_normal(n) - seed_spread * rng.standard_normal((seeds, 1))))
        for c in centre
    ]


@pytest.mark.parametrize("n", [90, 450, 2000])
@pytest.mark.parametrize("seed_spread", [0.0, 0.3])
def test_the_interval_of_accuracies_counts_seeds_and_test_examples(n, seed_spread):
    rng = np.random.default_rng(n)
    centre = (3.0, 3.4)
    a, b = predictions(rng, 2000, 500, centre, seed_spread)
    truths = [x.mean() for x in (a, b)]
    for _ in range(39):  # other examples, since 500 are few
        a, b = predictions(rng, 200, 500, centre, seed_spread)
        truths = [truths[0] + a.mean(), truths[1] + b.mean()]
    truth = (truths[0] - truths[1]) / 40
    hits, limits = 0, 0
    for _ in range(200):
        right = predictions(rng, 3, n, centre, seed_spread)
        kept = of_predictions(*right)
        lost = of_accuracies(*(x.mean(axis=1) for x in right), n)
        hits += abs(kept.value - truth) <= kept.half_width
        limits += abs(lost.value - truth) <= lost.half_width
        assert kept.value == pytest.approx(lost.value)
    assert hits >= 180 and limits >= hits - 4


def test_the_variance_of_an_accuracy_is_that_of_seeds_and_that_of_examples():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 4, 60)) < np.array([0.9, 0.7, 0.8, 0.5])[:, None]
    right = a.astype(float) - b
    of_seeds = right.mean(axis=1).var(ddof=1) / 4
    thought = np.r_[right.mean(axis=0) - right.mean(), np.sqrt([0.5, 0.5])]  # half an example each way
    of_examples = np.sum(thought**2) / 59 / 60
    freedom = (of_seeds + of_examples) ** 2 / (of_seeds**2 / 3 + of_examples**2 / 59)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(of_seeds + of_examples)
    assert of_predictions(a, b).half_width == pytest.approx(half, rel=1e-12)


def test_seeds_that_agree_do_not_make_a_test_set_infinite():
    """Three seeds with the same predictions: a spread of 0 over seeds, and 90 examples are still 90."""
    rng = np.random.default_rng(0)
    a, b = (np.tile(rng.random(90) < 0.9, (3, 1)) for _ in range(2))
    assert paired(a.mean(axis=1), b.mean(axis=1), "seeds").half_width == 0
    found, of_one = of_predictions(a, b), np.subtract(a[0], b[0], dtype=float)
    assert found.half_width >= 1.95 * of_one.std(ddof=1) / math.sqrt(90)
    assert of_predictions(a, a).half_width > 0.01
    assert of_accuracies([1.0] * 3, [1.0] * 3, 90).half_width > 0.01
    assert found.over == "seeds and 90 test examples"


def test_pairing_cancels_what_two_students_share():
    rng = np.random.default_rng(1)
    shared = 10 * rng.standard_normal(20)
    a, b = shared + 1 + 0.1 * rng.standard_normal(20), shared
    assert paired(a, b, "seeds").half_width < 0.1
    assert paired(a, rng.permutation(b), "seeds").half_width > 3


def test_methods_are_compared_over_seeds_and_test_examples(cohort):
    recipes, trained = cohort
    groups = [Group(m, tuple(s for r, s in zip(recipes, trained) if r.method == m)) for m in METHODS]
    found = compared(groups[2], groups[0])
    differences = np.subtract(groups[2].top1(), groups[0].top1())
    assert found["top1"].value == pytest.approx(differences.mean())
    assert (found["top1"].n, found["top1"].over) == (2, "seeds and 90 test examples")
    last = [s.last.training["trajectory"][-1]["layers"]["embedding"]["transfer_loss"] for s in groups[2].students]
    assert groups[2].at("embedding") == last
    assert found["transfer_loss at embedding"].value == pytest.approx(
        np.mean(last) - np.mean(groups[0].at("embedding"))
    )
    assert all(each.half_width is None for each in found.values())
    single = compared(Group("kda", trained[4:5]), Group("ce", trained[:1]))
    assert single["top1"].value == pytest.approx(trained[4].last.metrics["top1"] - trained[0].last.metrics["top1"])
    assert all(each.half_width is None for each in single.values())
    three = compared(Group("kda", trained[3:6]), Group("ce", trained[:3]))
    assert all(each.half_width > 0 for each in three.values())
    right = [np.array([student.correct for student in part]) for part in (trained[3:6], trained[:3])]
    assert three["top1"] == of_predictions(*right)


def test_the_table_has_three_rows_a_method_and_a_line_a_comparison(cohort):
    recipes, trained = cohort
    groups = [Group(m, tuple(s for r, s in zip(recipes, trained) if r.method == m)) for m in METHODS]
    lines = cohort_table.text(groups).splitlines()
    assert [line.split(":")[0] for line in lines[1:16:3]] == list(METHODS)
    for group, line, embedding, logits in zip(groups, lines[1:16:3], lines[2:16:3], lines[3:16:3]):
        assert f"{100 * np.mean(group.top1()):.1f} ± {100 * np.std(group.top1(), ddof=1):.1f}" in line
        for layer, cells in (("embedding", embedding), ("logits", logits)):
            fields = ("transfer_loss", "scaled", "head_held_out", "neighbours")
            numbers = [group.at(layer, field) for field in fields]
            assert numbers.count(None) == (layer == "embedding")  # 60 examples are too few for a head of 16 features
            shown = ["–" if x is None else f"{np.mean(x):.3f} ± {np.std(x, ddof=1):.3f}" for x in numbers]
            assert cells.split() == [layer, *" ".join(shown).split()]
    assert all(len(line) <= 80 for line in lines[:16])
    assert [line.split(":")[0] for line in lines[-5:-1]] == [f"{method} − ce" for method in METHODS[1:]]
    assert not any("±" in line or "95" in line for line in lines[-5:])
    assert lines[-1].startswith("These differences have no interval: 2 seeds are too few")
    one = cohort_table.text([Group("ce", trained[:1]), Group("kda", trained[4:5])])
    assert one.splitlines()[-1].startswith("These differences have no interval: one seed is too few")
    without_teacher = Group("ce", (dataclasses.replace(trained[0], last=_without_trajectory(trained[0].last)),))
    assert "–" in cohort_table.text([without_teacher])
    assert "interval" not in cohort_table.text([without_teacher])


def test_from_three_seeds_on_a_difference_is_printed_with_its_interval(cohort):
    trained = cohort[1]
    groups = [Group("ce", trained[:3]), Group("kda", trained[3:6])]
    *_, line = cohort_table.text(groups).splitlines()
    half = 100 * compared(groups[1], groups[0])["top1"].half_width
    assert f" ± {half:.1f} points (95 % over 3 seeds and 90 test examples); transfer_loss at embedding " in line
    assert line.count("(95 % over 3 seeds, on these validation examples)") == 2


def _without_trajectory(checkpoint):
    return dataclasses.replace(checkpoint, training={**checkpoint.training, "trajectory": None})
