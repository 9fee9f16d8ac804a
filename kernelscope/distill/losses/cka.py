"""Linear CKA as a loss: Kornblith, Norouzi, Lee and Hinton's measure over each batch."""

from __future__ import annotations

import torch

from kernelscope.distill.losses.loss import Loss, divisor, require_weight, rows_of


class CKA(Loss):
    """``weight · (1 − ⟨K_S, K_T⟩ / (‖K_S‖_F ‖K_T‖_F))``, K the batch's kernels of features less their mean.

    CKA is the biased one. Blind to the student's scale.

    Examples:
        >>> import torch, kernelscope as ks
        >>> X = torch.randn(8, 5)
        >>> bool(abs(ks.losses.CKA()(3 * X, X)) < 1e-4)
        True

    Args:
        weight: 1; ours.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = require_weight(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        K_S, K_T = (X @ X.T for X in (X - X.mean(0) for X in rows_of(student, teacher)))
        norms = torch.linalg.matrix_norm(K_S) * torch.linalg.matrix_norm(K_T)
        return self.weight * (1 - (K_S * K_T).sum() / divisor(norms))
