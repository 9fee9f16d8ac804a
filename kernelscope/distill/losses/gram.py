"""The batch's own kernels compared: no landmarks, and no memory of other batches."""

from __future__ import annotations

import torch

from kernelscope.distill.losses.loss import Loss, divisor, require_weight, rows_of


class Gram(Loss):
    """``weight · ‖X_S X_Sᵀ − X_T X_Tᵀ‖_F / ‖X_T X_Tᵀ‖_F`` over the batch: the transfer loss, of these r examples alone.

    What Qian, Li and Hu's equation 1 is on a mini-batch, "the sub-matrix" they set their landmarks against.

    Examples:
        >>> import torch, kernelscope as ks
        >>> round(float(ks.losses.Gram(weight=1)(2 * torch.eye(4), torch.eye(4))), 4)  # K_S = 4 K_T
        3.0

    Args:
        weight: 10; ours, there is no published one.
    """

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__()
        self.weight = require_weight(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        K_S, K_T = (X @ X.T for X in rows_of(student, teacher))
        loss: torch.Tensor = torch.linalg.matrix_norm(K_S - K_T) / divisor(torch.linalg.matrix_norm(K_T))
        return self.weight * loss
