"""What is said of a file and of a network is what they hold."""

import pytest
import torch
from torch import nn

from kernelscope.activations.layer_table import LayerRow, layer_rows
from kernelscope.checkpoints import fitting
from kernelscope.checkpoints.checkpoint import Checkpoint, save_checkpoint
from kernelscope.checkpoints.containers import Place
from kernelscope.checkpoints.description import describe, lines
from kernelscope.checkpoints.recognition import recognise
from kernelscope.errors import UnreadableInput
from kernelscope.networks import zoo


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
    assert "pass --arch, to measure --teacher-arch or --student-arch" in text[-1] and all(
        line.isprintable() for line in text
    )


@pytest.mark.parametrize("arch", [*zoo.architectures(), "resnet8x0.25", "resnet18x1.5", "resnet50x0.015625"])
@pytest.mark.parametrize("options", [{"num_classes": 7, "in_channels": 2}, {"num_classes": 5, "stem": "imagenet"}])
def test_every_built_in_architecture_is_recognised_by_its_weights(arch, options):
    if arch == "mlp":
        options = {"hidden": 6, "in_features": 9, "num_classes": options["num_classes"]}
    state_dict = fitting.outline(arch, options).state_dict()
    (known,) = recognise(Place("", {f"net.{key}": value for key, value in state_dict.items()}))
    assert known.arch == arch and known.weights.prefix == "net."
    again = fitting.outline(known.arch, known.arch_kwargs).state_dict()
    assert {k: v.shape for k, v in again.items()} == {k: v.shape for k, v in state_dict.items()}


@pytest.mark.parametrize("missing", ["fc.weight", "bn1.bias", "layer3.0.conv2.weight"])
def test_a_part_of_a_network_is_not_recognised(missing):
    state_dict = dict(fitting.outline("resnet8", {}).state_dict())
    del state_dict[missing]
    assert not list(recognise(Place("", state_dict)))


def test_of_a_file_with_two_networks_both_are_told(tmp_path):
    small, large = zoo.build("resnet8x0.25").state_dict(), zoo.build("resnet14x0.25").state_dict()
    torch.save({"student": small, "teacher": large, "optimizer": {"step": torch.tensor(1)}}, tmp_path / "x.pt")
    text = "\n".join(lines(describe(tmp_path / "x.pt")))
    assert "fits: resnet8x0.25 (num_classes 10, in_channels 3) in student" in text
    assert "fits: resnet14x0.25 (num_classes 10, in_channels 3) in teacher" in text
    assert "also in it: teacher (92 tensors), optimizer (1 tensor)" in text


def test_tensors_that_cannot_be_weights_are_told(tmp_path):
    odd = {"a": torch.ones(1).expand(9), "b": torch.tensor([1, float("inf")])}
    torch.save(odd, tmp_path / "x.pt")
    text = lines(describe(tmp_path / "x.pt"))
    assert "a is of 9 values over 4 bytes, not a dense tensor" in text and "b holds NaN or infinite values" in text


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
