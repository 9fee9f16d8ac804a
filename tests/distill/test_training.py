"""The loop: what decides a run, what it refuses, and what its checkpoint says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from kernelscope.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.cli.demo_recipes import demo_recipes
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill import training
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.recipe import Recipe, recipe
from kernelscope.distill.training import train
from kernelscope.distill.trajectory import accuracy, evaluate
from kernelscope.errors import Mismatch, NumericalError, UsageError

SMALL = Recipe(arch="resnet8x0.25", epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def data():
    """300 training digits and small validation and test parts."""
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 300), ("validation", 60), ("test", 80)))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, epochs=6), data=data).last)


def weights(checkpoint):
    return torch.cat([value.flatten().double() for value in checkpoint.state_dict.values()])


def test_the_loop_names_no_loss():
    text = Path(training.__file__).read_text().lower()
    for name, kind in LOSSES.items():
        module = kind.__module__.rpartition(".")[2]
        assert f"losses.{module}" not in text and f'"{name}"' not in text, f"the loop names {name}"


@pytest.mark.parametrize("method", ["ce", "kd", "kda", "kda@logits(weight=0.1)+kd(T=2)"])
def test_the_same_recipe_gives_the_same_bits_whatever_the_global_seed(method, data, teacher):
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        runs.append(weights(train(dataclasses.replace(SMALL, method=method), data=data, teacher=teacher).last))
    assert torch.equal(*runs)


def test_methods_share_initial_weights_and_order(data, teacher):
    first_losses = {}
    for method in ("ce", "kd", "kda"):
        short = dataclasses.replace(SMALL, method=method, epochs=4, lr=1e-12)
        trained = train(short, data=data, teacher=teacher).last
        first_losses[method] = trained.training["history"][0]["loss"]["ce"]
    assert len({round(value, 6) for value in first_losses.values()}) == 1


def test_kda_changes_nothing_during_its_warm_up(data, teacher):
    long = dataclasses.replace(SMALL, epochs=4)
    plain = train(long, data=data).last.training["history"]
    kda = train(dataclasses.replace(long, method="kda(weight=5)"), data=data, teacher=teacher).last.training["history"]
    assert kda[0]["loss"]["kda(weight=5)"] == 0.0
    assert kda[0]["loss"]["ce"] == plain[0]["loss"]["ce"]
    assert kda[1]["loss"]["kda(weight=5)"] > 0
    assert kda[1]["loss"]["ce"] != plain[1]["loss"]["ce"]


def test_a_different_seed_gives_a_different_network(data):
    one, two = (train(dataclasses.replace(SMALL, seed=seed), data=data).last for seed in (0, 1))
    assert not torch.equal(weights(one), weights(two))


def test_the_checkpoint_reproduces_the_accuracy_it_states(data, tmp_path):
    trained = train(SMALL, data=data)
    for which in ("last", "best"):
        checkpoint = getattr(trained, which)
        save_checkpoint(tmp_path / f"{which}.pt", checkpoint)
        again = load_checkpoint(tmp_path / f"{which}.pt")
        top1 = accuracy(evaluate(again.network(), data[2], "cpu")[0], data[2])
        assert top1 == checkpoint.metrics["top1"] == checkpoint.metrics[f"top1_{which}"]
        assert again.data["order_sha256"] == data[2].order_sha256
    best = max(record["validation_top1"] for record in trained.last.training["history"])
    assert trained.best.training["history"][trained.best.training["epoch"] - 1]["validation_top1"] == best


def test_of_equally_good_epochs_the_first_is_the_best():
    inputs = np.random.default_rng(0).integers(0, 17, (32, 1, 8, 8)).astype(np.uint8)
    one_class = Examples("toy", "train", inputs, np.zeros(32, np.int64), example_ids(inputs), ("a",))  # always right
    data = (one_class, one_class, one_class)
    trained, first = (train(dataclasses.replace(SMALL, epochs=epochs), data=data) for epochs in (3, 1))
    assert [record["validation_top1"] for record in trained.last.training["history"]] == [1, 1, 1]
    assert trained.best.training["epoch"] == 1
    assert torch.equal(weights(trained.best), weights(first.last))
    assert not torch.equal(weights(trained.best), weights(trained.last))


def test_the_best_epoch_is_that_of_validation_and_the_score_that_of_the_last(data):
    wrong = dataclasses.replace(data[1], labels=(data[1].labels + 1) % 10)  # who learns is ever more rarely right
    trained = train(dataclasses.replace(SMALL, epochs=6, arch="resnet8x0.5"), data=(data[0], wrong, data[2]))
    history = trained.last.training["history"]
    scores, taught = ([record[split] for record in history] for split in ("validation_top1", "train_top1"))
    assert trained.best.training["epoch"] == 1 + np.argmax(scores) < 1 + np.argmax(taught)
    assert trained.correct.mean() == trained.last.metrics["top1"] > trained.best.metrics["top1"]


def test_training_learns(data):
    history = train(dataclasses.replace(SMALL, epochs=8, arch="resnet8x0.5"), data=data).last.training["history"]
    assert history[-1]["loss"]["ce"] < 0.5 * history[0]["loss"]["ce"]
    assert history[-1]["train_top1"] > 0.6
    assert history[-1]["lr"] < history[3]["lr"]


def test_a_loss_that_is_not_finite_names_its_term_and_epoch(data, teacher):
    with pytest.raises(NumericalError, match=r"term \S+ is \S+ in batch \d of epoch [12]"):
        train(dataclasses.replace(SMALL, lr=1e30, method="kd"), data=data, teacher=teacher)


def test_a_method_that_needs_a_teacher_says_so(data):
    with pytest.raises(UsageError, match="pass teacher="):
        train(dataclasses.replace(SMALL, method="kd"), data=data)


def test_a_teacher_of_other_classes_is_refused(data, teacher):
    few = tuple(dataclasses.replace(part, classes=("a", "b"), labels=part.labels % 2) for part in data)
    with pytest.raises(Mismatch, match="10 classes and the data 2"):
        train(dataclasses.replace(SMALL, method="kd"), data=few, teacher=teacher)


def test_teacher_and_student_are_left_in_the_mode_they_were_in(data, teacher):
    before = {name: value.clone() for name, value in teacher.module.state_dict().items()}
    train(dataclasses.replace(SMALL, method="kda"), data=data, teacher=teacher)
    assert not teacher.module.training
    for name, value in teacher.module.state_dict().items():
        assert torch.equal(value, before[name]), f"training changed the teacher's {name}"


def test_a_last_batch_of_one_example_is_joined_to_the_one_before():
    inputs = np.random.default_rng(0).integers(0, 17, (33, 1, 8, 8)).astype(np.uint8)
    labels = np.arange(33) % 3
    part = Examples("toy", "train", inputs, labels, example_ids(inputs), ("a", "b", "c"))
    trained = train(Recipe(arch="resnet8x0.25", epochs=1, batch_size=16), data=(part, part, part))
    assert trained.last.training["history"][0]["epoch"] == 1


def test_progress_is_told_after_every_epoch(data):
    told = []
    train(SMALL, data=data, progress=lambda *words: told.append(words))
    assert [words[:3] for words in told] == [(0, 1, 2), (0, 2, 2)]


def test_the_demo_trains_its_students_alike():
    recipes = demo_recipes(3)
    assert list(recipes) == ["teacher", "ce", "kd", "kda"]
    students = [dataclasses.replace(r, method="") for name, r in recipes.items() if name != "teacher"]
    assert students[0] == students[1] == students[2]
    assert students[0].seed == 3


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"lr": -1.0}, {"lr": float("nan")}, {"batch_size": 0}])
def test_a_recipe_refuses_what_cannot_be_run(changes):
    with pytest.raises(UsageError):
        Recipe(**changes)


def test_a_shift_that_the_crop_would_not_heed_is_refused():
    assert recipe("paper-cifar100", pad=2).pad == 2
    with pytest.raises(UsageError, match="the crop resized of this recipe does not; drop pad="):
        recipe("paper-tiny-imagenet", pad=2)


def test_presets_take_changes_and_unknown_ones_are_refused():
    assert recipe("paper-cifar100", lr=None, epochs=3).lr == 0.1
    assert recipe("paper-cifar100", epochs=3).epochs == 3
    with pytest.raises(UsageError, match="quick"):
        recipe("slow")
