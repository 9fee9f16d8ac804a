"""A network without convolutions, for vectors and very small images."""

from __future__ import annotations

import torch
from torch import nn


class Mlp(nn.Module):
    """Flatten, two hidden layers with ReLU, one linear layer; returns logits ``(n, num_classes)``.

    Args:
        hidden: width of both hidden layers.
        in_features: values per example; by default those of an 8 × 8 image of ``in_channels``.
        num_classes: width of the logits.
        in_channels: channels of the images.
    """

    def __init__(
        self, *, hidden: int = 128, in_features: int | None = None, num_classes: int = 10, in_channels: int = 1
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features if in_features is not None else in_channels * 64, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.fc1(x.flatten(1)))
        x = self.relu(self.fc2(x))
        logits: torch.Tensor = self.fc(x)
        return logits


def mlp(width: float = 1.0, *, hidden: int = 128, **options: int) -> Mlp:
    """The network with ``hidden`` times ``width`` units."""
    return Mlp(hidden=max(1, round(hidden * width)), **options)
