"""Networks of torchvision and timm by name: whatever can be built, with the sizes that the weights state."""

import pytest
import timm
import torch
import torchvision
from torch import nn

import kernelscope as ks
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import libraries

X = torch.rand(2, 3, 64, 64)


def saved(model, path="t.pt", prefix=""):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    torch.save({"model": {prefix + key: value for key, value in model.state_dict().items()}}, path)
    return model.eval()


@pytest.mark.parametrize(
    ("arch", "options", "note"),
    [
        ("torchvision:resnet18", {"num_classes": 10}, "num_classes 10 taken from the weights"),
        ("torchvision:mobilenet_v3_small", {"num_classes": 7}, "num_classes 7 taken"),
        ("torchvision:convnext_tiny", {"num_classes": 1}, "num_classes 1 taken"),
        ("torchvision:vit_b_32", {"num_classes": 5, "image_size": 64}, "num_classes 5, image_size 64 taken"),
        ("torchvision:lraspp_mobilenet_v3_large", {"num_classes": 5}, "num_classes 5 taken"),
        ("torchvision:fcn_resnet50", {"aux_loss": True, "num_classes": 4}, "aux_loss True, num_classes 4 taken"),
        ("timm:resnet18", {"num_classes": 10, "in_chans": 3}, "num_classes 10 taken"),
        ("timm:resnet18", {"num_classes": 10, "in_chans": 1}, "num_classes 10, in_chans 1 taken"),
        ("timm:resnet18", {"num_classes": 0}, "num_classes 0 taken"),
        ("timm:vit_tiny_patch16_224", {"num_classes": 3, "img_size": 64}, "num_classes 3, img_size 64 taken"),
        ("timm:deit_tiny_distilled_patch16_224", {"num_classes": 3, "img_size": 64}, "num_classes 3, img_size 64"),
        ("timm:mobilenetv3_small_050", {"num_classes": 6, "in_chans": 4}, "num_classes 6, in_chans 4 taken"),
        ("timm:convnext_atto", {"num_classes": 6}, "num_classes 6 taken"),
    ],
)
def test_sizes_that_nobody_named_are_those_of_the_weights(arch, options, note):
    model = saved(libraries.build(arch, options), prefix="module.")
    loaded = ks.load("t.pt", arch=arch)
    assert note in "\n".join(loaded.notes)
    x = X[:, :1].repeat(1, options["in_chans"], 1, 1) if "in_chans" in options else X
    found, expected = loaded.module(x), model(x)
    found, expected = (y["out"] if isinstance(y, dict) else y for y in (found, expected))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_size_that_was_named_is_not_replaced():
    saved(torchvision.models.resnet18(num_classes=10))
    with pytest.raises(Mismatch, match=r"first fc.weight \(10, 512\) for \(12, 512\)"):
        ks.load("t.pt", arch="torchvision:resnet18", arch_kwargs={"num_classes": 12})


def test_weights_of_another_network_are_refused_all_the_same():
    saved(torchvision.models.resnet18(num_classes=10))
    with pytest.raises(Mismatch, match="does not fit the architecture"):
        ks.load("t.pt", arch="torchvision:resnet34")
    with pytest.raises(Mismatch, match="does not fit the architecture"):
        ks.load("t.pt", arch="timm:vit_tiny_patch16_224")


def test_every_network_of_torchvision_can_be_named():
    names = [name for name in torchvision.models.list_models() if not name.startswith("regnet")]  # no meta device there
    for name in names:
        with torch.device("meta"):
            assert isinstance(libraries.build(f"torchvision:{name}", {}), nn.Module)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UsageError, match=r"torchvision has no network 'resnet1'; nearest: resnet1"):
        libraries.build("torchvision:resnet1", {})
    with pytest.raises(UsageError, match=r"timm has no network 'vit_tinny_patch16_224'; nearest: .*vit_tiny"):
        libraries.build("timm:vit_tinny_patch16_224", {})


def test_building_leaves_the_random_generator_as_it_was():
    before = torch.random.get_rng_state()
    libraries.build("timm:resnet18", {})
    libraries.build("torchvision:resnet18", {})
    assert torch.equal(before, torch.random.get_rng_state())
    assert timm.__version__


def test_arguments_that_a_factory_does_not_take_are_told():
    with pytest.raises(
        UsageError, match=r"torchvision:resnet18 cannot be called with .*; give arguments that it takes"
    ):
        libraries.build("torchvision:resnet18", {"colour": 5})
