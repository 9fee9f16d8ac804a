"""Knowledge distillation of the outputs: Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch.nn import functional

from kernelscope.distill.losses.step import Memoryless, Step

if TYPE_CHECKING:
    import torch


class KD(Memoryless):
    """``weight · T² · mean_b KL(softmax(z_T / T) ‖ softmax(z_S / T))``.

    Args:
        T: temperature. 4, as most published code has it.
        weight: relative to cross-entropy at weight 1. 9, the ratio 0.9 : 0.1 of most published code; the sum is then
            ten times theirs, so to take their steps divide their learning rate by ten and multiply their weight decay.
    """

    layers = ("logits",)

    relational = False
    sources: ClassVar[dict[str, str]] = {
        "T": "RepDistiller and most published code",
        "weight": "the ratio 0.9 : 0.1 of the same",
    }

    def __init__(self, T: float = 4.0, weight: float = 9.0) -> None:
        if T <= 0 or weight < 0:
            raise ValueError("T must be positive and weight not negative")
        self.T, self.weight = float(T), float(weight)

    def __call__(self, step: Step) -> torch.Tensor:
        student, teacher = (functional.log_softmax(z / self.T, dim=1) for z in step.rows("logits"))
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return self.weight * self.T**2 * divergence
