"""The full kernel without landmarks: every example of a window of batches is one, held as three d × d matrices."""

from __future__ import annotations

from typing import Any

import torch

from kernelscope.distill.losses.loss import Loss, divisor, require_weight, rows_of
from kernelscope.distill.losses.running import RunningSums


class FullKernel(Loss):
    """``weight · ‖x_S X_Sᵀ − x_T X_Tᵀ‖_F / ‖x_T X_Tᵀ‖_F``: the batch x against all examples X of a window of batches.

    The newest batches weigh most, and the batch at hand is among them, without gradient; nothing is warmed up. Only the
    Grams of X are needed, as ‖x_S X_Sᵀ − x_T X_Tᵀ‖² = ⟨x_S G_SS, x_S⟩ − 2 ⟨x_S G_ST, x_T⟩ + ⟨x_T G_TT, x_T⟩: O(r d²) a
    batch, d × d memory.

    Examples:
        >>> import torch, kernelscope as ks
        >>> X = torch.randn(8, 5)
        >>> loss = ks.losses.FullKernel(window=8)
        >>> bool(loss(2 * X, X) > loss(X, X))
        True

    Args:
        weight: 10; ours, there is no published one.
        window: in batches; Grams are multiplied by 1 − 1/window before each batch is added.
    """

    relational = False

    def __init__(self, weight: float = 10.0, window: float = 8.0) -> None:
        super().__init__()
        self.weight, self.window = require_weight(weight), window
        self.grams = RunningSums(window)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        x_S, x_T = rows_of(student, teacher)
        G = self._grams(x_S.detach(), x_T)
        own_T = ((x_T @ G["TT"]) * x_T).sum()
        # the three terms cancel where the networks agree: what rounding leaves below 0 has no root
        squared = ((x_S @ G["SS"]) * x_S).sum() - 2 * ((x_S @ G["ST"]) * x_T).sum() + own_T
        relative = squared / divisor(own_T)
        return self.weight * relative.clamp_min(torch.finfo(relative.dtype).eps).sqrt()

    def _grams(self, x_S: torch.Tensor, x_T: torch.Tensor) -> dict[str, torch.Tensor]:
        """Those of the window, with this batch in them; in ``eval()`` mode without."""
        if not self.training:
            return self.grams.seen(x_S.device)
        return self.grams.add({"SS": x_S.T @ x_S, "ST": x_S.T @ x_T, "TT": x_T.T @ x_T}, gathered=self.gathered)

    def get_extra_state(self) -> dict[str, Any]:
        return self.grams.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.grams.load_state_dict(state)
