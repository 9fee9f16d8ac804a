"""Similarity-preserving distillation: Tung and Mori, *Similarity-Preserving Knowledge Distillation*."""

from __future__ import annotations

from typing import ClassVar

import torch

from kernelscope.distill.losses.step import Memoryless, Step, divisor, wide


class SP(Memoryless):
    """``weight · ‖N(Q_S Q_Sᵀ) − N(Q_T Q_Tᵀ)‖²_F / r²``, N with every row scaled to length 1.

    Q are the layer's outputs of r examples, flattened.

    Args:
        layer: by default what goes into the last pooling, as in the paper.
        weight: 3000, as in published code beside cross-entropy at 1.
    """

    sources: ClassVar[dict[str, str]] = {"layer": "Tung and Mori", "weight": "RepDistiller"}

    def __init__(self, layer: str = "avgpool:in", weight: float = 3000.0) -> None:
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.layer, self.weight, self.layers = layer, float(weight), (layer,)

    def __call__(self, step: Step) -> torch.Tensor:
        student = step.student[self.layer]
        N_S, N_T = (_similarity(X.to(wide(student))) for X in (student, step.teacher[self.layer]))
        return self.weight * (N_S - N_T).square().mean()


def _similarity(X: torch.Tensor) -> torch.Tensor:
    Q = X.flatten(1)
    G = Q @ Q.T
    return G / divisor(torch.linalg.vector_norm(G, dim=1, keepdim=True))
