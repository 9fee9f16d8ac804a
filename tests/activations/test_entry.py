"""A network is called by the names and with the types of numbers that it takes, and is left as it was."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kernelscope.activations.entry import Entry
from kernelscope.errors import Mismatch

X = torch.rand(6, 4)


class Hearing(nn.Module):
    """Remembers what it was called with."""

    def __init__(self, kind=torch.float32):
        super().__init__()
        self.fc = nn.Linear(4, 3).to(kind)
        self.heard = []

    def forward(self, x):
        self.heard.append(x)
        return self.fc(x)


class Mixed(nn.Module):
    """Weights that come first in order are not those that meet the input."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.head, self.body = nn.Linear(3, 2), nn.Linear(4, 3).bfloat16()

    def forward(self, x):
        return self.head(self.body(x).float())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_floats_are_of_the_type_of_the_weights_which_stay_so(kind):
    net = Hearing(kind)
    Entry(net, "net", None).call(X)
    assert [x.dtype for x in net.heard] == [kind]
    assert {p.dtype for p in net.parameters()} == {kind}


def test_of_mixed_weights_those_count_that_meet_the_input():
    net, heard = Mixed(), []
    net.body.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0].dtype))
    Entry(net, "net", None).call(X)
    assert heard[-1] == torch.bfloat16
    assert len(net.body._forward_pre_hooks) == 1


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_whole_numbers_become_floats_only_where_the_network_takes_none(kind):
    tokens = torch.randint(4, (6, 4))
    net = Hearing(kind)
    entry = Entry(net, "net", None)
    entry.call(tokens)
    entry.call(tokens)
    assert [x.dtype for x in net.heard] == [torch.int64, kind, kind]
    embedding = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(12, 2)).to(kind)
    Entry(embedding, "net", None).call(tokens)


def test_what_is_wrong_besides_the_type_is_what_is_told():
    with pytest.raises(Mismatch, match="index out of range"):
        Entry(nn.Embedding(4, 3), "net", None).call(torch.full((6, 4), 9))
    with pytest.raises(Mismatch, match="shapes cannot be multiplied"):
        Entry(Hearing(), "net", None).call(torch.ones(6, 5, dtype=torch.int64))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, left, right=None):
        return self.fc(left if right is None else left + right)


class Any(Two):
    def forward(self, left, **rest):
        if rest.keys() - {"right"}:
            raise TypeError("got an unexpected keyword argument")
        return super().forward(left, **rest)


@pytest.mark.parametrize("net", [Two(), Any()], ids=["names", "any names"])
def test_of_named_inputs_those_go_in_that_forward_takes(net):
    entry = Entry(net, "net", None)
    entry.call({"left": X, "right": X})
    assert entry.note == ""
    entry = Entry(net, "net", None)
    entry.call({"left": X, "right": X, "other": X})
    assert entry.note.endswith("does not take: other" if type(net) is Two else "does not take: right, other")


def test_a_single_named_input_goes_in_by_its_place():
    for batch in ({"input_values": X}, {"pixel_values": X, "mask": X}):
        net = Hearing()
        Entry(net, "net", None).call(batch)
        assert torch.equal(net.heard[0], X)


def test_several_inputs_of_which_none_is_named_are_refused_with_both_sides():
    with pytest.raises(Mismatch, match="net takes x and the data give a, b; name the inputs as its forward does"):
        Entry(Hearing(), "net", None).call({"a": X, "b": X})


def test_a_quantised_network_takes_floats():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), {nn.Linear}, dtype=torch.qint8)
        Entry(net, "net", None).call(torch.from_numpy(np.ones((6, 4))))
