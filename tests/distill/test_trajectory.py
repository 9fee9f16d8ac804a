"""A trajectory's points are what measure says of the checkpoint of that epoch."""

import dataclasses

import numpy as np
import pytest
import torch

from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.distill.trajectory import accuracy, evaluate
from kernelscope.measurement.measure import measure

SMALL = Recipe(arch="resnet8x0.25", epochs=3, batch_size=64)


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split) for split in ("train", "validation", "test"))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, arch="resnet8x0.5", epochs=4), data=data).last)


@pytest.fixture(scope="module")
def trained(data, teacher):
    return train(dataclasses.replace(SMALL, method="kda+gram@layer2"), data=data, teacher=teacher)


def test_the_last_point_is_what_measure_says_of_the_checkpoint(trained, teacher, data, tmp_path):
    for name, checkpoint in (("t", teacher.checkpoint), ("s", trained.last)):
        save_checkpoint(tmp_path / f"{name}.pt", checkpoint)
    words = {"data": "digits", "split": "validation", "layers": "embedding,logits,layer2", "cache": False}
    report = measure(teacher=tmp_path / "t.pt", student=tmp_path / "s.pt", accuracy_check=False, **words)
    last = trained.last.training["trajectory"][-1]
    assert last["epoch"] == 3 and set(last["layers"]) == {"embedding", "logits", "layer2"}
    for layer, point in last["layers"].items():
        pair = report.sel(student_layer=layer)
        pair = next(iter(pair)) if not hasattr(pair, "transfer_loss") else pair
        expected = {
            "n": 136,
            "transfer_loss": pair.transfer_loss,
            "scaled": pair.ladder.scaled,
            "cka": pair.cka,
            "norm_teacher": pair.norm_teacher,
            "norm_student": pair.norm_student,
            "partial_norm": pair.nystrom.partial_norm,
            "estimate": pair.paper.estimate,
            "expanded_estimate": pair.nystrom.expanded_estimate,
            "min_eigenvalue_teacher": pair.landmark_spectrum.teacher.min,
            "min_eigenvalue_student": pair.landmark_spectrum.student.min,
        }
        for field, value in expected.items():
            assert point[field] == pytest.approx(value, rel=1e-6, abs=1e-9), (layer, field)
        assert point["theorem2"] == pytest.approx(dataclasses.asdict(pair.paper.theorem2), rel=1e-6)
        bounds = {name: b.value / pair.norm_teacher for name, b in pair.paper.bounds.items() if b is not None}
        assert point["bounds"] == pytest.approx(bounds, rel=1e-6)


def test_every_epoch_has_a_point_and_plain_students_are_followed_too(data, teacher):
    plain = train(SMALL, data=data, teacher=teacher).last.training
    assert [point["epoch"] for point in plain["trajectory"]] == [1, 2, 3]
    assert plain["teacher_sha256"] == teacher.sha256
    assert train(SMALL, data=data).last.training["trajectory"] is None


def test_being_followed_changes_no_bit_of_the_student(data, teacher):
    followed, alone = (train(SMALL, data=data, teacher=t).last.state_dict for t in (teacher, None))
    assert all(torch.equal(value, alone[key]) for key, value in followed.items())


def test_a_trajectory_follows_the_first_2000_examples(data, teacher):
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.integers(0, most, (n, 1, 8, 8), np.uint8) for n, most in ((2000, 9), (300, 255))])
    many = Examples("many", "validation", inputs, rng.integers(0, 10, 2300), example_ids(inputs), data[0].classes)
    short = dataclasses.replace(SMALL, epochs=1)
    points = []
    for validation in (many, many.head(2000)):
        trained = train(short, data=(data[0].head(128), validation, data[2].head(10)), teacher=teacher).last.training
        points.append(trained["trajectory"][0]["layers"])
    for layer, point in points[0].items():
        assert point["n"] == 2000
        for field in ("transfer_loss", "partial_norm", "min_eigenvalue_student"):  # the last two know the labels
            assert point[field] == pytest.approx(points[1][layer][field], rel=1e-5), (layer, field)


def test_accuracy_is_that_of_the_examples_one_by_one(trained, data):
    network = trained.last.network()
    test = data[2].head(70)
    right = [network(test.batch(i, i + 1)).argmax(1).item() == test.labels[i] for i in range(70)]
    assert accuracy(evaluate(network, test, "cpu")[0], test) == np.mean(right)
