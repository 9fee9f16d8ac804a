"""A tap captures what layers take in and put out, and leaves no trace."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kernelscope.activations.pooling import pool
from kernelscope.activations.resolving import resolve_layers
from kernelscope.activations.tap import Tap
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import zoo


class InPlace(nn.Module):
    """A ReLU that writes over its input; a layer called twice; one that never runs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Linear(3, 3)
        self.idle = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        x = self.relu(self.first(x))
        return self.head(self.twice(self.twice(x)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return InPlace()


@pytest.fixture
def x():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def hooks(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def modes(network):
    return [module.training for module in network.modules()]


def test_what_a_layer_put_out_is_kept_from_a_later_write_in_place(network, x):
    with Tap(network, ["first", "relu:in", "relu"]) as tap:
        network(x)
        captured = tap.features
    before = x @ network.first.weight.T + network.first.bias
    assert (before < 0).any()
    torch.testing.assert_close(captured["first"], before.detach())
    torch.testing.assert_close(captured["relu:in"], before.detach())
    torch.testing.assert_close(captured["relu"], before.detach().clamp(min=0))


def test_the_embedding_is_what_the_last_linear_layer_to_run_takes_in():
    torch.manual_seed(0)
    network = zoo.build("resnet8", in_channels=1)
    with Tap(network, ["embedding", "fc:in", "logits", "fc", "fc:out"], training=False) as tap:
        y = network(torch.randn(3, 1, 8, 8))
        captured = tap.features
    assert torch.equal(captured["embedding"], captured["fc:in"])
    by_hand = captured["embedding"] @ network.fc.weight.detach().T + network.fc.bias.detach()
    torch.testing.assert_close(by_hand, y.detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(captured["logits"], y) and torch.equal(captured["fc"], y) and torch.equal(captured["fc:out"], y)


def test_the_embedding_follows_the_order_of_running_not_of_definition(x):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 2), nn.Linear(3, 4)

        def forward(self, x):
            return self.last(self.first(x))

    network = Backwards()
    with Tap(network, ["embedding", "first"]) as tap:
        network(x)
        assert torch.equal(tap.features["embedding"], tap.features["first"])


def test_the_embedding_of_a_transformer_is_captured_on_its_fast_path():
    network = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3))
    with torch.no_grad(), Tap(network, ["embedding", "0.linear1"], training=False) as tap:
        network(torch.randn(2, 5, 8))
        assert tap.features["embedding"].shape == (2, 5, 8)
        assert tap.features["0.linear1"].shape == (2, 5, 16)


def test_a_network_that_is_one_linear_layer_has_its_input_as_embedding(x):
    with Tap(nn.Linear(3, 2), ["embedding", "logits"]) as tap:
        y = tap.net(x)
        assert torch.equal(tap.features["embedding"], x) and torch.equal(tap.features["logits"], y)


def test_calls_of_one_module_are_told_apart_by_number(network, x):
    with Tap(network, ["twice@0", "twice@1", "twice", "twice:in@1", "head:in"]) as tap:
        network(x)
        captured = tap.features
    assert torch.equal(captured["twice@0"], captured["twice:in@1"])
    assert torch.equal(captured["twice@1"], captured["head:in"])
    assert torch.equal(captured["twice"], captured["twice@1"])  # without a number: the last
    assert not torch.equal(captured["twice@0"], captured["twice@1"])


def test_a_call_that_did_not_happen_is_named_with_how_often_the_layer_ran(network, x):
    with Tap(network, ["twice@2"]) as tap:
        network(x)
        with pytest.raises(UsageError, match=r"twice@2 ran 2 times in the forward pass, not 3"):
            _ = tap.features


def test_a_layer_that_never_runs_is_named(network, x):
    with Tap(network, ["head", "idle"]) as tap:
        network(x)
        with pytest.raises(UsageError, match="layer idle did not run"):
            _ = tap.features


def test_each_forward_forgets_the_one_before(network, x):
    with Tap(network, ["head", "twice@1"]) as tap:
        first = network(x)
        kept = tap.features
        second = network(2 * x)
        assert torch.equal(tap.features["head"], second) and torch.equal(kept["head"], first)


def test_a_forward_that_failed_leaves_nothing_of_the_one_before(network, x):
    with Tap(network, ["head"]) as tap:
        network(x)
        with pytest.raises(RuntimeError):
            network(torch.zeros(5, 4))
        with pytest.raises(UsageError, match="head did not run"):
            _ = tap.features


def test_hooks_are_gone_and_every_mode_is_restored_after_an_exception(network, x):
    network.train()
    network.relu.eval()  # frozen inside a network that trains
    before = modes(network)
    with pytest.raises(ZeroDivisionError), Tap(network, ["embedding", "logits", "relu"], training=False):
        assert not any(modes(network))
        assert hooks(network) > 0
        network(x)
        raise ZeroDivisionError
    assert modes(network) == before
    assert hooks(network) == 0


def test_hooks_are_gone_when_opening_fails(network):
    class Stubborn(InPlace):
        def train(self, mode=True):
            raise RuntimeError("no")

    stubborn = Stubborn()
    with pytest.raises(RuntimeError, match="no"), Tap(stubborn, ["relu"], training=False):
        pass
    assert hooks(stubborn) == 0


@pytest.mark.parametrize("training", [None, True, False])
def test_the_mode_inside_is_as_asked_and_untouched_by_default(network, training):
    network.eval()
    with Tap(network, ["logits"], training=training):
        assert modes(network) == [bool(training)] * len(modes(network))
    assert not any(modes(network))


def test_gradients_flow_through_what_is_heard_only_if_asked(network, x):
    with Tap(network, ["embedding"], detach=False) as tap:
        network(x)
        tap.features["embedding"].sum().backward()
    assert network.first.weight.grad is not None and network.head.weight.grad is None
    with Tap(network, ["embedding"]) as tap:
        network(x)
        assert not tap.features["embedding"].requires_grad


def test_listening_changes_neither_output_nor_gradient(network, x):
    def gradients():
        network.zero_grad()
        y = network(x)
        y.square().sum().backward()
        return [y.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]

    alone = gradients()
    with Tap(network, ["embedding", "logits", "relu:in", "twice@0"], detach=False):
        captured = gradients()
    assert all(torch.equal(a, b) for a, b in zip(alone, captured, strict=True))


@pytest.mark.parametrize(
    "wrap",
    [lambda y: SimpleNamespace(logits=y), lambda y: {"logits": y, "loss": None}, lambda y: (y, None), lambda y: [y]],
    ids=["attribute", "dict", "tuple", "list"],
)
def test_logits_are_found_in_what_a_network_returns(x, wrap):
    class Wrapping(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            return wrap(self.fc(x))

    network = Wrapping()
    with Tap(network, ["logits", "fc"]) as tap:
        network(x)
        assert torch.equal(tap.features["logits"], tap.features["fc"])


def test_a_layer_without_a_tensor_is_named(x):
    class Silent(nn.Module):
        def forward(self, x):
            return "words"

    network = nn.Sequential(nn.Linear(3, 2), Silent())
    with pytest.raises(Mismatch, match="layer logits gives a str without a tensor"), Tap(network, ["logits"]):
        network(x)
    assert hooks(network) == 0


def test_an_input_given_by_name_is_heard(x):
    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(input=x)

    network = ByName()
    with Tap(network, ["fc:in", "embedding"]) as tap:
        network(x)
        assert torch.equal(tap.features["fc:in"], x) and torch.equal(tap.features["embedding"], x)


def test_a_module_that_bears_a_reserved_word_is_reached_by_its_side(x):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Linear(3, 2)

        def forward(self, x):
            return 2 * self.logits(x)

    network = Named()
    with Tap(network, ["logits", "logits:out"]) as tap:
        network(x)
        assert torch.equal(tap.features["logits"], 2 * tap.features["logits:out"])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("layer*.1", "layer1.1 layer2.1 layer3.1 layer4.1"),
        ("layer?", "layer1 layer2 layer3 layer4"),
        ("layer*:in", "layer1:in layer2:in layer3:in layer4:in"),
        (r"re:layer\d\.1\.relu", "layer1.1.relu layer2.1.relu layer3.1.relu layer4.1.relu"),
        ("re:layer[1,3]:in", "layer1:in layer3:in"),
        ("re:layer.{0,1}@0", "layer1@0 layer2@0 layer3@0 layer4@0"),
        (" fc:in , logits,fc:in", "fc:in logits"),
        ("embedding,logits", "embedding logits"),
    ],
)
def test_patterns_open_up_into_names(asked, found):
    with torch.device("meta"):
        network = zoo.build("resnet18")
    assert resolve_layers(network, asked) == (tuple(found.split()), ())


def test_a_tap_opens_patterns_too():
    network = zoo.build("resnet8x0.5", in_channels=1)
    with Tap(network, ["layer*"], training=False) as tap:
        network(torch.zeros(1, 1, 8, 8))
        shapes = {name: tuple(value.shape) for name, value in tap.features.items()}
    assert shapes == {"layer1": (1, 8, 8, 8), "layer2": (1, 16, 4, 4), "layer3": (1, 32, 2, 2)}


@pytest.mark.parametrize(
    ("asked", "piece"),
    [
        ("embeding", "nearest: embedding"),
        ("layer3.9", r"nearest: layer3\.0"),
        ("fc:inn", "nearest: fc"),
        ("fc@x", "nearest: fc"),
        ("embedding@1", "nearest: embedding"),
        ("zzz*", "unknown layer 'zzz\\*'; nearest: embedding, logits, conv1"),
        ("re:nothing", "unknown layer 're:nothing'"),
        ("re:[", "is not a regular expression"),
        ("a\nb\x1b[31m", "unknown layer"),
        ("", "no layer named"),
        (" , ", "no layer named"),
    ],
)
def test_an_unknown_layer_is_refused_with_the_nearest_names(asked, piece):
    network = zoo.build("resnet8")
    with pytest.raises(UsageError, match=piece) as caught:
        resolve_layers(network, asked)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        Tap(network, [asked])


def test_every_name_that_is_offered_may_be_asked_for():
    network = zoo.build("resnet8")
    names = ("embedding", "logits", *(path for path, _ in network.named_modules() if path))
    assert resolve_layers(network, list(names))[0] == names


def test_the_default_is_embedding_and_logits_and_missing_ones_are_noted():
    assert resolve_layers(zoo.build("resnet8"), None) == (("embedding", "logits"), ())
    names, notes = resolve_layers(nn.Sequential(nn.Conv2d(1, 2, 1)), None)
    assert names == ("logits",) and "no nn.Linear" in notes[0]


def test_what_is_made_of_a_layer_at_once_is_kept_instead_of_it(network, x):
    seen = []

    def keep(name, tensor):
        seen.append(name)
        return pool(tensor)

    with Tap(network, ["first", "relu:in"], keep=keep) as tap:
        network(x)
        captured = tap.features
    before = (x @ network.first.weight.T + network.first.bias).detach()
    torch.testing.assert_close(captured["first"], before)  # (n, d) is pooled to itself, and yet not written over
    assert sorted(seen) == ["first", "relu:in"]


def test_the_embedding_is_right_when_forwards_run_different_linear_layers():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(5))

        def forward(self, x, depth):
            for layer in self.layers[:depth]:
                last, x = x, layer(x)
            return x, last

    torch.manual_seed(0)
    network, copies = Deep(), []
    with Tap(network, ["embedding"], keep=lambda name, x: (copies.append(name), x)[1]) as tap:
        for depth, least in ((3, 3), (3, 1), (2, 1), (5, 4), (1, 1), (5, 5)):
            copies.clear()
            _, last = network(torch.randn(4, 3), depth)
            torch.testing.assert_close(tap.features["embedding"], last)
            assert len(copies) == least
