"""ShuffleNetV2 (Ma, Zhang, Zheng and Sun 2018, table 5) for images small and large, named as torchvision names it."""

from __future__ import annotations

import torch
from torch import nn

BLOCKS = (4, 8, 4)
STEM_CHANNELS = 24
#: channels of the stages and of the last convolution for the published widths
PUBLISHED: dict[float, tuple[int, ...]] = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


class ShuffleBlock(nn.Module):
    """Half of the channels pass through three convolutions, the other half as they are; then the halves are mixed.

    With ``stride`` 2 both halves come from all inputs, one through a depthwise and a pointwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.branch1 = nn.Sequential()
        if stride == 2:
            self.branch1 = nn.Sequential(
                *_convolution(inputs, inputs, 3, stride, depthwise=True),
                *_convolution(inputs, half, 1),
                nn.ReLU(),
            )
        self.branch2 = nn.Sequential(
            *_convolution(inputs if stride == 2 else half, half, 1),
            nn.ReLU(),
            *_convolution(half, half, 3, stride, depthwise=True),
            *_convolution(half, half, 1),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.branch1):
            halves = (self.branch1(x), self.branch2(x))
        else:
            kept, changed = x.chunk(2, dim=1)
            halves = (kept, self.branch2(changed))
        return torch.stack(halves, dim=2).flatten(1, 2)  # channels of the two halves in turn


class ShuffleNetV2(nn.Module):
    """Stem, three stages, a pointwise convolution, average pooling, one linear layer; returns ``(n, num_classes)``.

    Args:
        channels: of the three stages (even numbers) and of the last convolution.
        num_classes: width of the logits.
        in_channels: channels of the images.
        stem: ``cifar`` (stride 1, no pooling) or ``imagenet`` (stride 2, max pooling); their weights look alike.
    """

    def __init__(
        self, channels: tuple[int, ...], *, num_classes: int = 10, in_channels: int = 3, stem: str = "cifar"
    ) -> None:
        super().__init__()
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem {stem!r} is neither cifar nor imagenet")
        large = stem == "imagenet"
        self.conv1 = nn.Sequential(*_convolution(in_channels, STEM_CHANNELS, 3, 2 if large else 1), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self._stages = [f"stage{i + 2}" for i in range(len(BLOCKS))]
        inputs = STEM_CHANNELS
        for name, count, outputs in zip(self._stages, BLOCKS, channels):
            blocks = [ShuffleBlock(outputs if i else inputs, outputs, 1 if i else 2) for i in range(count)]
            self.add_module(name, nn.Sequential(*blocks))
            inputs = outputs
        self.conv5 = nn.Sequential(*_convolution(inputs, channels[-1], 1), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.conv1(x))
        for stage in self._stages:
            x = getattr(self, stage)(x)
        logits: torch.Tensor = self.fc(self.avgpool(self.conv5(x)).flatten(1))
        return logits


def shufflenet(width: float = 1.0, **options: object) -> ShuffleNetV2:
    """A published width, or the stages of the single one times ``width``, each to the nearest even number."""
    *stages, last = PUBLISHED[1.0]
    other = (*(max(2, 2 * round(width * c / 2)) for c in stages), last)
    return ShuffleNetV2(PUBLISHED.get(width, other), **options)  # type: ignore[arg-type]


def _convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, *, depthwise: bool = False
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    groups = inputs if depthwise else 1
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs)
