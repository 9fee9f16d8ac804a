"""Running sums of products of rows, a block at a time: in float64, in float32 inside a block, on another device."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dgemm, dgemv, dsyrk, sgemv, ssyrk


class OwnSum:
    """Running ``Σ BᵀB`` and column sums of one network by SciPy's BLAS, in place; only a triangle is formed.

    One BLAS throughout: NumPy brings another, whose idle threads would fight this one's for the cores.
    """

    def __init__(self, d: int, means: bool = True) -> None:
        self.triangle, self.sums, self.means = np.zeros((d, d), order="F"), np.zeros(d), means

    def add(self, rows: np.ndarray) -> None:
        """Add rows, given as the transpose ``(d, b)`` of a contiguous float64 block, which is then not copied."""
        if rows.shape[1] == 0:
            return
        self.triangle = dsyrk(1.0, rows, 1.0, self.triangle, overwrite_c=1)
        if self.means:
            self.sums += dgemv(1.0, rows, np.ones(rows.shape[1]))

    def gram(self) -> np.ndarray:
        return _mirrored(self.triangle)


class CrossSum:
    """Running ``Σ B_SᵀB_T`` of two networks."""

    def __init__(self, d_S: int, d_T: int) -> None:
        self.total = np.zeros((d_S, d_T), order="F")

    def add(self, student: np.ndarray, teacher: np.ndarray) -> None:
        if student.shape[1]:
            self.total = dgemm(1.0, student, teacher, 1.0, self.total, trans_b=1, overwrite_c=1)


class DoubleSum:
    """Both networks' own Grams, and the cross product."""

    def __init__(self, d_S: int, d_T: int, means: bool) -> None:
        self.own, self.cross = (OwnSum(d_S, means), OwnSum(d_T, means)), CrossSum(d_S, d_T)

    @property
    def sums(self) -> np.ndarray:
        return np.concatenate([own.sums for own in self.own])

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        S, T = (np.ascontiguousarray(X, np.float64).T for X in (X_S, X_T))
        self.own[0].add(S)
        self.own[1].add(T)
        self.cross.add(S, T)

    def gram(self) -> np.ndarray:
        SS, TT = (own.gram() for own in self.own)
        return np.block([[SS, self.cross.total], [self.cross.total.T, TT]])


class SingleSum:
    """The same with products in float32 inside a block, which are then added in float64.

    The rows have to be narrowed anyway, so they are laid side by side for one larger product.
    """

    def __init__(self, d_S: int, d_T: int, means: bool) -> None:
        self.d_S, self.total = d_S, np.zeros((d_S + d_T, d_S + d_T), order="F")
        self.sums, self.means = np.zeros(d_S + d_T), means

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        if len(X_S) == 0:
            return
        rows = np.empty((len(X_S), len(self.total)), np.float32)
        rows[:, : self.d_S], rows[:, self.d_S :] = X_S, X_T
        self.total += ssyrk(1.0, rows.T)
        if self.means:
            self.sums += sgemv(1.0, rows.T, np.ones(len(rows), np.float32))

    def gram(self) -> np.ndarray:
        return _mirrored(self.total)


def _mirrored(triangle: np.ndarray) -> np.ndarray:
    """A symmetric matrix from its upper triangle; syrk leaves the lower one 0."""
    with np.errstate(invalid="ignore"):  # NaN features are told by name later
        return triangle + triangle.T - np.diag(np.diag(triangle))


class TorchSum:
    """The same on another device, in double precision unless single sums were asked for."""

    def __init__(self, d_S: int, d_T: int, single: bool, device: str) -> None:
        import torch

        self.device, self.dtype = device, torch.float32 if single else torch.float64
        self.total = torch.zeros((d_S + d_T, d_S + d_T), dtype=torch.float64, device=device)
        self.sums = np.zeros(d_S + d_T)

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        import torch

        from kernelscope.kernels.blocked import full_precision_matmul

        rows = torch.from_numpy(np.hstack([X_S, X_T])).to(self.device, self.dtype)
        with full_precision_matmul():
            self.total += (rows.T @ rows).double()
        self.sums += rows.sum(0, dtype=torch.float64).cpu().numpy()

    def gram(self) -> np.ndarray:
        return np.asarray(self.total.cpu().numpy())
