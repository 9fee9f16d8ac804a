"""Linear CKA as a loss: Kornblith, Norouzi, Lee and Hinton's measure over each batch."""

from __future__ import annotations

import torch

from kernelscope.distill.losses.step import Memoryless, Step, divisor


class CKA(Memoryless):
    """``weight · (1 − ⟨K_S, K_T⟩ / (‖K_S‖_F ‖K_T‖_F))``, K the batch's kernels of features less their mean.

    CKA is the biased one. Blind to the student's scale.

    Args:
        layer: ``embedding``, or any layer both networks have.
        weight: 1; ours.
    """

    def __init__(self, layer: str = "embedding", weight: float = 1.0) -> None:
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.layer, self.weight, self.layers = layer, float(weight), (layer,)

    def __call__(self, step: Step) -> torch.Tensor:
        K_S, K_T = (X @ X.T for X in (X - X.mean(0) for X in step.rows(self.layer)))
        norms = torch.linalg.matrix_norm(K_S) * torch.linalg.matrix_norm(K_T)
        return self.weight * (1 - (K_S * K_T).sum() / divisor(norms))
