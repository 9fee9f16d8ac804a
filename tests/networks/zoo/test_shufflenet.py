"""ShuffleNetV2 is the published network, under torchvision's names."""

import pytest
import torch
from torch.nn import functional

from kernelscope.errors import UsageError
from kernelscope.networks import zoo


# torchvision's documentation; its 1,000-class models
@pytest.mark.parametrize(
    ("width", "published"), [("0.5", 1_366_792), ("1", 2_278_604), ("1.5", 3_503_624), ("2", 7_393_996)]
)
def test_published_widths_have_the_published_number_of_parameters(width, published):
    with torch.device("meta"):
        network = zoo.build(f"shufflenetv2x{width}", num_classes=1000, stem="imagenet")
    assert sum(p.numel() for p in network.parameters()) == published


def names_of_torchvision():
    """Names of its state dict, by counting layers in each sequence: convolution, norm, (ReLU,) ..."""
    convolutions, norms = {"conv1.0", "conv5.0"}, {"conv1.1", "conv5.1"}
    for stage, count in ((2, 4), (3, 8), (4, 4)):
        for block in range(count):
            branches = [("branch2", (0, 3, 5), (1, 4, 6))] + ([("branch1", (0, 2), (1, 3))] if not block else [])
            for branch, convs, bns in branches:
                convolutions |= {f"stage{stage}.{block}.{branch}.{i}" for i in convs}
                norms |= {f"stage{stage}.{block}.{branch}.{i}" for i in bns}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"{path}.weight" for path in convolutions} | {f"{path}.{name}" for path in norms for name in norm}
    return names | {"fc.weight", "fc.bias"}


def test_it_bears_the_parameter_names_of_torchvision():
    with torch.device("meta"):
        assert set(zoo.build("shufflenetv2").state_dict()) == names_of_torchvision()


def logits_from_weights(w, x, *, large):
    """The network written again, from its weights' names alone."""

    def part(x, name, conv, *, stride=1, relu=True):
        weight = w[f"{name}.{conv}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        norm = f"{name}.{conv + 1}"
        x = functional.batch_norm(
            x, w[f"{norm}.running_mean"], w[f"{norm}.running_var"], w[f"{norm}.weight"], w[f"{norm}.bias"]
        )
        return functional.relu(x) if relu else x

    x = part(x, "conv1", 0, stride=2 if large else 1)
    if large:
        x = functional.max_pool2d(x, 3, 2, 1)
    for stage, count in ((2, 4), (3, 8), (4, 4)):
        for block in range(count):
            name, stride = f"stage{stage}.{block}", 1 if block else 2
            left, right = (x, x) if stride == 2 else (x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :])
            if stride == 2:
                left = part(part(left, f"{name}.branch1", 0, stride=2, relu=False), f"{name}.branch1", 2)
            right = part(right, f"{name}.branch2", 0)
            right = part(part(right, f"{name}.branch2", 3, stride=stride, relu=False), f"{name}.branch2", 5)
            x = torch.cat([left, right], 1)
            x = x[:, torch.arange(x.shape[1]).view(2, -1).T.reshape(-1)]
    return part(x, "conv5", 0).mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]


@pytest.mark.parametrize(("stem", "size"), [("cifar", 16), ("imagenet", 64)])
def test_it_is_the_function_its_weights_say(stem, size):
    torch.manual_seed(0)
    network = zoo.build("shufflenetv2x0.5", stem=stem, num_classes=7).double()
    weights = {
        key: torch.rand_like(v) + 0.5 if v.ndim == 1 and v.is_floating_point() else v
        for key, v in network.state_dict().items()
    }
    network.load_state_dict(weights)
    x = torch.randn(3, 3, size, size, dtype=torch.float64)
    expected = logits_from_weights(weights, x, large=stem == "imagenet")
    torch.testing.assert_close(network.eval()(x), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("size", [32, 64])
def test_the_networks_of_the_paper_take_images_of_cifar_and_of_tiny_imagenet(size):
    with torch.device("meta"):
        for arch in ("resnet34", "resnet18", "resnet18x0.5", "shufflenetv2"):
            assert zoo.build(arch, num_classes=100)(torch.zeros(2, 3, size, size)).shape == (2, 100)


def test_another_width_has_even_channels():
    with torch.device("meta"):
        weights = zoo.build("shufflenetv2x0.3").state_dict()
    assert [weights[f"stage{s}.1.branch2.0.weight"].shape[0] for s in (2, 3, 4)] == [17, 35, 70]


def test_an_unknown_stem_is_refused():
    with pytest.raises(UsageError, match="neither cifar nor imagenet"):
        zoo.build("shufflenetv2", stem="tiny")
