"""Attention transfer: Zagoruyko and Komodakis, *Paying More Attention to Attention*, with the squares of their code."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from kernelscope.distill.losses.loss import Loss, divisor, require_alike, require_weight, wide
from kernelscope.errors import Mismatch


class AT(Loss):
    """``weight · mean_{b,i} (q_S − q_T)²``, q the map ``Σ_c F_c²`` of an example, as a vector of length 1.

    Their paper prints the norm of ``q_S − q_T`` without the square. Features are maps ``(r, c, h, w)``; the larger one
    is averaged down to the smaller where sizes differ. At 1 × 1 every q is 1 and there is nothing to compare, so that
    is refused.

    Examples:
        >>> import torch, kernelscope as ks
        >>> maps = torch.rand(4, 6, 8, 8)
        >>> float(ks.losses.AT()(maps[:, :, ::2, ::2], maps)) > 0  # the larger one is averaged down
        True

    Args:
        weight: 1000, as in the authors' code. The mean runs over positions too, so ‖q_S − q_T‖² of an example weighs
            1000 / (h w).
    """

    layer = "avgpool:in"
    relational = False
    sources: ClassVar[dict[str, str]] = {
        "layer": "Qian, Li, Hu: before the last pooling",
        "weight": "Zagoruyko and Komodakis' code",
    }

    def __init__(self, weight: float = 1000.0) -> None:
        super().__init__()
        self.weight = require_weight(weight)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        require_alike(student, teacher)
        if student.ndim != 4 or teacher.ndim != 4:
            raise Mismatch("attention transfer needs maps (r, c, h, w), and these are none; name another layer")
        size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
        if size == (1, 1):
            raise Mismatch("maps of 1 × 1, with no attention in them; name an earlier layer")
        q_S, q_T = (_attention(F.to(wide(student)), size) for F in (student, teacher.detach()))
        return self.weight * (q_S - q_T).square().mean()


def _attention(F: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(F.shape[2:]) != size:
        F = functional.adaptive_avg_pool2d(F, size)
    q = F.square().mean(1).flatten(1)
    return q / divisor(torch.linalg.vector_norm(q, dim=1, keepdim=True))
