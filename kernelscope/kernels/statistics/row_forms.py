"""Row by row: what each example carries of both kernels, as they are and centred, from one pass over the rows.

With centred rows c = x − μ and their Grams H, ``(K_c²)_ii = cᵀ H c``; and as G = H + n μ μᵀ,

    xᵀ G x = cᵀ H c + 2 cᵀ H μ + μᵀ H μ + n (μᵀ x)²

and alike between the networks. So the products of rows and Grams, which are what costs, are formed once for kernels as
they are and for centred ones. They are formed of the centred rows: where the mean dominates, the centred numbers would
drown the other way round, while adding the mean's part back loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.rows import Rows, row_blocks
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from kernelscope.kernels.distance.exact import ScaledSums

DRAWN_ROWS = 2048  #: up to so many examples Σ k_ij³ is summed over all pairs, above over those of as many drawn ones
STRIP = 128  #: columns of a symmetric matrix taken together, of which only the part from the diagonal on is multiplied


@dataclass(frozen=True, eq=False)
class OwnForms:
    """Of one kernel K and its centred K_c, each of shape ``(n,)`` but the last two.

    ``diagonal`` K_ii, ``squares`` (K²)_ii = ‖K_i‖², ``centred_diagonal`` and ``centred_squares`` the same of K_c;
    ``linked`` = Σ_i (K_c)_ii c_i, shape ``(d,)``; ``drawn``: some of the centred rows, see :class:`Drawn`.
    """

    diagonal: np.ndarray
    squares: np.ndarray
    centred_diagonal: np.ndarray
    centred_squares: np.ndarray
    linked: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True, eq=False)
class RowForms:
    """Of both networks, and ``cross`` = ⟨K_S,i, K_T,i⟩, shape ``(n,)``; in units of the scaled features."""

    student: OwnForms
    teacher: OwnForms
    cross: np.ndarray


def row_forms(scaled: ScaledSums, centred: ScaledSums) -> RowForms:
    """One pass: n (½ d_S² + d_S d_T + ½ d_T²) multiply-adds.

    Args:
        centred: what :func:`kernelscope.kernels.distance.centring.centre` makes of ``scaled``.
    """
    running, share = RunningForms(scaled, centred), Share.of(scaled.sums.n)
    for (start, c_S), (_, c_T) in zip(
        row_blocks(centred.student, share=share), row_blocks(centred.teacher, share=share)
    ):
        running.add(start, c_S, c_T)
    return running.result(share)


class RunningForms:
    """The same, a block of centred rows at a time."""

    def __init__(self, scaled: ScaledSums, centred: ScaledSums) -> None:
        H = self._sums = centred.sums
        self._student = _Side(mean_taken_off(centred.student, scaled.student), H.G_SS, H.n)
        self._teacher = _Side(mean_taken_off(centred.teacher, scaled.teacher), H.G_TT, H.n)
        self._to_teacher, self._to_student = H.G_ST @ self._teacher.mean, self._student.mean @ H.G_ST
        self._constant = float(self._student.mean @ self._to_teacher)
        self._cross: list[np.ndarray] = []

    def add(self, start: int, c_S: np.ndarray, c_T: np.ndarray) -> np.ndarray:
        """Take in rows from row ``start``; returns ‖K_T,i‖² of each."""
        toward_S, toward_T = self._student.add(start, c_S), self._teacher.add(start, c_T)
        form = np.einsum("ij,ij->i", c_S @ self._sums.G_ST, c_T)
        means = self._sums.n * toward_S * toward_T
        self._cross.append(form + (c_S @ self._to_teacher) + (c_T @ self._to_student) + self._constant + means)
        return self._teacher.squares

    def result(self, share: Share) -> RowForms:
        """Of all rows, once every process has added its share."""
        cross = share.gathered(np.concatenate(self._cross))
        return RowForms(self._student.result(share), self._teacher.result(share), *cross)


class _Side:
    """One network's forms, a block at a time."""

    def __init__(self, mean: np.ndarray, H: np.ndarray, n: int) -> None:
        self.mean, self.n = mean, n
        self.strips = symmetric_strips(H)
        # a constant network's H is 0, and its mean all that its kernel is
        self.H_mean = H @ self.mean
        self.constant, self.square = float(self.mean @ self.H_mean), float(self.mean @ self.mean)
        self.linked, self.drawn = np.zeros(len(H)), Drawn(n, len(H))
        self.columns: list[list[np.ndarray]] = [[], [], [], []]

    def add(self, start: int, c: np.ndarray) -> np.ndarray:
        """Take in centred rows from row ``start``; returns μᵀ x of each."""
        self.drawn.add(start, c)
        k = np.einsum("ij,ij->i", c, c)
        q = quadratic_forms(c, self.strips)
        along = c @ self.mean
        toward = along + self.square
        self.linked += k @ c
        raw = q + 2 * (c @ self.H_mean) + self.constant + self.n * toward**2
        for column, values in zip(self.columns, (k + 2 * along + self.square, raw, k, q)):
            column.append(values)
        return np.asarray(toward)

    @property
    def squares(self) -> np.ndarray:
        """``‖K_i‖²`` of the rows taken in last."""
        return self.columns[1][-1]

    def result(self, share: Share) -> OwnForms:
        diagonal, squares, centred_diagonal, centred_squares = share.gathered(*map(np.concatenate, self.columns))
        (linked,) = share.summed(self.linked)
        return OwnForms(diagonal, squares, centred_diagonal, centred_squares, linked, self.drawn.of_all(share))


class Drawn:
    """Of n rows of width d those of a fixed random subsample, in their order; all up to :data:`DRAWN_ROWS`."""

    def __init__(self, n: int, d: int) -> None:
        few = min(n, DRAWN_ROWS)
        self._wanted = np.sort(np.random.default_rng(0).choice(n, few, replace=False)) if few < n else np.arange(n)
        self._rows = np.empty((few, d))

    def add(self, start: int, block: np.ndarray) -> None:
        low, high = np.searchsorted(self._wanted, (start, start + len(block)))
        self._rows[low:high] = block[self._wanted[low:high] - start]

    def of_all(self, share: Share) -> np.ndarray:
        """Once every process has added its share."""
        low, high = np.searchsorted(self._wanted, (share.start, share.stop))
        (rows,) = share.gathered(self._rows[low:high])
        return rows


def mean_taken_off(centred: Rows, X: Rows) -> np.ndarray:
    """The mean, shape ``(d,)``, that centred rows are less by than X: the shifts of all views in between."""
    mean = np.zeros(X.shape[1])
    while centred is not X:
        assert isinstance(centred, Affine)
        mean, centred = mean + centred.shift, centred.X
    return mean


def symmetric_strips(H: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """First column of each strip of a symmetric matrix, and its rows from there on, those beyond the strip doubled."""
    strips = []
    for first in range(0, len(H), STRIP):
        rows = H[first : first + STRIP, first:].copy()
        rows[:, STRIP:] *= 2
        strips.append((first, rows))
    return strips


def quadratic_forms(c: np.ndarray, strips: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """``c_iᵀ H c_i`` of each row, from :func:`symmetric_strips` of H: little more than half of what ``c H`` costs."""
    total = np.zeros(len(c))
    for first, rows in strips:
        total += np.einsum("ij,ij->i", c[:, first : first + STRIP] @ rows, c[:, first:])
    return total
