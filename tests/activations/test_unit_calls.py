"""Which layers are heard, how often, and that what was recorded is what they took in and put out."""

import torch
from torch import nn

from kernelscope.activations.unit_calls import UnitCalls, in_types_of, mapped


class Twice(nn.Module):
    """A layer that runs twice, one whose children only lend their weights, an operation in place, and one unused."""

    def __init__(self):
        super().__init__()
        self.fc, self.unused = nn.Linear(4, 4), nn.Linear(2, 2)
        self.act = nn.ReLU(inplace=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        x = self.act(self.fc(self.fc(x)))
        return self.attention(x, x, x)[0] * self.scale


def test_every_call_of_a_layer_is_recorded_as_it_was():
    torch.manual_seed(0)
    net = Twice().eval()
    x = torch.randn(3, 5, 4)
    with UnitCalls(net) as calls, torch.no_grad():
        net(torch.zeros(1, 5, 4))
        net(x)
    assert list(calls.calls) == [("fc", 1), ("fc", 2), ("act", 1), ("attention", 1)]
    first, second, act, attention = calls.calls.values()
    torch.testing.assert_close(first.given[0][0], x)
    torch.testing.assert_close(first.out, net.fc(x))
    torch.testing.assert_close(second.given[0][0], first.out)
    torch.testing.assert_close(act.given[0][0], second.out)  # before it was changed in place
    torch.testing.assert_close(act.out, second.out.relu())
    assert attention.out[0].shape == (3, 5, 4) and len(attention.tensors()) == 2
    assert not net._forward_hooks and not net.fc._forward_hooks and not net.fc._forward_pre_hooks


def test_layers_that_are_run_while_one_is_met_are_not_heard():
    net, met = Twice().eval(), []

    def meet(key, call):
        met.append(key)
        call.module(*call.given[0], **call.given[1])

    with UnitCalls(net, meet) as calls, torch.no_grad():
        net(torch.randn(2, 5, 4))
    assert met == [("fc", 1), ("fc", 2), ("act", 1), ("attention", 1)]
    assert calls.calls == {}


def test_an_error_in_the_network_leaves_no_hook():
    net = Twice().eval()
    try:
        with UnitCalls(net):
            net(torch.randn(2, 5, 3))
    except RuntimeError:
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_values_of_any_make_are_walked_through():
    value = {"a": [torch.ones(2), 3], "b": (torch.zeros(1, dtype=torch.long), None)}
    found = in_types_of(value, {"a": [torch.ones(2, dtype=torch.float16)]})
    assert found["a"][0].dtype == torch.float16 and found["a"][1] == 3
    assert found["b"][0].dtype == torch.long and found["b"][1] is None
    pair = torch.return_types.max((torch.ones(2), torch.ones(2)))
    assert isinstance(mapped(tuple(pair), lambda x: x + 1), tuple)
