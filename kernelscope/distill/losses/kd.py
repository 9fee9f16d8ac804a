"""Knowledge distillation of the outputs: Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch.nn import functional

from kernelscope.distill.losses.loss import Loss, rows_of
from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    import torch


class KD(Loss):
    """``weight · T² · mean_b KL(softmax(z_T / T) ‖ softmax(z_S / T))``, of logits ``z (r, classes)``.

    Examples:
        >>> import torch, kernelscope as ks
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> float(ks.losses.KD()(logits, logits))
        0.0

    Args:
        T: temperature. 4, as most published code has it.
        weight: relative to cross-entropy at weight 1. 9, the ratio 0.9 : 0.1 of most published code; the sum is then
            ten times theirs, so to take their steps divide their learning rate by ten and multiply their weight decay.
    """

    layer = "logits"
    movable = False
    relational = False
    sources: ClassVar[dict[str, str]] = {
        "T": "RepDistiller and most published code",
        "weight": "the ratio 0.9 : 0.1 of the same",
    }

    def __init__(self, T: float = 4.0, weight: float = 9.0) -> None:
        super().__init__()
        if T <= 0 or weight < 0:
            raise ValueError("T must be positive and weight not negative")
        self.T, self.weight = float(T), float(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        z_S, z_T = rows_of(student, teacher)
        if z_S.shape != z_T.shape:
            found = f"{z_S.shape[1]} logits of the student and {z_T.shape[1]} of the teacher"
            raise Mismatch(f"{found}; use a teacher of the same classes")
        log_S, log_T = (functional.log_softmax(z / self.T, dim=1) for z in (z_S, z_T))
        divergence = functional.kl_div(log_S, log_T, reduction="batchmean", log_target=True)
        return self.weight * self.T**2 * divergence
