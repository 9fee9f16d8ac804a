"""The distance that is left after the best rotation: orthogonal Procrustes (Schönemann 1966) over each batch."""

from __future__ import annotations

import torch

from kernelscope.distill.losses.loss import Loss, divisor, require_weight, rows_of


class Procrustes(Loss):
    """``weight · (1 − ‖X_Sᵀ X_T‖_* / (‖X_S‖_F ‖X_T‖_F))``, features centred, ‖·‖_* the sum of singular values.

    Half the squared distance of the two configurations, each at size 1, after the best rotation; blind to scale.

    Examples:
        >>> import torch, kernelscope as ks
        >>> X = torch.randn(8, 5)
        >>> bool(abs(ks.losses.Procrustes()(X.flip(1), X)) < 1e-4)  # a rotation
        True

    Args:
        weight: 1; ours.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = require_weight(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        X_S, X_T = (X - X.mean(0) for X in rows_of(student, teacher))
        norms = divisor(torch.linalg.matrix_norm(X_S) * torch.linalg.matrix_norm(X_T))
        loss: torch.Tensor = self.weight * (1 - torch.linalg.matrix_norm(X_S.T @ X_T, "nuc") / norms)
        return loss
