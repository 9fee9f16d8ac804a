"""Recipe: everything that decides a training run, as one frozen value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from kernelscope.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """Architecture, method and optimisation of one network.

    The defaults are the ``quick`` preset: minutes on two cores. SGD with momentum 0.9 and weight decay 5e-4, a linear
    learning-rate warm-up and a cosine to 0, as in the paper; batch, epochs and rate are for small images.
    """

    arch: str = "resnet8"
    method: str = "ce"
    arch_kwargs: dict[str, Any] = field(default_factory=dict)
    epochs: int = 20
    lr: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    batch_size: int = 64
    lr_warm_up: int = 2
    pad: int = 1
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("lr_warm_up", 0), ("pad", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {least}; mend the recipe")
        if not self.lr > 0 or self.weight_decay < 0:
            raise UsageError(f"lr {self.lr} must be positive and weight decay {self.weight_decay} not negative")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    # the paper's settings (its supplement and the authors' code); start from a local copy of the data
    "paper-cifar100": {
        "epochs": 120,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "batch_size": 256,
        "lr_warm_up": 5,
        "pad": 4,
        "flip": True,
    },
}


def recipe(preset: str = "quick", **changes: Any) -> Recipe:
    """A preset with changes; ``None`` leaves the preset's value.

    Raises:
        UsageError: an unknown preset.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    return Recipe(**{**PRESETS[preset], **{key: value for key, value in changes.items() if value is not None}})
