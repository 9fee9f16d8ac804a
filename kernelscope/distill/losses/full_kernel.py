"""The full kernel without landmarks: every example of the epoch before is one, held as three d × d matrices."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from kernelscope.distill.losses.landmark_memory import copied, moved
from kernelscope.distill.losses.step import Step, divisor


class FullKernel:
    """``weight · ‖x_S X_S0ᵀ − x_T X_T0ᵀ‖_F / ‖x_T X_T0ᵀ‖_F`` over the batch x, against all n examples X_0.

    X_0 are the features seen during the epoch before, as KDA's centres are. Only their Grams are needed, as
    ‖x_S X_S0ᵀ − x_T X_T0ᵀ‖² = ⟨x_S G_SS, x_S⟩ − 2 ⟨x_S G_ST, x_T⟩ + ⟨x_T G_TT, x_T⟩: O(r d²) a batch, d × d memory.

    Args:
        layer: ``embedding``, or any layer both networks have.
        weight: 10; ours, there is no published one.
        warm_up: epochs without the term; None for 5 where there are at least 20 epochs, else a quarter, at least 1.
    """

    relational = False
    sources: ClassVar[dict[str, str]] = {"warm_up": "as KDA's H"}

    def __init__(self, layer: str = "embedding", weight: float = 10.0, warm_up: int | None = None) -> None:
        if weight < 0 or (warm_up is not None and warm_up < 1):
            raise ValueError("weight must not be negative and warm_up must be at least 1")
        self.layer, self.weight, self.warm_up, self.layers = layer, float(weight), warm_up, (layer,)
        self.active = False
        self.sums: dict[str, torch.Tensor] = {}
        self.grams: dict[str, torch.Tensor] = {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        warm_up = self.warm_up if self.warm_up is not None else (5 if epochs >= 20 else max(1, epochs // 4))
        self.active = epoch >= warm_up and bool(self.grams)
        self.sums = {}

    def __call__(self, step: Step) -> torch.Tensor:
        x_S, x_T = step.rows(self.layer)
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

    def end_epoch(self) -> None:
        if self.sums:
            self.grams = self.sums

    def state_dict(self) -> dict[str, Any]:
        return {"active": self.active, "sums": copied(self.sums), "grams": copied(self.grams)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.active, self.sums, self.grams = state["active"], copied(state["sums"]), copied(state["grams"])
