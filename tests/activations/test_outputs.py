"""Of several tensors the one that is meant is found, and every other one can be named."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.activations.outputs import follows, tensors_in, the_tensor
from kernelscope.activations.resolving import resolve_layers
from kernelscope.activations.tap import Tap
from kernelscope.errors import UsageError

Pair = namedtuple("Pair", "features scores")


@dataclass
class Record:
    features: torch.Tensor
    scores: torch.Tensor


class Returning(nn.Module):
    """Features and scores, in a shape of the caller's choice."""

    def __init__(self, wrap, width=8):
        super().__init__()
        self.hidden, self.fc, self.wrap = nn.Linear(3, width), nn.Linear(width, 5), wrap

    def forward(self, x):
        features = self.hidden(x).relu()
        return self.wrap(features, self.fc(features))


@pytest.fixture
def x():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


WAYS = {
    "tuple": lambda f, s: (f, s),
    "tuple, logits first": lambda f, s: (s, f),
    "lists within": lambda f, s: ([f, [f + 1]], s),
    "dict": lambda f, s: {"features": f, "scores": s},
    "ordered dict": lambda f, s: OrderedDict(features=f, scores=s),
    "named tuple": Pair,
    "record": Record,
    "a loss beside them": lambda f, s: (s.mean(), f, s),
    "called logits": lambda f, s: {"features": f, "logits": s},
    "an attribute logits": lambda f, s: SimpleNamespace(features=f, logits=s),
    "copied": lambda f, s: (f, s.clone()),
    "a view": lambda f, s: (f, s[:, :, None].squeeze(2)),
}


@pytest.mark.parametrize("way", WAYS)
def test_logits_are_what_the_last_linear_layer_put_out_however_it_comes(way, x):
    network = Returning(WAYS[way])
    with Tap(network, ["logits", "fc"]) as tap:
        for _ in range(2):
            network(x)
            assert torch.equal(tap.features["logits"], tap.features["fc"])
        assert ("logits" in tap.chosen) == ("called" not in way and "attribute" not in way)


def test_without_a_linear_layer_the_first_is_taken_and_the_note_lists_all(x):
    maps = nn.Conv2d(3, 4, 1)

    class Two(nn.Module):
        def forward(self, x):
            return {"aux": maps(x), "out": maps(x) + 1, "loss": x.mean()}

    with Tap(Two(), ["logits", "logits[out]", "logits[1]"]) as tap:
        tap.net(torch.ones(2, 3, 4, 4))
    assert torch.equal(tap.features["logits"] + 1, tap.features["logits[out]"])
    assert torch.equal(tap.features["logits[1]"], tap.features["logits[out]"])
    assert tap.chosen == {"logits": "the first of 2 tensors ([aux], [out])"}


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.pyramid, self.lstm, self.fc = Pyramid(), nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        self.pyramid(x[:, :, None])
        return self.fc(self.lstm(x[:, None])[0][:, -1])


class Pyramid(nn.Module):
    def forward(self, x, scale=2):
        return {"p3": x, 4: [scale * x, 3 * x]}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lstm[0]", (6, 1, 4)),
        ("lstm[1][0]", (1, 6, 4)),
        ("lstm[-1][1]", (1, 6, 4)),
        ("lstm:out[0]", (6, 1, 4)),
        ("lstm[0]:in", (6, 1, 3)),
        ("pyramid[p3]", (6, 3, 1)),
        ("pyramid[4][1]", (6, 3, 1)),
        ("pyramid[4][0]@0", (6, 3, 1)),
        ("p*[p3]", (6, 3, 1)),
        ("re:pyr.[m]id:out[p3]", (6, 3, 1)),
    ],
)
def test_members_of_what_a_module_gives_are_named_in_brackets(name, shape, x):
    network = Neck()
    with Tap(network, [name]) as tap:
        network(x)
        assert [tuple(found.shape) for found in tap.features.values()] == [shape]
        assert "*" in name or name.startswith("re:") or list(tap.features) == [name]
    assert not tap.chosen


@pytest.mark.parametrize(
    "name", ["lstm[2]", "lstm[h]", "lstm[1][0][0]", "pyramid[p4]", "logits[aux]", "pyramid[items]"]
)
def test_a_member_that_is_not_there_is_refused_with_what_is(name, x):
    network = Neck()
    said = r"is not there: what comes out is (\[0\]|\[p3\]|one tensor)"
    with pytest.raises(UsageError, match=said), Tap(network, [name]):
        network(x)


def test_the_embedding_has_no_members(x):
    with pytest.raises(UsageError, match="nearest: embedding"):
        resolve_layers(Neck(), "embedding[1]")


def test_one_tensor_given_several_times_needs_no_note():
    assert the_tensor((q := torch.ones(2, 3), q, q)) == ("[0]", "")
    assert tensors_in([torch.ones(()), None, 3, "a"]).keys() == {"[0]"}


@pytest.mark.parametrize(
    ("made", "same"),
    [
        (lambda s: s.softmax(1), True),
        (lambda s: s.log_softmax(1) / 3, True),
        (lambda s: s[:, None].expand(-1, 4, -1).mean(1), True),
        (lambda s: s + torch.arange(5).flip(0) * 4, False),
        (lambda s: s.sum(1, keepdim=True).expand(-1, 5) * torch.arange(5), False),
    ],
)
def test_a_rising_function_of_logits_follows_them_and_another_sum_does_not(made, same):
    scores = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert follows(made(scores), scores) == same


def test_features_beside_logits_change_neither_loss_nor_accuracy():
    """The return order of KDA's, RepDistiller's and CRD's networks, and that of mdistiller's."""
    torch.manual_seed(0)
    plain = Returning(lambda f, s: s)
    y = plain(x := torch.randn(40, 3)).argmax(1)
    for way in (lambda f, s: (f, s), lambda f, s: ([f, f], s), lambda f, s: (s, {"feats": [f]})):
        both = Returning(way)
        both.load_state_dict(plain.state_dict())
        report = ks.measure(teacher=plain, student=both, data=(x, y))
        assert [pair.transfer_loss for pair in report] == [0, 0]
        assert [network.top1 for network in report.networks] == [1, 1]
        assert any("logits of student: output [" in note for note in report.pairs[1].notes)
        assert not any("logits of student" in note for note in report.pairs[0].notes)


def test_other_outputs_are_paired_by_name():
    torch.manual_seed(0)
    networks = [Returning(lambda f, s: {"aux": f, "out": s}) for _ in range(2)]
    said = {"teacher": networks[0], "student": networks[1], "data": torch.randn(40, 3)}
    (pair,) = ks.measure(**said, pairs="logits[out]=logits[1]")
    (same,) = ks.measure(**said, layers="logits[out]")
    assert pair.transfer_loss == same.transfer_loss and pair.outputs == same.outputs is not None
    assert (pair.teacher_layer, pair.student_layer) == ("logits[out]", "logits[1]")
