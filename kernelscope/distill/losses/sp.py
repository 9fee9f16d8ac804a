"""Similarity-preserving distillation: Tung and Mori, *Similarity-Preserving Knowledge Distillation*."""

from __future__ import annotations

from typing import ClassVar

import torch

from kernelscope.distill.losses.loss import Loss, divisor, require_alike, require_weight, wide


class SP(Loss):
    """``weight · ‖N(Q_S Q_Sᵀ) − N(Q_T Q_Tᵀ)‖²_F / r²``, N with every row scaled to length 1.

    Q are the layer's outputs of r examples, flattened; in the paper what goes into the last pooling.

    Examples:
        >>> import torch, kernelscope as ks
        >>> X = torch.randn(8, 5)
        >>> bool(abs(ks.losses.SP()(3 * X, X)) < 1e-4)  # blind to scale
        True

    Args:
        weight: 3000, as in published code beside cross-entropy at 1.
    """

    layer = "avgpool:in"
    sources: ClassVar[dict[str, str]] = {"layer": "Tung and Mori", "weight": "RepDistiller"}

    def __init__(self, weight: float = 3000.0) -> None:
        super().__init__()
        self.weight = require_weight(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        require_alike(student, teacher)
        N_S, N_T = (_similarity(X.to(wide(student))) for X in (student, teacher.detach()))
        return self.weight * (N_S - N_T).square().mean()


def _similarity(X: torch.Tensor) -> torch.Tensor:
    Q = X.flatten(1)
    G = Q @ Q.T
    return G / divisor(torch.linalg.vector_norm(G, dim=1, keepdim=True))
