"""Every loss against float64 NumPy, value and gradient, and KDA's landmarks through the awkward batches."""

import inspect

import numpy as np
import pytest
import torch

from kernelscope.distill.losses import LOSSES
from kernelscope.distill.losses.kd import KD
from kernelscope.distill.losses.kda import KDA
from kernelscope.distill.methods import described, losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.errors import UsageError


def batch(rng, rows=12, d_S=3, d_T=5, classes=4, labels=None):
    """``(student, teacher, labels)`` in float64; the student's tensor takes gradients."""
    student = torch.tensor(rng.standard_normal((rows, d_S)), requires_grad=True)
    teacher = torch.tensor(rng.standard_normal((rows, d_T)))
    labels = rng.integers(0, classes, rows) if labels is None else np.asarray(labels)
    return student, teacher, torch.tensor(labels)


def numeric_gradient(value, x, h=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (value(up) - value(down)) / (2 * h)
    return gradient


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def kd_value(z_S, z_T, T, weight):
    p_T, p_S = softmax(z_T / T), softmax(z_S / T)
    return weight * T**2 * np.mean(np.sum(p_T * (np.log(p_T) - np.log(p_S)), axis=1))


@pytest.mark.parametrize(("T", "weight"), [(4.0, 9.0), (1.0, 1.0), (2.5, 0.3)])
def test_kd_equals_its_formula_with_gradient(T, weight):
    z_S, z_T, _ = batch(np.random.default_rng(0), d_S=4, d_T=4)
    loss = KD(T=T, weight=weight)(z_S, z_T)
    loss.backward()
    expected = kd_value(z_S.detach().numpy(), z_T.numpy(), T, weight)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    gradient = numeric_gradient(lambda z: kd_value(z, z_T.numpy(), T, weight), z_S.detach().numpy())
    np.testing.assert_allclose(z_S.grad.numpy(), gradient, atol=1e-8)


def smooth_l1(z):
    return np.where(np.abs(z) < 1, z**2 / 2, np.abs(z) - 0.5)


def kda_value(x_S, x_T, D_S, D_T, weight, normalization):
    similar_T = x_T @ D_T.T
    norm = np.linalg.norm(similar_T)
    divisor = {"none": 1.0, "batch": norm, "entries": norm * np.sqrt(similar_T.size)}[normalization]
    return weight * smooth_l1(x_S @ D_S.T - similar_T).sum() / divisor


def collected(loss, batches):
    """Run one epoch of collecting, then begin an active one."""
    loss.begin_epoch(0, 20)
    for features in batches:
        assert loss(*features).item() == 0.0
    loss.end_epoch()
    loss.begin_epoch(10, 20)


@pytest.mark.parametrize("normalization", ["batch", "entries", "none"])
def test_kda_equals_its_formula_with_gradient_and_means_of_the_last_epoch(normalization):
    rng = np.random.default_rng(1)
    loss = KDA(weight=0.7, normalization=normalization)
    seen = [batch(rng), batch(rng, rows=5), batch(rng, rows=1)]
    collected(loss, seen)
    labels = np.concatenate([y.numpy() for *_, y in seen])
    means = {}
    for number, side in enumerate(("student", "teacher")):
        X = np.concatenate([features[number].detach().numpy() for features in seen])
        means[side] = np.stack([X[labels == c].mean(axis=0) for c in np.unique(labels)])
    x_S, x_T, y = batch(rng)
    value = loss(x_S, x_T, y)
    value.backward()
    arguments = (x_T.numpy(), means["student"], means["teacher"], 0.7, normalization)
    assert value.item() == pytest.approx(kda_value(x_S.detach().numpy(), *arguments), rel=1e-12)
    gradient = numeric_gradient(lambda x: kda_value(x, *arguments), x_S.detach().numpy())
    np.testing.assert_allclose(x_S.grad.numpy(), gradient, atol=1e-7)


def test_an_absent_class_is_left_out_and_counts_start_anew_each_epoch():
    rng = np.random.default_rng(2)
    loss = KDA()
    collected(loss, [batch(rng, labels=[0, 0, 2], rows=3)])
    assert len(loss.source.D["student"]) == 2
    assert torch.isfinite(loss(*batch(rng, labels=[0, 1, 2, 3], rows=4)))
    loss.end_epoch()
    assert len(loss.source.D["student"]) == 4
    assert all(torch.isfinite(d).all() for d in loss.source.D.values())


def test_zero_landmarks_give_a_finite_loss():
    rng = np.random.default_rng(3)
    loss = KDA()
    collected(loss, [batch(rng)])
    loss.source.D = {side: torch.zeros_like(d) for side, d in loss.source.D.items()}
    assert loss(*batch(rng)).item() == 0.0


def test_entries_normalization_does_not_depend_on_the_batch_size():
    rng = np.random.default_rng(4)
    values = {"batch": [], "entries": []}
    for normalization, found in values.items():
        loss = KDA(normalization=normalization, weight=1.0)
        collected(loss, [batch(np.random.default_rng(5), rows=400)])
        for rows in (64, 1024):
            found.append(loss(*batch(rng, rows=rows)).item())
    assert values["entries"][1] == pytest.approx(values["entries"][0], rel=0.15)
    assert values["batch"][1] == pytest.approx(4 * values["batch"][0], rel=0.15)


def test_a_resumed_kda_carries_its_landmarks():
    rng = np.random.default_rng(6)
    loss, other = KDA(), KDA()
    collected(loss, [batch(rng)])
    other.load_state_dict(loss.state_dict())
    other.begin_epoch(10, 20)
    now = batch(rng)
    assert loss(*now).item() == other(*now).item()


@pytest.mark.parametrize(("epochs", "first"), [(120, 5), (60, 5), (59, 1), (8, 1), (1, 1)])
def test_warm_up_is_five_epochs_of_long_runs_and_one_of_others(epochs, first):
    loss = KDA()
    collected(loss, [batch(np.random.default_rng(0))])
    active = []
    for epoch in range(max(epochs, 7)):
        loss.begin_epoch(epoch, epochs)
        active.append(loss.source.active)
    assert active.index(True) == first


def test_methods_are_parsed_with_layers_and_options():
    losses = losses_of("kda@layer3(weight=0.1, normalization=entries)+kd(T=2)+ce")
    (kda, kd) = losses.values()
    assert (kda.layer, kda.loss.weight, kda.loss.normalization, kd.loss.T) == ("layer3", 0.1, "entries", 2.0)
    assert losses_of("ce") == {}
    assert len(losses_of("kda+kda@logits")) == 2


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("kdaa", "nearest: kda"),
        ("kda(wieght=1)", "did you mean weight"),
        ("kda(1)", "key=value"),
        ("kda(weight=-1)", "give another value"),
        ("kda(normalization=mean)", "normalization"),
        ("kd(T=0)", "positive"),
        ("kda(", "NAME"),
        ("", "NAME"),
    ],
)
def test_a_wrong_method_is_told_in_one_line(method, message):
    with pytest.raises(UsageError, match=message) as error:
        losses_of(method)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", LOSSES)
def test_every_option_of_a_method_is_told_with_its_source(name):
    told = {option: (value, source) for option, value, source in described(f"{name}@logits" if name != "kd" else "kd")}
    options = [*(["layer"] if name != "kd" else []), *inspect.signature(LOSSES[name]).parameters]
    assert list(told) == [f"{name}.{option}" for option in options]
    assert all(source for _, source in told.values())
    assert name == "kd" or told[f"{name}.layer"] == ("logits", "given")


def test_an_option_given_twice_is_refused_instead_of_the_first_ignored():
    with pytest.raises(UsageError, match="option 'T' is given twice"):
        losses_of("kd(T=4,T=5)")


def test_none_is_the_same_in_methods_as_in_data_sets():
    (kda,) = losses_of("kda(whiten=none,normalization=none,warm_up=none)").values()
    assert (kda.loss.whiten, kda.loss.normalization, kda.loss.warm_up) == (None, "none", None)
    assert ("kda.normalization", "none", "given") in described("kda(normalization=none)")


def test_a_recipe_is_parsed_once_and_gives_the_losses_of_its_method():
    chosen = Recipe(method="kda@logits(weight=0.1)+kd")
    assert chosen.terms is chosen.terms
    assert list(losses_of(chosen.terms)) == list(losses_of(chosen.method)) == ["kda@logits(weight=0.1)", "kd"]
    assert described(chosen.terms) == described(chosen.method)
    assert Recipe(**chosen.to_dict()).terms == chosen.terms and "terms" not in chosen.to_dict()


@pytest.mark.parametrize(
    "method",
    ["kda@embedding+kda@embedding", "kda(landmarks=uniform:20, whiten=None)+ce+at@layer3.1(weight=1e3)", "full_kernel"],
)
def test_equal_terms_stay_apart_and_keep_their_words(method):
    losses = losses_of(method)
    assert [key.partition("#")[0] for key in losses] == [part for part in method.split("+") if part != "ce"]
