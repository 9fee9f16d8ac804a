"""What is said of a file and of a network is what they hold."""

import pytest
import torch
from torch import nn

from kernelscope.errors import UnreadableInput
from kernelscope.networks import zoo
from kernelscope.networks.checkpoint import Checkpoint, save_checkpoint
from kernelscope.networks.description import LayerRow, describe, layer_rows, lines


@pytest.fixture
def saved(tmp_path):
    with torch.random.fork_rng(devices=[]):
        network = zoo.build("mlp", hidden=5, in_features=4, num_classes=2)
    path = tmp_path / "t.pt"
    save_checkpoint(
        path,
        Checkpoint(
            arch="mlp",
            arch_kwargs={"hidden": 5, "in_features": 4, "num_classes": 2},
            state_dict=network.state_dict(),
            layers={"embedding": "fc:in"},
            input={"shape": [1, 2, 2]},
            preprocess=[{"op": "scale", "by": 0.5}],
            classes=["cat\x1b[31m", "dog"],
            data={"name": "digits", "split": "test"},
            metrics={"top1": 0.75},
            training={"epoch": 3, "history": [{"epoch": i} for i in range(3)]},
            versions={"torch": "2.13.0"},
            created="2026-11-23",
        ),
    )
    return path


def test_a_checkpoint_is_described_without_being_built(saved):
    values = (4 * 5 + 5) + (5 * 5 + 5) + (5 * 2 + 2)
    found = describe(saved)
    assert (found["kind"], found["tensors"], found["values"]) == ("kernelscope checkpoint", 6, values)
    assert found["dtypes"] == {"float32": 6} and found["bytes"] == saved.stat().st_size
    assert found["arch"] == "mlp" and found["training"] == {"epoch": 3}
    text = lines(found)
    assert text[1] == f"6 tensors, {values} values (6 float32)"
    assert "arch: mlp (hidden 5, in_features 4, num_classes 2)" in text
    assert "data: name digits, split test" in text and "metrics: top1 0.75" in text
    assert all(line.isprintable() for line in text)


def test_a_checkpoint_of_an_unknown_architecture_is_described_all_the_same(saved):
    torch.save({**torch.load(saved, weights_only=True), "arch": "pkg.mod:Net"}, saved)
    assert describe(saved)["arch"] == "pkg.mod:Net"


@pytest.mark.parametrize(
    ("content", "kind", "tensors"),
    [
        ({"a": torch.zeros(2, 3), "b": torch.zeros(4).half()}, "state dict", 2),
        ({"model": {"a": torch.zeros(2, 3)}, "epoch": 3}, "state dict under 'model'", 1),
        (torch.zeros(3), "a tensor", 1),
        ([1], "a list", 0),
        ({"epoch": 3}, "a dict", 0),
    ],
)
def test_a_strangers_file_is_described_by_its_tensors(tmp_path, content, kind, tensors):
    torch.save(content, tmp_path / "x.pt")
    found = describe(tmp_path / "x.pt")
    assert (found["kind"], found["tensors"]) == (kind, tensors)
    text = lines(found)
    assert "pass --teacher-arch or --student-arch" in text[-1] and all(line.isprintable() for line in text)


def test_a_damaged_file_is_not_described(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(UnreadableInput):
        describe(saved)


def test_layers_are_listed_with_class_shape_and_calls():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(1, 2, 3), nn.ReLU()
            self.fc, self.idle = nn.Linear(8, 3), nn.Dropout()

        def forward(self, x):
            return self.relu(self.fc(self.relu(self.conv(x)).flatten(1)))

    network = Net()
    assert layer_rows(network, (1, 4, 4)) == [
        LayerRow("conv", "Conv2d", (2, 2, 2), 1),
        LayerRow("relu", "ReLU", (3,), 2),
        LayerRow("fc", "Linear", (3,), 1),
        LayerRow("idle", "Dropout", None, 0),
    ]
    assert all(module.training and not module._forward_hooks for module in network.modules())


def test_listing_layers_leaves_the_network_as_it_was_though_it_fails():
    network = zoo.build("resnet8")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(RuntimeError):
        layer_rows(network, (1, 8, 8))
    layer_rows(network, (3, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in network.modules())
