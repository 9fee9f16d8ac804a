"""The full kernel without landmarks: every example of the epoch before is one, held as three d × d matrices."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from kernelscope.distill.losses.landmark_memory import copied, moved
from kernelscope.distill.losses.loss import EpochLoss, divisor, rows_of


class FullKernel(EpochLoss):
    """``weight · ‖x_S X_S0ᵀ − x_T X_T0ᵀ‖_F / ‖x_T X_T0ᵀ‖_F`` over the batch x, against all n examples X_0.

    X_0 are the features seen during the epoch before, as KDA's centres are. Only their Grams are needed, as
    ‖x_S X_S0ᵀ − x_T X_T0ᵀ‖² = ⟨x_S G_SS, x_S⟩ − 2 ⟨x_S G_ST, x_T⟩ + ⟨x_T G_TT, x_T⟩: O(r d²) a batch, d × d memory.

    Args:
        weight: 10; ours, there is no published one.
        warm_up: see :class:`EpochLoss`.
    """

    sources: ClassVar[dict[str, str]] = {"warm_up": "as KDA's H"}

    def __init__(self, weight: float = 10.0, warm_up: int | None = None) -> None:
        super().__init__(warm_up)
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = float(weight)
        self.active = False
        self.sums: dict[str, torch.Tensor] = {}
        self.grams: dict[str, torch.Tensor] = {}

    def begin_epoch(self, epoch: int | None = None, epochs: int | None = None) -> None:
        super().begin_epoch(epoch, epochs)
        self.active = bool(self.grams) and not self._warming_up(epochs)
        self.sums = {}

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        self._require_begun()
        x_S, x_T = rows_of(student, teacher)
        if self.training:
            self._collect(x_S.detach(), x_T)
        if not self.active:
            return x_S.new_zeros(())
        self.grams = moved(self.grams, x_S.device)
        own_T = ((x_T @ self.grams["TT"]) * x_T).sum()
        # the three terms cancel where the networks agree: what rounding leaves below 0 has no root
        squared = ((x_S @ self.grams["SS"]) * x_S).sum() - 2 * ((x_S @ self.grams["ST"]) * x_T).sum() + own_T
        relative = squared / divisor(own_T)
        return self.weight * relative.clamp_min(torch.finfo(relative.dtype).eps).sqrt()

    def _collect(self, x_S: torch.Tensor, x_T: torch.Tensor) -> None:
        self.sums = moved(self.sums, x_S.device)
        with torch.no_grad():
            for key, a, b in (("SS", x_S, x_S), ("ST", x_S, x_T), ("TT", x_T, x_T)):
                product = a.T @ b
                self.sums[key] = self.sums[key] + product if key in self.sums else product

    def _keep(self) -> None:
        if self.sums:
            self.grams = self.sums

    def get_extra_state(self) -> dict[str, Any]:
        own = {"active": self.active, "sums": copied(self.sums), "grams": copied(self.grams)}
        return super().get_extra_state() | own

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.active, self.sums, self.grams = state["active"], copied(state["sums"]), copied(state["grams"])
