"""KDA, kernel transfer with class centres as landmarks: Qian, Li and Hu, Algorithm 1 and equations 3 and 4."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional

from kernelscope.distill.losses.step import Step, divisor

NORMALIZATIONS = ("batch", "entries", "none")


class KDA:
    """``weight · Σ h(x_S D_Sᵀ − x_T D_Tᵀ) / normaliser``, h the smooth L1 loss (|z| − ½ from |z| = 1 on).

    D are the class means of the features seen during the epoch before, each network's own, without gradient
    (eq. 3); the first ``warm_up`` epochs only collect them (Algorithm 1). Classes are counted anew every epoch, and
    one that did not occur is left out of the sum.

    Args:
        layer: ``embedding`` (the features before the last linear layer), ``logits``, or any layer both networks have.
        weight: 0.04 in the authors' code, for batches of 256, 100 classes and their feature scale.
        normalization: ``batch`` divides by ‖x_T D_Tᵀ‖_F of the batch, as the authors' code does: the term then grows
            as the square root of the batch size, so a short last batch weighs less. ``entries`` divides by
            √(r L) ‖x_T D_Tᵀ‖_F instead, r the batch size and L the classes: a mean over entries in units of their
            root mean square, which depends on neither. ``none`` is equation 4 as printed.
        warm_up: epochs without the term; None for 5 where there are at least 20 epochs, else a quarter, at least 1.
    """

    relational = False
    sources: ClassVar[dict[str, str]] = {
        "layer": "Qian, Li, Hu: before the last FC layer",
        "weight": "the authors' code, for batches of 256",
        "normalization": "the authors' code",
        "warm_up": "Qian, Li, Hu: H = 5",
    }

    def __init__(
        self,
        layer: str = "embedding",
        weight: float = 0.04,
        normalization: str = "batch",
        warm_up: int | None = None,
    ) -> None:
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}")
        if weight < 0 or (warm_up is not None and warm_up < 1):
            raise ValueError("weight must not be negative and warm_up must be at least 1")
        self.layer, self.weight, self.normalization, self.warm_up = layer, float(weight), normalization, warm_up
        self.layers = (layer,)
        self.active = False
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: torch.Tensor | None = None
        self.centres: dict[str, torch.Tensor] = {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        warm_up = self.warm_up if self.warm_up is not None else (5 if epochs >= 20 else max(1, epochs // 4))
        self.active = epoch >= warm_up and bool(self.centres)
        self.sums, self.counts = {}, None

    def __call__(self, step: Step) -> torch.Tensor:
        student, teacher = step.rows(self.layer)
        self._collect(step, student, teacher)
        if not self.active:
            return student.new_zeros(())
        similar_S = student @ self.centres["student"].T
        similar_T = teacher @ self.centres["teacher"].T
        total = functional.smooth_l1_loss(similar_S, similar_T, reduction="sum")
        return self.weight * total / self._normalizer(similar_T)

    def _normalizer(self, similar_T: torch.Tensor) -> torch.Tensor | float:
        if self.normalization == "none":
            return 1.0
        norm = divisor(torch.linalg.vector_norm(similar_T))
        return norm if self.normalization == "batch" else norm * similar_T.numel() ** 0.5

    def _collect(self, step: Step, student: torch.Tensor, teacher: torch.Tensor) -> None:
        """Add this batch to the class sums that become the next epoch's landmarks."""
        with torch.no_grad():
            if self.counts is None:
                self.counts = student.new_zeros(step.classes)
                self.sums = {
                    side: x.new_zeros((step.classes, x.shape[1]))
                    for side, x in (("student", student), ("teacher", teacher))
                }
            self.counts += torch.bincount(step.labels, minlength=step.classes)
            for side, x in (("student", student), ("teacher", teacher)):
                self.sums[side].index_add_(0, step.labels, x.detach())

    def end_epoch(self) -> None:
        if self.counts is None:
            return
        present = self.counts > 0
        self.centres = {side: total[present] / self.counts[present, None] for side, total in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"centres": self.centres}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.centres = state["centres"]
