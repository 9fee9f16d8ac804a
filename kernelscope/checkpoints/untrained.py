"""A network of the same shape that has learnt nothing: what its architecture alone gives."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from kernelscope.checkpoints.loaded import Loaded, weights_sha256


def untrained(loaded: Loaded, *, seed: int = 0) -> Loaded | None:
    """The network with every layer's own initialisation drawn anew; None if a parameter belongs to no such layer."""
    module = copy.deepcopy(loaded.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
            elif any(True for _ in part.parameters(recurse=False)):
                return None
    return replace(loaded, module=module, name=f"{loaded.name}, untrained", sha256=weights_sha256(module.state_dict()))
