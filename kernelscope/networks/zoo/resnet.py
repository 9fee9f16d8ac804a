"""Residual networks (He et al. 2016) for small and large images, with torchvision's parameter names.

Two families: three stages of 16, 32, 64 channels (resnet8 … resnet110, for CIFAR-sized images), and four stages
from 64 channels (resnet18, 34, 50), whose weights load from torchvision where ``stem="imagenet"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES: dict[str, tuple[tuple[int, ...], int]] = {
    # name: (blocks per stage, channels of the first stage)
    **{f"resnet{depth}": (((depth - 2) // 6,) * 3, 16) for depth in (8, 14, 20, 32, 44, 56, 110)},
    "resnet18": ((2, 2, 2, 2), 64),
    "resnet34": ((3, 4, 6, 3), 64),
    "resnet50": ((3, 4, 6, 3), 64),
}


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(inputs, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        summed: torch.Tensor = self.relu(out + shortcut)
        return summed


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 (with the stride), 1 × 1 convolutions and a shortcut; four times as wide at its end."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = channels * self.expansion
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        summed: torch.Tensor = self.relu(out + shortcut)
        return summed


class ResNet(nn.Module):
    """Stem, residual stages, average pooling, one linear layer; returns logits ``(n, num_classes)``.

    Args:
        blocks: residual blocks per stage.
        channels: channels of the first stage; each following stage doubles them.
        block: BasicBlock or Bottleneck.
        num_classes: width of the logits.
        in_channels: channels of the images.
        stem: ``cifar`` (3 × 3, stride 1) or ``imagenet`` (7 × 7, stride 2, max pooling).
    """

    def __init__(
        self,
        blocks: Sequence[int],
        channels: int,
        *,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        num_classes: int = 10,
        in_channels: int = 3,
        stem: str = "cifar",
    ) -> None:
        super().__init__()
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem {stem!r} is neither cifar nor imagenet")
        large = stem == "imagenet"
        self.conv1 = nn.Conv2d(
            in_channels, channels, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self._stages = [f"layer{i + 1}" for i in range(len(blocks))]
        inputs = channels
        for i, (name, count) in enumerate(zip(self._stages, blocks)):
            width = channels * 2**i
            stage = []
            for j in range(count):
                stage.append(block(inputs, width, stride=2 if i and not j else 1))
                inputs = width * block.expansion
            self.add_module(name, nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # without memory, torch loads its compiler
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self._stages:
            x = getattr(self, name)(x)
        logits: torch.Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def resnet(name: str, width: float = 1.0, **options: object) -> ResNet:
    """A network of :data:`STAGES` by name, its channels times ``width``."""
    blocks, channels = STAGES[name]
    block = Bottleneck if name == "resnet50" else BasicBlock
    return ResNet(blocks, max(1, round(channels * width)), block=block, **options)  # type: ignore[arg-type]


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
