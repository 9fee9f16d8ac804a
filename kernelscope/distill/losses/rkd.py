"""Distances and angles within the batch: Park, Kim, Lu and Cho, *Relational Knowledge Distillation*."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from kernelscope.distill.losses.loss import Loss, divisor, rows_of

TRIPLES = 2**24  #: formed at once: 64 MiB in float32 a tensor, all those of 256 examples


class RKD(Loss):
    """``distance · h(ψ_S − ψ_T) + angle · h(α_S − α_T)``, h the smooth L1 loss, a mean over all pairs and all triples.

    ψ_ij = ‖x_i − x_j‖ over its mean in the batch; α_ijk the cosine of the angle at x_i between x_j and x_k. Degenerate
    pairs and triples count as 0, as in the authors' code. Angles come from the batch's Gram matrix, as
    ⟨x_j − x_i, x_k − x_i⟩ = G_jk − G_ij − G_ik + G_ii with G about the mean: no r × r × d tensor is formed, and beyond
    256 examples no r × r × r one either. RKD is therefore a function of the kernel, as KDA is.

    Examples:
        >>> import torch, kernelscope as ks
        >>> X = torch.randn(8, 5)
        >>> bool(abs(ks.losses.RKD()(3 * X, X)) < 1e-4)  # blind to scale
        True

    Args:
        distance, angle: 25 and 50, the weights of published classification code beside cross-entropy at 1.
    """

    sources: ClassVar[dict[str, str]] = {
        "layer": "Qian, Li, Hu: before the last FC layer",
        "distance": "RepDistiller",
        "angle": "RepDistiller",
    }

    def __init__(self, distance: float = 25.0, angle: float = 50.0) -> None:
        super().__init__()
        if distance < 0 or angle < 0:
            raise ValueError("distance and angle must not be negative")
        self.distance, self.angle = float(distance), float(angle)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        G_S, G_T = (_gram(X) for X in rows_of(student, teacher))
        total = G_S.new_zeros(())
        if self.distance:
            total = total + self.distance * functional.smooth_l1_loss(_distances(G_S), _distances(G_T))
        if self.angle:
            total = total + self.angle * _angle_loss(G_S, G_T)
        return total


def _gram(X: torch.Tensor) -> torch.Tensor:
    centred = X - X.mean(0)
    return centred @ centred.T


def _squares(G: torch.Tensor) -> torch.Tensor:
    """``‖x_i − x_j‖²``; what rounding makes of the diagonal is taken off."""
    squares = G.diagonal()[:, None] + G.diagonal() - 2 * G
    return squares.masked_fill(torch.eye(len(G), dtype=torch.bool, device=G.device), 0).clamp_min(0)


def _lengths(G: torch.Tensor) -> torch.Tensor:
    """``‖x_i − x_j‖``, with gradient 0 where it is 0: a root has none there."""
    squares = _squares(G)
    # nearer than rounding can tell is equal
    apart = squares > 8 * torch.finfo(G.dtype).eps * G.diagonal().max()
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)


def _distances(G: torch.Tensor) -> torch.Tensor:
    lengths = _lengths(G)
    apart = (lengths > 0).sum().clamp_min(1)
    return lengths / divisor(lengths.sum() / apart)


def _angle_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over all triples, some vertices at a time; what a block needs is formed again on the way back."""
    r = len(student)
    vertices = torch.arange(r, device=student.device).split(max(1, TRIPLES // r**2))
    if len(vertices) == 1:
        return _angle_sum(student, teacher, vertices[0]) / r**3
    parts = [checkpoint(_angle_sum, student, teacher, some, use_reentrant=False) for some in vertices]
    return torch.stack(parts).sum() / r**3


def _angle_sum(student: torch.Tensor, teacher: torch.Tensor, vertices: torch.Tensor) -> torch.Tensor:
    alpha_S, alpha_T = (_angles(G, vertices) for G in (student, teacher))
    return functional.smooth_l1_loss(alpha_S, alpha_T, reduction="sum")


def _angles(G: torch.Tensor, vertices: torch.Tensor) -> torch.Tensor:
    """Cosines ``(i, j, k)`` at some vertices i."""
    to = G[vertices]
    products = G[None] - to[:, :, None] - to[:, None, :] + G.diagonal()[vertices][:, None, None]
    lengths = _lengths(G)[vertices]
    inverse = torch.where(lengths > 0, 1 / torch.where(lengths > 0, lengths, 1), 0)
    return products * inverse[:, :, None] * inverse[:, None, :]
