"""inspect lists layers with class, shape, size and calls, for our files and, told how, for other people's."""

import pytest
import torch
from torch import nn

from kernelscope.activations.layer_table import layer_rows
from kernelscope.cli.main import main
from kernelscope.networks import zoo


def said(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *words])
    return ended.value.code, capsys.readouterr()


@pytest.fixture
def weights(tmp_path):
    network = zoo.build("resnet8", in_channels=1)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    return str(tmp_path / "w.pt")


def test_layers_of_bare_weights_are_listed_once_the_input_is_named(weights, capsys):
    code, out = said(capsys, weights, "--input", "1,8,8")
    assert code == 0
    found = {line.split()[0]: line.split()[1:] for line in out.out.splitlines() if line.startswith("  ")}
    assert found["layer2"] == ["Sequential", "32×4×4", "1.2", "MiB"]  # 10,000 rows of 32 channels, 4 bytes each
    assert found["layer1.0.relu"] == ["ReLU", "16×8×8", "625", "KiB,", "2", "calls"]
    assert found["fc"] == ["Linear", "10", "391", "KiB"]


def test_without_an_input_nothing_is_run(weights, capsys):
    code, out = said(capsys, weights)
    assert code == 0 and "layer2 " not in out.out
    code, out = said(capsys, weights, "--arch", "resnet8", "--arch-kwargs", '{"in_channels": 1}')
    assert code == 0 and "pass --input, such as 3,224,224" in out.out


@pytest.mark.parametrize("shape", ["3,x", "", "0,3", "3,-1", "99999999"])
def test_a_shape_that_is_none_is_a_usage_error(weights, shape, capsys):
    code, out = said(capsys, weights, "--input", shape)
    assert code == 2 and "is not a shape" in out.err


def test_a_network_with_inputs_of_its_own_needs_none_named():
    class Talking(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 3)

        @property
        def dummy_inputs(self):
            return {"input_ids": torch.tensor([[1, 2], [3, 4]])}

        def forward(self, input_ids):
            return self.embed(input_ids)

    (row,) = layer_rows(Talking(), None)
    assert (row.shape, row.width, row.calls) == ((2, 3), 3, 1)
