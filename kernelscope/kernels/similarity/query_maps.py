"""Maps that take a student's queries into the teacher's space: rotation, linear, low rank; fitted on some rows.

With means taken off, ``G_SS = X_SᵀX_S`` and ``G_ST = X_SᵀX_T``: the rotation is Procrustes' with its best scale, the
linear map ridge regression, the map of low rank its reduced-rank form. Ridge and rank are chosen on half of the rows,
which the other half was fitted without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.accumulate import CPU, BlockSum
from kernelscope.kernels.rows import BLOCK_ROWS, Rows, take_rows

RIDGES = 10.0 ** np.arange(-8, 1)  #: of the mean eigenvalue of G_SS
NEARLY = 1.02  #: what a map of low rank may leave, over what the full one leaves on rows held out


@dataclass(frozen=True, eq=False)
class QueryMap:
    """``x ↦ (x − before) A B + after``; without ``B`` one matrix.

    Attributes:
        kind: ``as they are``, ``rotation``, ``linear`` or ``low rank``.
        A: shape ``(d_S, d_T)``, or ``(d_S, r)`` with ``B`` of shape ``(r, d_T)``.
        before, after: shapes ``(d_S,)`` and ``(d_T,)``.
    """

    kind: str
    A: np.ndarray
    before: np.ndarray
    after: np.ndarray
    B: np.ndarray | None = None

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Queries ``(q, d_S)`` in the teacher's space, ``(q, d_T)``, in double precision.

        Raises:
            Mismatch: queries of another width.
        """
        rows = np.atleast_2d(np.asarray(X, np.float64))
        if rows.shape[1] != len(self.A):
            raise Mismatch(
                f"the map takes {len(self.A)} features and the queries have {rows.shape[1]}; give the student's"
            )
        found = (rows - self.before) @ self.A
        mapped: np.ndarray = (found if self.B is None else found @ self.B) + self.after
        return mapped if np.ndim(X) > 1 else mapped[0]

    @property
    def rank(self) -> int:
        return int(min(self.A.shape))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Of rows that a map is fitted on, or judged on: their number, means, and Grams about these."""

    n: int
    mean_S: np.ndarray
    mean_T: np.ndarray
    G_SS: np.ndarray
    G_ST: np.ndarray
    G_TT: np.ndarray

    @classmethod
    def of(cls, student: Rows, teacher: Rows, rows: np.ndarray) -> _Sums:
        """Rows of both at ``rows``, ascending; the first is taken off before products are formed, so none cancels."""
        d_S, d_T = student.shape[1], teacher.shape[1]
        products = BlockSum(lambda: np.zeros((d_S + d_T, d_S + d_T)))
        total, first = np.zeros(d_S + d_T), None
        for start in range(0, len(rows), BLOCK_ROWS):
            part = rows[start : start + BLOCK_ROWS]
            Z = np.hstack([take_rows(student, part), take_rows(teacher, part)])
            first = Z.mean(axis=0) if first is None else first
            Z -= first
            total += Z.sum(axis=0)
            products.add(CPU.product(Z, Z))
        n, offset = len(rows), np.zeros(d_S + d_T) if first is None else first
        mean = total / n
        G = products.total() - n * np.outer(mean, mean)
        whole = mean + offset
        return cls(n, whole[:d_S], whole[d_S:], G[:d_S, :d_S], G[:d_S, d_S:], G[d_S:, d_S:])

    def merged(self, other: _Sums) -> _Sums:
        n = self.n + other.n
        mean_S, mean_T = ((self.n * a + other.n * b) / n for a, b in self._means(other))
        gap_S, gap_T = (b - a for a, b in self._means(other))
        weight = self.n * other.n / n
        grams = (
            a + b + weight * np.outer(x, y)
            for a, b, x, y in (
                (self.G_SS, other.G_SS, gap_S, gap_S),
                (self.G_ST, other.G_ST, gap_S, gap_T),
                (self.G_TT, other.G_TT, gap_T, gap_T),
            )
        )
        return _Sums(n, mean_S, mean_T, *grams)

    def _means(self, other: _Sums) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.mean_S, other.mean_S), (self.mean_T, other.mean_T)]

    def left_by(self, W: np.ndarray) -> float:
        """‖X_T − X_S W‖_F², means apart."""
        return float(np.trace(self.G_TT) - 2 * np.vdot(W, self.G_ST) + np.vdot(W, self.G_SS @ W))


def fitted(student: Rows, teacher: Rows, rows: np.ndarray, rank: int | None = None) -> list[QueryMap]:
    """Every map, fitted on the rows at ``rows``, ascending: features ``(n, d_S)`` and ``(n, d_T)``.

    Args:
        rank: of the map of low rank; by default the least that leaves hardly more than the linear map on rows held out.

    Raises:
        Mismatch: fewer than two rows, or a rank that there is not.
    """
    d_S, d_T = student.shape[1], teacher.shape[1]
    if rank is not None and not 1 <= rank <= min(d_S, d_T):
        raise Mismatch(f"rank {rank} of a map of {d_S} to {d_T} features; give 1 to {min(d_S, d_T)}")
    if len(rows) < 2:
        raise Mismatch(f"{len(rows)} rows to fit a map on; give more")
    halves = [_Sums.of(student, teacher, rows[start::2]) for start in (0, 1)]
    whole = halves[0].merged(halves[1])
    eigen = [np.linalg.eigh(each.G_SS) for each in (halves[0], whole)]
    ridge = min(RIDGES, key=lambda one: halves[1].left_by(_regression(halves[0], eigen[0], one)))
    trial, full = _regression(halves[0], eigen[0], ridge), _regression(whole, eigen[1], ridge)
    if rank is None:
        rank = _least_rank(halves, trial)
    means = {"before": whole.mean_S, "after": whole.mean_T}
    axes = _axes(whole, full)[:, :rank]
    found = [
        QueryMap("rotation", _rotation(whole), **means),
        QueryMap("linear", full, **means),
        QueryMap("low rank", full @ axes, B=axes.T, **means),
    ]
    if d_S == d_T:
        found.insert(0, QueryMap("as they are", np.eye(d_S), np.zeros(d_S), np.zeros(d_T)))
    return found


def _regression(sums: _Sums, eigen: tuple[np.ndarray, np.ndarray], ridge: float) -> np.ndarray:
    """``(G_SS + λ)⁻¹ G_ST``, λ the ridge times the mean eigenvalue; what G_SS lacks altogether is left out."""
    values, vectors = eigen
    values = np.maximum(values, 0.0)
    below = len(values) * np.finfo(float).eps * values.max(initial=0.0)
    shifted = values + ridge * values.mean()
    inverse = np.divide(1.0, shifted, out=np.zeros_like(values), where=values > below)
    W: np.ndarray = (vectors * inverse) @ (vectors.T @ sums.G_ST)
    return W


def _axes(sums: _Sums, W: np.ndarray) -> np.ndarray:
    """Directions of the teacher's space by how much of the mapped rows lies along them, the most first."""
    vectors: np.ndarray = np.linalg.eigh(W.T @ sums.G_SS @ W)[1][:, ::-1]
    return vectors


def _least_rank(halves: list[_Sums], W: np.ndarray) -> int:
    """The least rank that leaves hardly more of the second half than the map fitted on the first one does."""
    axes, second = _axes(halves[0], W), halves[1]
    mapped = W @ axes
    gained = 2 * np.einsum("ij,ij->j", mapped, second.G_ST @ axes) - np.einsum("ij,ij->j", mapped, second.G_SS @ mapped)
    left = np.trace(second.G_TT) - np.cumsum(gained)
    most = min(W.shape)
    enough = np.flatnonzero(left[:most] <= NEARLY * max(left[most - 1], 0.0))
    return int(enough[0]) + 1 if len(enough) else most


def _rotation(sums: _Sums) -> np.ndarray:
    U, sigma, Vt = np.linalg.svd(sums.G_ST, full_matrices=False)
    trace = float(np.trace(sums.G_SS))
    Q: np.ndarray = (float(sigma.sum()) / trace if trace > 0 else 0.0) * (U @ Vt)
    return Q
