"""``blame``: losses against layers run by hand, and injuries of one or two layers by their names."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import Mismatch, UsageError
from kernelscope.report.blame import Blame, LayerBlame

N = 90
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, 3, 8, 8, generator=GENERATOR)
DATA = (X, torch.zeros(N, dtype=torch.long))


def network(width=6):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, 5, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    ).eval()  # fmt: skip
    net[1].running_mean.normal_(0, 0.2)
    return net


def changed(*indices, by=0.5):
    net = network()
    for index in indices:
        net[index].weight.data.mul_(1 + by * torch.randn(net[index].weight.shape, generator=GENERATOR))
    return net


def losses(found):
    return {each.layer: (each.own, each.inherited, each.total) for each in found.layers}


def test_losses_are_those_of_layers_run_by_hand():
    T, S = network(), changed(0, 3)
    found = losses(ks.blame(teacher=T, student=S, data=DATA, batch_size=7))
    with torch.no_grad():
        ins_T, ins_S = [X], [X]
        for t, s in zip(T, S):
            ins_T.append(t(ins_T[-1].clone()))
            ins_S.append(s(ins_S[-1].clone()))
        for i, (t, s) in enumerate(zip(T, S)):
            parts = (s(ins_T[i].clone()), t(ins_S[i].clone()), ins_S[i + 1])
            expected = [float((part - ins_T[i + 1]).norm() / ins_T[i + 1].norm()) for part in parts]
            assert found[str(i)] == pytest.approx(expected, rel=1e-4, abs=1e-7), i


@pytest.mark.parametrize("index", [0, 1, 3, 6])
def test_the_layer_that_was_changed_is_named(index):
    found = ks.blame(teacher=network(), student=changed(index), data=DATA)
    assert found.named == (str(index),)
    assert all(each.own == 0 for each in found.layers if each.layer != str(index))
    assert f"{index} (own" in found.verdict and "broke it" in found.verdict


def test_two_layers_that_were_changed_are_named_together():
    found = ks.blame(teacher=network(), student=changed(0, 6), data=DATA)
    assert {each.layer for each in found.ranked[:2]} == {"0", "6"}


def test_the_same_network_is_told_to_be_the_same():
    found = ks.blame(teacher=network(), student=network(), data=DATA)
    assert found.named == () and "no layer does anything else" in found.verdict
    assert all(each.total == 0 for each in found.layers)


def test_another_activation_is_another_layer():
    S = network()
    S[2] = nn.LeakyReLU(0.3)
    assert ks.blame(teacher=network(), student=S, data=DATA).named == ("2",)


def test_half_precision_is_run_in_its_own_type():
    found = ks.blame(teacher=network(), student=network().bfloat16(), data=DATA)
    assert all(0 <= each.total < 0.02 for each in found.layers)
    assert found.layers[0].own > 0


def test_layers_of_another_width_are_measured_by_a_head():
    found = ks.blame(teacher=network(), student=network(width=4), data=DATA)
    first = next(each for each in found.layers if each.layer == "0")
    assert first.by_head and any("differ in shape" in note for note in found.notes)
    assert next(each for each in found.layers if each.layer == "6").by_head is False


def test_layers_of_one_network_alone_are_noted():
    S = nn.Sequential(*network(), nn.Identity()).eval()
    found = ks.blame(teacher=network(), student=S, data=DATA)
    assert found.notes == ("1 layers run in one of the two networks alone and are passed over: 7",)
    with pytest.raises(Mismatch, match="run no layer of one name"):
        ks.blame(teacher=network(), student=Renamed(network()), data=DATA)


class Renamed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def test_a_network_of_one_layer_is_that_layer():
    torch.manual_seed(2)
    T, S = nn.Linear(4, 3), nn.Linear(4, 3)
    found = ks.blame(teacher=T, student=S, data=(torch.randn(50, 4), torch.zeros(50, dtype=torch.long)))
    assert [each.layer for each in found.layers] == ["(the network)"] == list(found.named)


def test_a_layer_that_runs_twice_has_a_loss_for_each_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.again = self.fc  # shared: one module by its first name

        def forward(self, x):
            return self.again(self.fc(x).relu())

    torch.manual_seed(3)
    T = Twice().eval()
    S = copy.deepcopy(T)
    S.fc.weight.data.mul_(1.3)
    found = losses(ks.blame(teacher=T, student=S, data=(torch.randn(50, 4), torch.zeros(50, dtype=torch.long))))
    assert list(found) == ["fc", "fc@2"]
    assert found["fc"][1] == pytest.approx(0, abs=1e-7) and found["fc@2"][1] > 0


def test_features_are_no_network():
    with pytest.raises(UsageError, match="teacher is features, and layers are run by themselves"):
        ks.blame(teacher=np.ones((4, 2)), student=network(), data=DATA)


def of(*own):
    layers = tuple(LayerBlame(f"l{i}", "Linear", value, 0.0, value) for i, value in enumerate(own))
    return Blame("t", "s", 9, layers)


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ((0.0, 0.3, 0.01), ("l1",)),
        ((0.3, 0.3, 0.0), ("l0",)),
        ((0.2, 0.2, 0.2, 0.2), ("l0", "l1")),
        ((0.1,) * 9, ()),
        ((1e-7, 0.0), ()),
        ((None, 0.2), ("l1",)),
    ],
)
def test_those_are_named_that_carry_most(own, named):
    assert of(*own).named == named


def test_the_command_names_it_draws_it_and_writes_it(run, tmp_path, few_digits_teacher):
    torch.save(few_digits_teacher.module.state_dict(), "t.pt")
    injured = copy.deepcopy(few_digits_teacher.module)
    injured.fc.weight.data.mul_(3)
    torch.save(injured.state_dict(), "s.pt")
    words = ("blame", "--teacher", "t.pt", "--student", "s.pt", "--data", "digits", "--limit", "60")
    sizes = json.dumps({"in_channels": 1, "num_classes": 10})
    arch = [
        word
        for role in ("teacher", "student")
        for word in (f"--{role}-arch", few_digits_teacher.arch, f"--{role}-arch-kwargs", sizes)
    ]
    code, out, err = run(*words, *arch, "--figure", "f.png", "--save", "b.json")
    assert code == 0, err
    assert "fc (own 2 of 2) broke it" in " ".join(out.split())
    assert json.loads((tmp_path / "b.json").read_text())["named"] == ["fc"]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert run(*words, *arch, "--figure", "f.gif")[0] == 2
    assert run(*words, *arch, "--save", "b.json")[0] == 2
