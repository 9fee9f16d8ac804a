"""Weights to choose among: what they stand for, what is held out, what is chosen, and that a search is resumed."""

import dataclasses

import numpy as np
import pytest
import torch

from kernelscope.checkpoints.loading import load
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill import searching
from kernelscope.distill.cohort import Cohort
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train, train_cohort
from kernelscope.errors import Stopped, UnreadableInput, UsageError
from tests.distill.interrupting import interrupt_after

SMALL = Recipe(arch="resnet8x0.25", epochs=1, batch_size=32)
OPEN = "kda(weight=0.1|0.2)"


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 150), ("validation", 40), ("test", 60)))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, arch="resnet8x0.5"), data=data).last)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ce", ["ce"]),
        ("kda(weight=0.05|0.2)", ["kda(weight=0.05)", "kda(weight=0.2)"]),
        ("kda(weight=1e-2|auto,window=3)", ["kda(weight=1e-2,window=3)", "kda(weight=auto,window=3)"]),
        ("rkd(distance=1|2,angle=3|4)", [f"rkd(distance={d},angle={a})" for d in (1, 2) for a in (3, 4)]),
        ("kda(weight=1|2)+kd(T=4)", ["kda(weight=1)+kd(T=4)", "kda(weight=2)+kd(T=4)"]),
        ("kda(layer=re:layer[1|2])", ["kda(layer=re:layer[1|2])"]),
    ],
)
def test_a_list_of_numbers_stands_for_each_of_them(method, expected):
    assert list(searching.alternatives(method)) == expected


@pytest.mark.parametrize(
    ("method", "piece"),
    [
        ("kda(weight=0.1|much)", "'much' is none; write weight=0.05|0.2|0.8"),
        ("kda(weight=0.1|)", "'' is none"),
        ("rkd(distance=1|2|3|4|5|6|7|8|9,angle=1|2|3|4|5|6|7|8)", "stands for 72 methods; write 64 at most"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(method, piece):
    with pytest.raises(UsageError) as raised:
        searching.alternatives(method)
    assert piece in str(raised.value)


def test_a_fifth_of_every_class_is_held_out_of_the_training_examples(data):
    rest, decide, again = searching.held_out(data)
    assert decide is again and rest.n + decide.n == data[0].n and decide.n == 30
    ids = [{row.tobytes() for row in part.ids} for part in (rest, decide, data[1], data[2])]
    assert not ids[0] & ids[1] and not (ids[0] | ids[1]) & (ids[2] | ids[3])
    share = np.bincount(decide.labels, minlength=10) / np.bincount(data[0].labels, minlength=10)
    assert share.min() > 0.1 and share.max() < 0.3


def test_the_best_mean_over_seeds_is_chosen_and_a_failure_counts_as_nothing():
    tried = {"a": [0.5, 0.7], "b": [0.9, None], "c": [0.6, 0.6]}
    choice = searching.choose("a|b|c", tried, 30, (7, 8))
    assert choice.chosen == "a" and choice.tried == tried
    assert "30 training examples held out, seeds 7, 8: 60.0, 45.0, 60.0 %" in choice.note


def test_a_search_sees_neither_the_seeds_nor_the_held_out_examples_of_the_run(data, teacher, monkeypatch):
    seen, made = [], Cohort.__init__

    def noted(self, students, splits, *rest):
        made(self, students, splits, *rest)
        seen.append((tuple(s.recipe.seed for s in students), tuple(s.recipe.weights_seed for s in students), splits))

    monkeypatch.setattr(Cohort, "__init__", noted)
    recipes = [dataclasses.replace(SMALL, method=OPEN, seed=1000, init_seed=seed) for seed in (3, 1001)]
    found = train_cohort(recipes, data=data, teacher=teacher, accuracy_check=False)
    assert [(order, weights) for order, weights, _ in seen] == [
        ((1002, 1002), (1002, 1002)), ((1003, 1003), (1003, 1003)), ((1000, 1000), (3, 1001)),
    ]  # fmt: skip
    for _, _, splits in seen[:2]:
        assert {splits.training.n, splits.validation.n, splits.test.n} == {120, 30}
        ids = {row.tobytes() for part in (splits.validation, splits.test, splits.training) for row in part.ids}
        assert ids == {row.tobytes() for row in data[0].ids}
    search = found[0].last.training["search"]
    assert set(search["tried"]) == {"kda(weight=0.1)", "kda(weight=0.2)"}
    assert search["chosen"] == found[0].last.training["recipe"]["method"] == found[1].last.training["recipe"]["method"]
    assert found[0].last.training["notes"][0] == search["note"]


def test_the_student_of_a_search_is_that_of_the_method_chosen(data, teacher):
    searched = train(dataclasses.replace(SMALL, method=OPEN), data=data, teacher=teacher, accuracy_check=False)
    method = searched.last.training["recipe"]["method"]
    plain = train(dataclasses.replace(SMALL, method=method), data=data, teacher=teacher, accuracy_check=False)
    assert plain.last.training["search"] is None
    for key, value in plain.last.state_dict.items():
        assert torch.equal(value, searched.last.state_dict[key])


@pytest.mark.parametrize("steps", [3, 10, 19])  # in the first seed of the search, its second one, the run
def test_an_interrupted_search_is_resumed_and_nothing_stays_behind(steps, data, teacher, monkeypatch, tmp_path):
    recipe, state = dataclasses.replace(SMALL, method=OPEN), tmp_path / "s.pt.state"
    options = {"data": data, "teacher": teacher, "accuracy_check": False, "state": state}
    with pytest.raises(UnreadableInput, match="does not exist"):
        train(recipe, **options, resume=True)
    whole = train(recipe, **{**options, "state": None})
    with monkeypatch.context() as during, pytest.raises(Stopped, match="holds the run"):
        interrupt_after(during, steps)
        train(recipe, **options)
    said = []
    resumed = train(recipe, **options, resume=True, announce=said.append)
    assert any("choosing among" in note for note in said) == (steps < 16)
    assert resumed.last.training["search"] == whole.last.training["search"]
    for key, value in whole.last.state_dict.items():
        assert torch.equal(value, resumed.last.state_dict[key])
    assert {path.name for path in tmp_path.iterdir()} == {"s.pt.state"}
