"""``pin`` and ``drift``: changes against plain arithmetic, re-runs that are none, silent changes that are found."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError
from kernelscope.features.pinned import read_pinned
from kernelscope.measurement.reruns import limit

N = 96
GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(N, 3, 12, 12, generator=GENERATOR)
X[:, 1] *= 0.5  # channels differ, as those of photographs do
DATA = (X, torch.zeros(N, dtype=torch.long))
MEANS, SPREADS = [0.5, 0.25, 0.5], [0.3, 0.15, 0.3]
NORMALISE = [{"op": "normalize", "mean": MEANS, "std": SPREADS}]


def network(pool=nn.AdaptiveAvgPool2d):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), pool(1), nn.Flatten(),
        nn.Linear(12, 5),
    ).eval()  # fmt: skip
    net[1].running_mean.normal_(0, 0.2)
    return net


@pytest.fixture(scope="module")
def pinned(tmp_path_factory):
    path = tmp_path_factory.mktemp("pinned") / "ref.ksref"
    ks.pin(network(), data=DATA, preprocess=NORMALISE, out=path)
    return path


def drift(pinned, student, **given):
    return ks.drift(pinned=pinned, student=student, **{"data": DATA, **given})


def features(net, inputs=X):
    """What the embedding of ``network()`` is, by hand."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEANS, SPREADS))
    with torch.no_grad():
        return net[:-1]((inputs - mean) / std).numpy()


def test_a_file_says_all_that_a_run_needs_and_limits_come_from_reruns(pinned):
    found = read_pinned(pinned)
    assert [layer.name for layer in found.layers] == ["embedding", "logits"]
    assert np.array_equal(found.features(found.layers[0]), features(network()).astype(np.float64))
    assert (found.n, found.preprocess, found.dtype, found.alarm) == (N, NORMALISE, "float32", 1e-6)
    assert [(rerun.dtype, rerun.runs) for rerun in found.reruns] == [("float32", 10), ("float64", 10)]
    assert all(layer.floor == 0 and 6e-8 < layer.limit < 2e-6 for layer in found.layers)


@pytest.mark.parametrize("size", [1, 7, 96])
def test_the_same_network_has_not_drifted_in_any_batches(pinned, size):
    found = drift(pinned, network(), batch_size=size)
    assert not found.drifted and found.verdict.startswith("as pinned: ")
    assert json.loads(found.to_json())["failed"] == []


def weights_changed(net):
    net[3].weight.data *= 1.001


def int8_weights(net):
    step = net[3].weight.abs().max() / 127
    net[3].weight.data = (net[3].weight / step).round() * step


def batch_statistics_gone(net):
    net[1].running_mean.zero_()


def other_last_layer(net):
    net[7].bias.data[0] += 0.01


@pytest.mark.parametrize("change", [weights_changed, int8_weights, batch_statistics_gone, other_last_layer])
def test_a_silent_change_of_weights_is_found(pinned, change):
    net = network()
    change(net)
    found = drift(pinned, net)
    assert found.drifted and found.verdict.startswith("drifted: ")
    assert [each.failure is not None for each in found.judged] == [change is not other_last_layer, True]


def resized(x):
    small = nn.functional.interpolate(x, 11, mode="bilinear")
    return nn.functional.interpolate(small, 12, mode="bilinear")


@pytest.mark.parametrize(
    "given",
    [
        {"student": network(nn.AdaptiveMaxPool2d)},
        {"preprocess": []},
        {"student": nn.Sequential(type("Resize", (nn.Module,), {"forward": lambda self, x: resized(x)})(), *network())},
        {"student": nn.Sequential(type("Bgr", (nn.Module,), {"forward": lambda self, x: x.flip(1)})(), *network())},
    ],
    ids=["pooling", "normalisation", "resized", "bgr"],
)
def test_a_silent_change_of_what_is_around_the_weights_is_found(pinned, given):
    found = drift(pinned, **{"student": network(), **given})
    assert found.drifted
    assert ("preprocessing is []" in found.verdict) == ("preprocess" in given)


def test_numbers_are_those_of_plain_arithmetic(pinned):
    net, rng = network(), np.random.default_rng(0)
    P = features(net).astype(np.float64)
    S = P + 0.05 * rng.standard_normal(P.shape)
    S[17] += 3
    found = drift(pinned, {"embedding": S, "logits": net(X).detach()}, data=None)
    layer = found.layers[0]
    assert layer.change == pytest.approx(np.linalg.norm(S - P) / np.linalg.norm(P), rel=1e-12)
    assert layer.loss == pytest.approx(np.linalg.norm(S @ S.T - P @ P.T) / np.linalg.norm(P @ P.T), rel=1e-9)
    near = [np.argsort(((A[:, None] - A) ** 2).sum(2) + np.diag(np.full(N, np.inf)))[:, :10] for A in (S, P)]
    shared = sum(len(set(a) & set(b)) for a, b in zip(*near)) / (10 * N)
    assert layer.overlap == pytest.approx(shared, abs=1e-12)
    share = ((S - P)[17] ** 2).sum() / ((S - P) ** 2).sum()
    assert (layer.worst[0].index, layer.worst[0].share) == (17, pytest.approx(share))
    assert f"{share:.0%} of it in example 17" in replace(found, layers=(layer,)).verdict


def test_a_rotation_keeps_the_kernel_and_is_a_change(pinned):
    P = features(network()).astype(np.float64)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0]
    only = ks.pin({"embedding": P}, at_most=["loss=1e-6"])
    assert not ks.drift(pinned=only, student={"embedding": P @ Q}).drifted
    assert ks.drift(pinned=only, student={"embedding": P @ Q}, at_most=["change=0.1"]).drifted


def test_examples_are_found_by_their_ids_wherever_they_stand(pinned):
    order = torch.randperm(N, generator=GENERATOR)
    moved = (torch.cat([X[:9] + 1, X[order]]), torch.zeros(N + 9, dtype=torch.long))
    assert not drift(pinned, network(), data=moved).drifted
    with pytest.raises(Mismatch, match="lacks 1 of the 96 pinned examples"):
        drift(pinned, network(), data=(X[1:], DATA[1][1:]))


@pytest.mark.parametrize(
    ("student", "error", "message"),
    [
        ({"embedding": np.ones((N, 11)), "logits": np.ones((N, 5))}, Mismatch, "is 11 wide, and 12 are pinned"),
        ({"embedding": np.ones((N - 1, 12)), "logits": np.ones((N - 1, 5))}, Mismatch, "95 examples"),
        ({"embedding": np.ones((N, 12)), "other": np.ones((N, 5))}, Mismatch, "no layer logits, which is pinned"),
        ({"embedding": np.full((N, 12), np.nan), "logits": np.ones((N, 5))}, NumericalError, "NaN"),
    ],
)
def test_other_features_are_refused_in_a_line(pinned, student, error, message):
    with pytest.raises(error, match=message):
        drift(pinned, student, data=None)


def test_a_network_without_a_pinned_layer_is_refused(tmp_path):
    ks.pin(network(), data=DATA, layers="5", out=tmp_path / "r.ksref", reruns=5)
    with pytest.raises(Mismatch, match="lacks a layer that is pinned"):
        drift(tmp_path / "r.ksref", nn.Sequential(nn.Flatten(), nn.Linear(432, 3)))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_float16_rows_of_any_size_cost_their_stated_floor(tmp_path, size):
    P = size * np.random.default_rng(0).standard_normal((50, 6))
    stored = ks.pin(P, dtype="float16", at_most=["change=0.01"], out=tmp_path / "r.ksref")
    again = read_pinned(tmp_path / "r.ksref")
    (layer,) = again.layers
    assert layer.floor == stored.layers[0].floor == pytest.approx(2e-4, rel=0.3)
    assert np.linalg.norm(again.features(layer) - P) / np.linalg.norm(P) == pytest.approx(layer.floor, rel=1e-6)
    assert not ks.drift(pinned=again, student=P).drifted


def test_two_thousand_rows_of_384_take_less_than_two_megabytes(tmp_path):
    ks.pin(
        np.random.default_rng(0).standard_normal((2000, 384)), dtype="float16", at_most=["change=1"], out=tmp_path / "r"
    )
    assert (tmp_path / "r").stat().st_size < 2e6


def test_a_limit_is_the_prediction_interval_of_one_more_rerun():
    rng = np.random.default_rng(0)
    changes = np.exp(rng.normal(-9, 0.7, (3000, 9)))
    alarms = np.mean([each[8] > limit(each[:8], 0.05) for each in changes])
    assert alarms == pytest.approx(0.05, abs=0.012)  # three standard errors
    assert limit([0.0, 0.0, 0.0], 0.01) > 2.0**-24


def test_types_that_are_allowed_are_no_drift(tmp_path):
    ks.pin(network(), data=DATA, allow=["bfloat16"], reruns=6, out=tmp_path / "r.ksref")
    assert not drift(tmp_path / "r.ksref", network().bfloat16()).drifted
    net = network().bfloat16()
    net[3].weight.data *= 1.5
    assert drift(tmp_path / "r.ksref", net).drifted


class Restless(nn.Module):
    """Another network in every run."""

    def forward(self, x):
        return x.mean((2, 3)) * torch.randn(1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": np.ones((9, 2))}, UsageError, "no re-runs"),
        ({"model": np.zeros((9, 2)), "at_most": ["change=1"]}, DegenerateKernel, "zero for all"),
        ({"model": np.ones((9, 2)), "at_most": ["cka=1"]}, UsageError, "unknown number 'cka'"),
        ({"model": np.ones((9, 2)), "at_most": ["change=1"], "batch_size": 3}, UsageError, "batch-size|batch_size"),
        ({"model": network(), "data": DATA, "alarm": 0.7}, UsageError, "no rate"),
        ({"model": network(), "data": DATA, "reruns": 4}, UsageError, "re-runs"),
        ({"model": Restless(), "data": DATA, "reruns": 5}, UsageError, "differ by too much for a limit below 1"),
        ({"model": network(), "data": DATA, "allow": ["int8"]}, UsageError, "unknown type"),
        ({"model": network(), "data": DATA, "pool": "patch"}, UsageError, "positions"),
    ],
)
def test_what_cannot_be_pinned_is_refused_in_a_line(given, error, message):
    with pytest.raises(error, match=message):
        ks.pin(given.pop("model"), **given)
