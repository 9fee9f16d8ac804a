"""KDA with any landmarks: awkward features, states of an unfinished epoch, its options, and in the loop."""

import io

import numpy as np
import pytest
import torch

from kernelscope.distill.methods import losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.errors import UsageError
from tests.distill.test_kda_landmarks import VARIANTS, collected, epoch_of, kda, tensors


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("features", ["zero", "equal", "huge", "half"])
def test_value_and_gradient_are_finite_whatever_the_features(options, features):
    rng = np.random.default_rng(9)
    factor = {"zero": 0, "equal": 1, "huge": 1e6, "half": 1}[features]
    dtype = np.float16 if features == "half" else np.float32
    batches = [(factor * S, factor * T, y) for S, T, y in epoch_of(rng)]
    if features == "equal":
        batches = [(np.ones_like(S), np.ones_like(T), y) for S, T, y in batches]
    batches = [(S.astype(dtype), T.astype(dtype), y) for S, T, y in batches]
    loss, now = collected(options, [batches] * 3), tensors(*batches[0])
    found = loss(*now)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(now[0].grad).all()
    assert found.dtype == torch.float32


@pytest.mark.parametrize("options", VARIANTS)
def test_a_loss_of_nan_features_is_nan_and_no_exception(options):
    batches = [(np.full_like(S, np.nan), T, y) for S, T, y in epoch_of(np.random.default_rng(10))]
    assert torch.isnan(collected(options, [batches] * 2)(*tensors(*batches[0])))


EPOCHS, BATCHES = 3, 3


def continued(loss, batches, start, stop):
    """Values of batches ``start`` to ``stop`` of a run of several epochs, active from the second on."""
    values = []
    for number in range(start, stop):
        epoch, batch = divmod(number, BATCHES)
        if batch == 0:
            loss.begin_epoch(epoch, EPOCHS)
        values.append(loss(*tensors(*batches[epoch][batch])).detach())
        if batch == BATCHES - 1:
            loss.end_epoch()
    return values


def flat(state):
    if isinstance(state, dict):
        return [(f"{key}.{name}", value) for key, part in state.items() for name, value in flat(part)]
    assert state is None or isinstance(state, (bool, int, float, torch.Tensor))
    return [("", state.numpy().tobytes() if isinstance(state, torch.Tensor) else state)]


@pytest.mark.parametrize("options", VARIANTS)
def test_a_run_taken_up_after_any_batch_goes_on_in_the_same_bits(options):
    rng = np.random.default_rng(11)
    batches = [epoch_of(rng, sizes=(12, 11, 1), dtype=np.float32) for _ in range(EPOCHS)]
    whole = kda(**options)
    expected, states = [], []
    for number in range(EPOCHS * BATCHES):
        file = io.BytesIO()
        torch.save(whole.state_dict(), file)
        states.append((file, whole.state_dict()))
        expected += continued(whole, batches, number, number + 1)
    assert sum(value.item() > 0 for value in expected) == (EPOCHS - 1) * BATCHES
    for number, (file, kept) in enumerate(states):
        file.seek(0)
        for state in (torch.load(file, weights_only=True), kept):  # as it was taken, whatever went on since
            resumed = kda(**options)
            resumed.load_state_dict(state)
            found = continued(resumed, batches, number, EPOCHS * BATCHES)
            assert [v.numpy().tobytes() for v in found] == [v.numpy().tobytes() for v in expected[number:]]
            assert flat(resumed.state_dict()) == flat(whole.state_dict())


@pytest.mark.parametrize("options", VARIANTS)
def test_a_state_from_one_device_goes_on_where_the_features_are(options):
    """On the meta device, which refuses to compute with a tensor of another."""
    rng = np.random.default_rng(12)
    batches = [epoch_of(rng) for _ in range(3)]
    before = collected(options, batches[:2])
    before(*tensors(*batches[2][0]))
    loss = kda(**options)
    loss.load_state_dict(before.state_dict())
    now = tensors(*batches[2][1])
    for _ in range(2):
        value = loss(*(x.to("meta") for x in now))
        assert value.device.type == "meta"


def test_all_options_are_named_in_a_method():
    first, second = losses_of("kda@logits(landmarks=uniform:20,whiten=own)+kda(centres_per_class=2,seed=3)").values()
    assert (first.layer, first.loss.landmarks, first.loss.whiten) == ("logits", "uniform:20", "own")
    assert (second.loss.landmarks, second.loss.centres_per_class, second.loss.seed) == ("class-means", 2, 3)
    (plain,) = losses_of("kda(landmarks=class-means, whiten=None)").values()
    assert (plain.loss.landmarks, plain.loss.whiten) == ("class-means", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("landmarks=unifrom", "unknown landmarks 'unifrom', nearest: uniform"),
        ("landmarks=class_means", "unknown landmarks 'class_means', nearest: class-means"),
        ("landmarks=kmeans:3", "unknown landmarks 'kmeans', "),
        ("landmarks=class-means:2", "is written centres_per_class=2"),
        ("landmarks=uniform:", "lacks a number from 1"),
        ("landmarks=uniform:0", "lacks a number from 1"),
        ("landmarks=uniform:-3", "lacks a number from 1"),
        ("landmarks=uniform:4,centres_per_class=2", "goes with landmarks=class-means alone"),
        ("landmark=uniform", "did you mean landmarks"),
        ("centres_per_class=0", "must be a whole number from 1, not 0"),
        ("centres_per_class=1.5", "must be a whole number from 1, not 1.5"),
        ("centers_per_class=2", "did you mean centres_per_class"),
        ("seed=-1", "must be a whole number from 0, not -1"),
        ("whiten=teecher", "unknown whiten 'teecher', nearest: teacher"),
        ("whiten=both", "unknown whiten 'both', there are: teacher, own"),
        ("normalization=entires", "unknown normalization 'entires', nearest: entries"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        losses_of(f"kda({options})")
    assert "\n" not in str(error.value) and len(str(error.value)) <= 200


@pytest.mark.parametrize(
    "method",
    [
        "kda(landmarks=uniform:20)",
        "kda@logits(centres_per_class=2,whiten=teacher)",
        "kda@layer2(whiten=own)",
        "kda(centres_per_class=3)+kda@logits(landmarks=uniform,whiten=own)",
    ],
)
def test_every_variant_trains_at_any_layer(method, few_digits, few_digits_teacher):
    recipe = Recipe(arch="resnet8x0.25", method=method, epochs=2, batch_size=32)
    history = train(recipe, data=few_digits, teacher=few_digits_teacher).last.training["history"]
    for term in losses_of(method):
        assert history[0]["loss"][term] == 0 < history[1]["loss"][term] < np.inf
