"""Gradients that are logged, rates, precision, and what is refused before the first epoch."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.preprocess import apply
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill import precision
from kernelscope.distill.batches import EpochBatches, splits_of
from kernelscope.distill.recipe import PRESETS, Recipe, recipe
from kernelscope.distill.student import Student
from kernelscope.distill.training import train
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import zoo

SMALL = Recipe(arch="resnet8x0.25", epochs=3, batch_size=64, pad=0)


@pytest.fixture(scope="module")
def data():
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 200), ("validation", 80), ("test", 60)))


@pytest.fixture(scope="module")
def teacher(data):
    return load(train(dataclasses.replace(SMALL, arch="resnet8x0.5", epochs=8), data=data).last)


def test_the_gradient_log_is_that_of_the_first_batch(data, teacher):
    """Recomputed outside the loop: plain network, plain losses, the batch from its recipe."""
    kd = dataclasses.replace(SMALL, method="kd(T=2,weight=3)", epochs=1)
    logged = train(kd, data=data, teacher=teacher).last.training["history"][0]["gradient"]
    splits = splits_of(data)
    network = Student(kd, splits, "cpu").network.train()
    batch = EpochBatches(splits, kd, 0).draw(0)
    images = apply(splits.training.preprocess, batch.images)
    logits = network(images)
    with torch.no_grad():
        said = teacher.module.eval()(images)
    ce = functional.cross_entropy(logits, batch.labels)
    soft = functional.softmax(said / 2, 1)
    distill = 3 * 4 * (soft * (soft.log() - functional.log_softmax(logits / 2, 1))).sum(1).mean()
    flat = [
        torch.cat([g.flatten() for g in torch.autograd.grad(value, list(network.parameters()), retain_graph=True)])
        for value in (ce, distill)
    ]
    cosine = float(flat[0] @ flat[1] / flat[0].norm() / flat[1].norm())
    norms = [float(gradient.norm()) for gradient in flat]
    assert logged == pytest.approx({"ce": norms[0], "distill": norms[1], "cosine": cosine}, rel=1e-4)


def test_an_epochs_loss_and_accuracy_are_means_over_its_examples(data):
    still = dataclasses.replace(SMALL, epochs=1, lr=1e-30)
    record = train(still, data=data).last.training["history"][0]
    splits = splits_of(data)
    network, batches = Student(still, splits, "cpu").network.train(), EpochBatches(splits, still, 0)
    losses, right, sizes = [], [], []
    for batch in map(batches.draw, range(len(batches))):
        logits = network(apply(splits.training.preprocess, batch.images))
        losses += functional.cross_entropy(logits, batch.labels, reduction="none").tolist()
        right += (logits.argmax(1) == batch.labels).tolist()
        sizes.append(len(batch.labels))
    assert sizes == [64, 64, 64, 8]
    assert (record["loss"]["ce"], record["train_top1"]) == pytest.approx((np.mean(losses), np.mean(right)), rel=1e-5)


def test_a_step_is_sgd_with_momentum_and_decay_of_all_weights(data):
    """Recomputed by hand: v ← μ v + ∇ + λ w, w ← w − rate · v."""
    recipe = dataclasses.replace(SMALL, epochs=1, lr_warm_up=0, momentum=0.8, weight_decay=0.01)
    splits = splits_of(data)
    network, batches = Student(recipe, splits, "cpu").network.train(), EpochBatches(splits, recipe, 0)
    weights = list(network.parameters())
    velocities = [torch.zeros_like(w) for w in weights]
    for number in range(len(batches)):
        batch = batches.draw(number)
        loss = functional.cross_entropy(network(apply(splits.training.preprocess, batch.images)), batch.labels)
        rate = 0.1 * (1 + math.cos(math.pi * number / len(batches))) / 2
        with torch.no_grad():
            for w, v, gradient in zip(weights, velocities, torch.autograd.grad(loss, weights)):
                v.mul_(0.8).add_(gradient + 0.01 * w)
                w -= rate * v
    trained = train(recipe, data=data).last.state_dict
    for name, w in network.named_parameters():
        torch.testing.assert_close(trained[name], w.detach(), rtol=1e-4, atol=1e-6)


def test_a_term_in_its_warm_up_has_no_gradient_and_a_plain_student_no_log(data, teacher):
    history = train(dataclasses.replace(SMALL, method="kda"), data=data, teacher=teacher).last.training["history"]
    assert history[0]["gradient"]["distill"] == 0 < history[1]["gradient"]["distill"]
    assert "gradient" not in train(SMALL, data=data).last.training["history"][0]


def test_logging_gradients_changes_no_bit(data, teacher, monkeypatch):
    kd = dataclasses.replace(SMALL, method="kd")
    logged = train(kd, data=data, teacher=teacher).last.state_dict
    monkeypatch.setattr(Student, "_compare_gradients", lambda self, terms: {})
    assert all(torch.equal(v, logged[k]) for k, v in train(kd, data=data, teacher=teacher).last.state_dict.items())


def test_the_rate_rises_over_the_warm_up_and_falls_as_a_cosine(data):
    student = Student(dataclasses.replace(SMALL, epochs=10, lr_warm_up=2, lr=0.4), splits_of(data), "cpu")
    rates = []
    for progress in (0.0, 1.0, 2.0, 6.0, 9.0):
        student._set_rate(progress)
        rates.append(student.optimizer.param_groups[0]["lr"])
    assert rates[0] < 0.01 and rates[1] == pytest.approx(0.2, rel=0.02)
    assert rates[2:] == pytest.approx([0.4, 0.2, 0.2 * (1 + math.cos(math.pi * 7 / 8))])


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_the_warm_up_runs_a_64th_of_an_epoch_ahead_from_its_first_step(data, batches):
    """An epoch's record has the rate of its last step: with one batch an epoch that is the first step, too."""
    recipe = dataclasses.replace(SMALL, epochs=4, lr_warm_up=2, batch_size=200 // batches)
    history = train(recipe, data=data).last.training["history"]
    ends = [epoch + (batches - 1) / batches for epoch in range(4)]
    rising = [0.1 * (end + 1 / 64) / 2 for end in ends[:2]]
    falling = [0.1 * (1 + math.cos(math.pi * (end - 2) / 2)) / 2 for end in ends[2:]]
    assert [record["lr"] for record in history] == pytest.approx([*rising, *falling], rel=1e-12)


def test_half_precision_where_the_processor_has_it_and_a_line_where_not(data, teacher, monkeypatch):
    amp = dataclasses.replace(SMALL, method="rkd+gram", amp=True)
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="this CPU has no bfloat16 arithmetic"):
        train(amp, data=data, teacher=teacher)
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    half = train(amp, data=data, teacher=teacher).last
    full = train(dataclasses.replace(amp, amp=False), data=data, teacher=teacher).last
    assert all(value.dtype != torch.bfloat16 for value in half.state_dict.values())
    first = [c.training["history"][0]["loss"]["ce"] for c in (half, full)]
    assert first[0] == pytest.approx(first[1], rel=0.05) and first[0] != first[1]


def test_deterministic_algorithms_are_asked_for_only_while_training(data):
    seen = []
    train(
        dataclasses.replace(SMALL, deterministic=True, epochs=1),
        data=data,
        progress=lambda *words: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen == [True] and not torch.are_deterministic_algorithms_enabled()


def test_a_device_that_is_not_there_is_told(data):
    with pytest.raises(UsageError, match="device 'cuda:7' is not available"):
        train(SMALL, data=data, device="cuda:7")
    with pytest.raises(UsageError, match="device 'gpu' is not available"):
        train(SMALL, data=data, device="gpu")


def told_before_the_first_epoch(kind, message, recipe, data, teacher, **options):
    epochs = []
    with pytest.raises(kind, match=message) as error:
        train(recipe, data=data, teacher=teacher, progress=lambda *words: epochs.append(words), **options)
    assert not epochs and "\n" not in str(error.value) and len(str(error.value)) <= 200


def test_a_teacher_at_chance_is_refused_unless_told(data):
    untrained = loaded_module(zoo.build("resnet8x0.5", num_classes=10, in_channels=1), name="fresh")
    kd = dataclasses.replace(SMALL, method="kd", epochs=1)
    told_before_the_first_epoch(Mismatch, r"fresh is right on \d+ of 80 validation examples", kd, data, untrained)
    assert train(kd, data=data, teacher=untrained, accuracy_check=False).last.metrics["top1"] >= 0
    assert train(dataclasses.replace(kd, method="ce"), data=data, teacher=untrained).last is not None


def test_few_examples_do_not_condemn_a_teacher(data, teacher):
    few = (data[0], data[1].head(3), data[2])
    assert train(dataclasses.replace(SMALL, method="kd", epochs=1), data=few, teacher=teacher).last is not None


def test_a_bare_teacher_of_other_classes_is_refused(data):
    other = loaded_module(zoo.build("resnet8x0.5", num_classes=7, in_channels=1), name="seven")
    kd = dataclasses.replace(SMALL, method="kd")
    told_before_the_first_epoch(Mismatch, "teacher seven has 7 classes and the data 10", kd, data, other)


@pytest.mark.parametrize("method", ["rkd", "gram", "cka", "sp", "procrustes"])
def test_methods_that_compare_examples_need_two(method, data, teacher):
    one = dataclasses.replace(SMALL, method=method, batch_size=1)
    told_before_the_first_epoch(UsageError, f"{method} compares the examples of a batch", one, data, teacher)


def test_attention_of_a_layer_without_positions_is_told_before_the_first_epoch(data, teacher):
    at = dataclasses.replace(SMALL, method="at@embedding")
    told_before_the_first_epoch(Mismatch, "needs maps", at, data, teacher)


def test_every_value_of_a_preset_has_a_source():
    for name in PRESETS:
        made = recipe(name, lr=0.3, method="kda")
        assert made.sources["lr"] == made.sources["method"] == "given"
        assert all(made.sources[field] for field in PRESETS[name])
        assert Recipe(**made.to_dict()).decisive() == made.decisive()


def test_the_papers_presets_are_the_papers():
    for name in ("paper-cifar100", "paper-tiny-imagenet"):
        made = recipe(name)
        settings = (made.epochs, made.batch_size, made.lr, made.momentum, made.weight_decay, made.lr_warm_up, made.flip)
        assert settings == (120, 256, 0.1, 0.9, 5e-4, 5, True)
    assert (recipe("paper-cifar100").crop, recipe("paper-cifar100").pad) == ("pad", 4)
    assert recipe("paper-tiny-imagenet").crop == "resized"
    with pytest.raises(UsageError, match="crop"):
        Recipe(crop="centre")
    with pytest.raises(UsageError, match="no leraning"):
        recipe("quick", leraning=1)


def test_initial_weights_follow_their_own_seed(data):
    splits = splits_of(data)
    recipes = [dataclasses.replace(SMALL, seed=s, init_seed=i) for s, i in ((0, 1), (5, 1), (1, None))]
    networks = [Student(recipe, splits, "cpu").weights() for recipe in recipes]
    for key, value in networks[0].items():
        assert all(np.array_equal(value.numpy(), other[key].numpy()) for other in networks[1:])
