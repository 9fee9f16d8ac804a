"""A small network that draws and counts in any mode, examples for it, and a probe that looks at such networks."""

import json
import random

import numpy as np
import torch
from torch import nn

import kernelscope as ks


def images(n=40, seed=0):
    """Images ``(n, 1, 8, 8)`` and three classes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


class Net(nn.Module):
    """Batch normalisation, dropout, and layers that draw and count in any mode."""

    def __init__(self, width=6, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width)
            self.drop, self.fc = nn.Dropout(0.5), nn.Linear(width, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("replaced", torch.zeros(2))

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + 1
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        return self.fc(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))


def small_probe(**options):
    return ks.Probe(**{"teacher": Net(8, seed=7), "data": images(), **options})


def strict(line):
    def refused(word):
        raise AssertionError(word)

    return json.loads(line, parse_constant=refused)
