"""Blocks by structure, and layers by the order in which they ran."""

import torch
from torch import nn

from kernelscope.activations.depth import blocks, in_running_order
from kernelscope.activations.example_rows import ForwardPass
from kernelscope.datasets.foreign import given
from kernelscope.datasets.reading import Reading
from kernelscope.networks import zoo


class Backwards(nn.Module):
    """Runs its last module first, and one of them twice."""

    def __init__(self):
        super().__init__()
        self.last, self.twice, self.first = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.last(self.twice(self.first(self.twice(x)))))


def ran(net, layers):
    examples = given((torch.randn(20, 4), torch.zeros(20, dtype=torch.long)), Reading(), None)
    return in_running_order(ForwardPass(net.eval(), examples, (), name="net", trial=False), layers)


def test_blocks_of_a_residual_network_are_its_residual_blocks():
    net = zoo.build("resnet14", in_channels=1, num_classes=10)
    assert blocks(net) == [f"layer{stage}.{i}" for stage in (1, 2, 3) for i in (0, 1)]


def test_blocks_of_a_shuffle_network_hold_no_branches():
    net = zoo.build("shufflenetv2", in_channels=1, num_classes=10)
    assert blocks(net) == [f"stage{stage}.{i}" for stage, n in ((2, 4), (3, 8), (4, 4)) for i in range(n)]


def test_a_network_without_blocks_gives_its_modules_with_weights():
    assert blocks(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))) == ["0", "2"]
    assert blocks(zoo.build("mlp", in_channels=1, num_classes=10)) == ["fc1", "fc2", "fc"]


def test_a_module_that_holds_nothing_has_no_blocks():
    assert blocks(nn.Linear(4, 3)) == []


def test_layers_stand_as_they_ran_and_not_as_they_are_named():
    assert ran(Backwards(), ["last", "first"]) == ["first", "last"]


def test_each_call_has_its_own_place_and_the_last_is_meant_without_a_number():
    assert ran(Backwards(), ["twice", "first", "twice@0"]) == ["twice@0", "first", "twice"]


def test_the_embedding_comes_after_what_it_is_made_of_and_logits_last():
    assert ran(Backwards(), ["logits", "embedding", "first:in", "first"]) == [
        "first:in",
        "first",
        "embedding",
        "logits",
    ]


def test_no_hook_stays():
    net = Backwards()
    ran(net, ["first", "last:in"])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
