"""Landmarks with ``W^{+1/2}`` in them: the paper's Corollary 1 and Figure 6, as a change of landmarks.

``(X D) W^{+1/2}`` is the partial matrix of the landmarks ``W^{+1/2} D``, so KDA needs no other formula. Nothing is
inverted: with ``D = U Σ Vᵀ`` cut at its numerical rank, ``W^{+1/2} = U Σ⁻¹ Uᵀ`` and ``W^{+1/2} D = U Vᵀ``, the polar
factor of D (docs/theory.md 4.2), whose own W is a projector.
"""

from __future__ import annotations

import torch

WAYS = ("teacher", "own")


def whitened(D: dict[str, torch.Tensor], way: str | None) -> dict[str, torch.Tensor]:
    """Landmarks ``student (m, d_S)`` and ``teacher (m, d_T)`` times ``W_T^{+1/2}``, or each times its own.

    In float64 on the CPU, then back: beside a batch this costs little, and half of W's digits would not do.

    Args:
        way: ``teacher``, which the paper found to work better, or ``own``; None leaves them as they are.
    """
    if way is None:
        return D
    if not all(bool(torch.isfinite(d).all()) for d in D.values()):
        return D  # has no singular values; the loss will not be finite, which stops the run with its term and batch
    U, sigma, V = _singular(D["teacher"])
    found = {"teacher": U @ V.T}
    if way == "own":
        U, _, V = _singular(D["student"])
        found["student"] = U @ V.T
    else:
        found["student"] = U @ ((U.T @ D["student"].cpu().double()) / sigma[:, None])
    return {side: found[side].to(D[side]) for side in D}


def _singular(D: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``U (m, k)``, ``sigma (k,)``, ``V (d, k)``; singular values that rounding the stored D could make are cut."""
    U, sigma, Vt = torch.linalg.svd(D.cpu().double(), full_matrices=False)
    kept = sigma > max(D.shape) * torch.finfo(D.dtype).eps * sigma[:1]
    return U[:, kept], sigma[kept], Vt[kept].T
