"""The built-in networks are the published ones, and every name leads to one or to a refusal."""

import pytest
import torch
from torch.nn import functional

from kernelscope.errors import UsageError
from kernelscope.networks import zoo


def values(network):
    return sum(p.numel() for p in network.parameters())


# torchvision's documentation; its 1,000-class models
@pytest.mark.parametrize(
    ("arch", "published"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_the_imagenet_networks_have_the_published_number_of_parameters(arch, published):
    with torch.device("meta"):
        assert values(zoo.build(arch, num_classes=1000, stem="imagenet")) == published


# He et al. 2016, table 6, in millions
@pytest.mark.parametrize(
    ("arch", "millions"), [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)]
)
def test_the_cifar_networks_have_about_the_published_number_of_parameters(arch, millions):
    with torch.device("meta"):
        assert values(zoo.build(arch)) / 1e6 == pytest.approx(millions, abs=0.01)


def test_resnet18_bears_the_parameter_names_of_torchvision():
    expected = {"conv1.weight", "fc.weight", "fc.bias"}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected |= {f"bn1.{name}" for name in norm}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            for i in (1, 2):
                expected |= {f"layer{stage}.{block}.conv{i}.weight"}
                expected |= {f"layer{stage}.{block}.bn{i}.{name}" for name in norm}
        if stage > 1:
            expected |= {f"layer{stage}.0.downsample.0.weight"}
            expected |= {f"layer{stage}.0.downsample.1.{name}" for name in norm}
    with torch.device("meta"):
        assert set(zoo.build("resnet18", stem="imagenet").state_dict()) == expected


def logits_from_weights(w, x, *, stem, blocks, bottleneck):
    """The residual network written again, from its weights' names alone."""

    def norm(x, name):
        return functional.batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"]
        )

    def conv(x, name, stride=1):
        weight = w[f"{name}.weight"]
        return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2)

    x = functional.relu(norm(conv(x, "conv1", 2 if stem == "imagenet" else 1), "bn1"))
    if stem == "imagenet":
        x = functional.max_pool2d(x, 3, 2, 1)
    for stage, count in enumerate(blocks):
        for j in range(count):
            name, stride = f"layer{stage + 1}.{j}", 2 if stage and not j else 1
            y, last = x, 3 if bottleneck else 2
            for i in range(1, last + 1):
                # torchvision strides at the 3 x 3 convolution: the first of two, the second of three
                y = norm(conv(y, f"{name}.conv{i}", stride if i == (2 if bottleneck else 1) else 1), f"{name}.bn{i}")
                y = functional.relu(y) if i < last else y
            if f"{name}.downsample.0.weight" in w:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = functional.relu(x + y)
    return x.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]


@pytest.mark.parametrize(
    ("arch", "stem", "blocks", "size"),
    [
        ("resnet8", "cifar", (1, 1, 1), 8),
        ("resnet18x0.125", "imagenet", (2, 2, 2, 2), 40),
        ("resnet18x0.125", "cifar", (2, 2, 2, 2), 9),
        ("resnet50x0.0625", "imagenet", (3, 4, 6, 3), 33),
    ],
)
def test_a_network_is_the_function_its_weights_say(arch, stem, blocks, size):
    torch.manual_seed(0)
    network = zoo.build(arch, stem=stem, num_classes=7).double()
    x = torch.randn(4, 3, size, size, dtype=torch.float64)
    network.train()
    network(x)  # running means and variances are now not 0 and 1
    weights = {
        key: torch.rand_like(v) + 0.5 if "bn" in key and v.is_floating_point() else v
        for key, v in network.state_dict().items()
    }
    network.load_state_dict(weights)
    expected = logits_from_weights(weights, x, stem=stem, blocks=blocks, bottleneck="50" in arch)
    torch.testing.assert_close(network.eval()(x), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("arch", [*zoo.architectures(), "resnet18x0.5", "mlpx2"])
def test_every_architecture_takes_grey_images_of_8_by_8(arch):
    with torch.device("meta"):
        network = zoo.build(arch, in_channels=1, num_classes=5)
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_half_the_width_is_half_the_channels_everywhere():
    with torch.device("meta"):
        whole, half = zoo.build("resnet18").state_dict(), zoo.build("resnet18x0.5").state_dict()
    assert [half[f"layer{i}.0.conv1.weight"].shape[0] for i in (1, 2, 3, 4)] == [32, 64, 128, 256]
    assert [whole[f"layer{i}.0.conv1.weight"].shape[0] for i in (1, 2, 3, 4)] == [64, 128, 256, 512]


def test_convolutions_start_as_kaiming_says():
    torch.manual_seed(0)
    weight = zoo.build("resnet18").layer3[0].conv1.weight.detach()  # 128 channels to 256: counted by what goes out
    assert float(weight.std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)


def test_building_without_memory_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    with torch.device("meta"):
        zoo.build("resnet8")
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_architecture_is_refused_with_the_nearest_names():
    with pytest.raises(UsageError, match=r"unknown architecture 'resnet19'; nearest: .*resnet18"):
        zoo.build("resnet19")
    with pytest.raises(UsageError, match="there are: resnet8, "):
        zoo.build("os:system")


@pytest.mark.parametrize("arch", ["resnet18x", "resnet18x-1", "resnet18xinf", "resnet18x1e3", "xresnet18", "", "x2"])
def test_a_malformed_width_is_an_unknown_architecture(arch):
    assert not zoo.is_built_in(arch)


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        ({"num_classes": 0}, "num_classes 0"),
        ({"num_classes": "many"}, "num_classes 'many'"),
        ({"in_channels": True}, "in_channels True"),
        ({"stem": "tiny"}, "neither cifar nor imagenet"),
        ({"depth": 3}, "unexpected keyword"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, piece):
    with pytest.raises(UsageError, match=piece):
        zoo.build("resnet8", **options)


@pytest.mark.parametrize("width", ["0", "17"])
def test_a_width_without_sense_is_refused(width):
    with pytest.raises(UsageError, match="outside 0 … 16"):
        zoo.build(f"resnet8x{width}")


def test_the_small_network_is_two_hidden_layers_with_relu():
    torch.manual_seed(0)
    network, x = zoo.build("mlp", in_features=6, hidden=5, num_classes=3), torch.randn(4, 1, 2, 3)
    w = network.state_dict()
    hidden = (x.reshape(4, 6) @ w["fc1.weight"].T + w["fc1.bias"]).clamp(min=0)
    hidden = (hidden @ w["fc2.weight"].T + w["fc2.bias"]).clamp(min=0)
    torch.testing.assert_close(network(x), hidden @ w["fc.weight"].T + w["fc.bias"])
