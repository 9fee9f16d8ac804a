"""Layers of networks of other families: words for one side, patterns that match in one, maps of other sizes."""

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import Mismatch, UsageError

X = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1, self.layer2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(x).relu()).relu().mean((2, 3)))


class Vit(nn.Module):
    """16 patches of 2 × 2 and a class token."""

    def __init__(self, d=6):
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, d, 2, 2), nn.Parameter(torch.zeros(1, 1, d))
        self.blocks = nn.ModuleList([nn.Linear(d, d), nn.Linear(d, d)])
        self.fc = nn.Linear(d, 5)

    def forward(self, x):
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), self.patch(x).flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            tokens = block(tokens).relu()
        return self.fc(tokens[:, 0])


torch.manual_seed(0)
CNN, VIT = Cnn(), Vit()


def measured(teacher=CNN, student=VIT, **asked):
    return ks.measure(teacher=teacher, student=student, data=X, cache=False, **asked)


def names(report):
    return [(pair.teacher_layer, pair.student_layer) for pair in report]


def test_a_pattern_need_match_in_one_network_only():
    found = names(measured(layers="layer*,blocks.*", pairs="all"))
    assert found == [(t, s) for t in ("layer1", "layer2") for s in ("blocks.0", "blocks.1")]
    assert names(measured(layers="layer*,blocks.*,fc")) == [("fc", "fc")]
    with pytest.raises(UsageError, match="unknown layer 'layr\\*'"):
        measured(layers="layr*,blocks.*", pairs="all")
    with pytest.raises(UsageError, match=r"student has none of the layers layer\*; name its own by"):
        measured(layers="layer*", pairs="all")


def test_names_in_full_need_be_in_one_network_only_in_a_grid():
    assert names(measured(layers="layer1,blocks.1", pairs="all")) == [("layer1", "blocks.1")]
    with pytest.raises(UsageError, match=r"unknown layer '(layer1|blocks\.1)'"):
        measured(layers="layer1,blocks.1")


def test_sides_have_layers_of_their_own_paired_in_their_order():
    found = names(measured(teacher_layers="layer2,layer1", student_layers="blocks.*"))
    assert found == [("layer2", "blocks.0"), ("layer1", "blocks.1")]
    assert names(measured(teacher_layers="layer2", pairs="all")) == [("layer2", "embedding"), ("layer2", "logits")]
    with pytest.raises(UsageError, match="2 teacher layers and 1 student layers, which are paired in their order"):
        measured(teacher_layers="layer*", student_layers="blocks.0")
    with pytest.raises(UsageError, match="layers= names layers of both networks; drop it or teacher_layers="):
        measured(layers="fc", teacher_layers="fc")
    with pytest.raises(UsageError, match="drop student_layers=, or write pairs='all'"):
        measured(pairs="fc=fc", student_layers="fc")


def test_arrays_by_layer_heed_the_same_words():
    rng = np.random.default_rng(0)
    T, S = ({name: rng.standard_normal((9, 3)) for name in each} for each in (("a1", "a2", "z"), ("b1", "b2", "z")))
    kept = {"teacher": T, "student": S}
    assert names(ks.measure(**kept, layers="a*,b2", pairs="all")) == [("a1", "b2"), ("a2", "b2")]
    assert names(ks.measure(**kept, teacher_layers="a2,a1", student_layers="b*")) == [("a2", "b1"), ("a1", "b2")]
    assert names(ks.audit(**kept, teacher_layers="z", student_layers="b1").pairs) == [("z", "b1")]


def test_maps_of_other_sizes_are_laid_on_one_grid():
    with pytest.raises(Mismatch, match=r"positions, student .* positions; if their maps differ in size, pass pool="):
        measured(teacher_layers="layer1", student_layers="patch", pool="patch")
    report = measured(teacher_layers="layer1,layer2", student_layers="patch,blocks.1", pool="grid:2x2")
    assert [(pair.unit, pair.pool, pair.n) for pair in report] == [("patch", "grid:2x2", 4 * 24)] * 2
    with torch.no_grad():
        maps = CNN.layer1(X), VIT.patch(X)
    cells = [nn.functional.adaptive_avg_pool2d(m, 2).flatten(2).transpose(1, 2).flatten(0, 1).numpy() for m in maps]
    assert report.pairs[0].transfer_loss == pytest.approx(ks.transfer_loss(teacher=cells[0], student=cells[1]).value)
    with pytest.raises(Mismatch, match="map is 4 x 4, smaller than the grid; pass pool='grid:4x4'"):
        measured(teacher_layers="layer1", student_layers="patch", pool="grid:8x8")
    with pytest.raises(UsageError, match="is not grid:HxW"):
        measured(pool="grid:8")


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_in_a_grid_a_word_for_one_side_is_a_layer_of_that_side(side):
    rng = np.random.default_rng(0)
    layers = {role: {name: rng.standard_normal((30, 4)) for name in ("a", role)} for role in ("teacher", "student")}
    other = "student" if side == "teacher" else "teacher"
    with pytest.raises(UsageError, match=f"unknown layer '{other}'"):
        ks.measure(**layers, pairs="all", **{f"{side}_layers": f"a,{other}"})
    assert len(ks.measure(**layers, pairs="all", **{f"{side}_layers": f"a,{side}"})) == 4
