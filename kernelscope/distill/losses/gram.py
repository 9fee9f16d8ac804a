"""The batch's own kernels compared: no landmarks, and no memory of other batches."""

from __future__ import annotations

import torch

from kernelscope.distill.losses.step import Memoryless, Step, divisor


class Gram(Memoryless):
    """``weight · ‖X_S X_Sᵀ − X_T X_Tᵀ‖_F / ‖X_T X_Tᵀ‖_F`` over the batch: the transfer loss, of these r examples alone.

    What Qian, Li and Hu's equation 1 is on a mini-batch, "the sub-matrix" they set their landmarks against.

    Args:
        layer: ``embedding``, or any layer both networks have.
        weight: 10; ours, there is no published one.
    """

    def __init__(self, layer: str = "embedding", weight: float = 10.0) -> None:
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.layer, self.weight, self.layers = layer, float(weight), (layer,)

    def __call__(self, step: Step) -> torch.Tensor:
        K_S, K_T = (X @ X.T for X in step.rows(self.layer))
        loss: torch.Tensor = torch.linalg.matrix_norm(K_S - K_T) / divisor(torch.linalg.matrix_norm(K_T))
        return self.weight * loss
