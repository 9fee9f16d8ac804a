"""Losses of maps, `at` and `sp`, at their default layer: in every network of the zoo, and where there is no map."""

import numpy as np
import pytest
import torch

from kernelscope.activations.tap import Tap
from kernelscope.checkpoints.loading import load as load_network
from kernelscope.datasets.sources import load
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import zoo

CONVOLUTIONAL = [arch for arch in zoo.architectures() if arch != "mlp"]


def captured(arch, layer, x, seed):
    torch.manual_seed(seed)
    network = zoo.build(f"{arch}x0.25")
    with Tap(network, [layer], detach=False, training=True) as tap:
        network(x)
    return network, tap.features


@pytest.mark.parametrize("arch", CONVOLUTIONAL)
@pytest.mark.parametrize("name", ["at", "sp"])
def test_a_student_learns_from_another_network_at_the_default_layer(name, arch):
    loss, x = LOSSES[name](), torch.randn(4, 3, 16, 16)
    network, student = captured(arch, loss.layer, x, 0)
    _, teacher = captured("resnet8", loss.layer, x, 1)
    value = loss(student[loss.layer], teacher[loss.layer])
    value.backward()
    first = next(network.parameters())
    assert value > 0 and torch.isfinite(first.grad).all() and (first.grad != 0).any()


@pytest.mark.parametrize("shapes", [((3, 1, 1), (5, 4, 4)), ((3, 2, 2), (5, 1, 1)), ((3, 1, 4), (5, 4, 1))])
def test_attention_in_a_single_position_is_refused(shapes):
    rng = np.random.default_rng(0)
    student, teacher = (torch.tensor(rng.standard_normal((6, *shape))) for shape in shapes)
    with pytest.raises(Mismatch, match="1 × 1, with no attention in them; name an earlier layer"):
        LOSSES["at"]()(student, teacher)


@pytest.mark.parametrize("method", ["at", "sp"])
def test_a_student_without_a_last_pooling_is_told_the_layers_it_has(method):
    data = tuple(load("digits", split).head(40) for split in ("train", "validation", "test"))
    teacher = load_network(train(Recipe(arch="mlp", epochs=1, batch_size=20), data=data).last)
    with pytest.raises(UsageError, match="unknown layer 'avgpool:in'; nearest: embedding, logits, fc1"):
        train(Recipe(arch="mlp", method=method, epochs=1), data=data, teacher=teacher, accuracy_check=False)
