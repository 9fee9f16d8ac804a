"""Lazy row transforms: rows formed from other rows, one block at a time, so that nothing is copied.

One rule for types: what is formed is float64, what is only picked out keeps its type, and the storage roundoff is that
of the rows inside, which are what was stored.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from kernelscope.kernels.rounding import UNIT_ROUNDOFF
from kernelscope.kernels.rows import (
    Rows,
    columns,
    entry_error,
    is_proved,
    kernel_error,
    numpy_block,
    row_blocks,
    storage_roundoff,
)
from kernelscope.kernels.shares import Share

SAFE_LENGTHS = (1e-140, 1e150)  #: in whose squares neither over- nor underflow can have hidden
GATHERED_ROWS = 8192  #: read at a time while rows are gathered in another order


class RowView(ABC):
    """Rows ``(n, d)`` made of the rows ``X``.

    Attributes:
        form: what is done to the rows inside, for :func:`kernelscope.kernels.rows.identical`: None where rows that
            come out equal are equal.
        estimated: whether :meth:`entry_error` is an estimate instead of a bound.
    """

    form: np.ndarray | None = None

    def __init__(self, X: Rows, width: int | None = None) -> None:
        self.X = X
        self.shape: tuple[int, ...] = (X.shape[0], X.shape[1] if width is None else width)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    @property
    def storage_roundoff(self) -> float:
        return storage_roundoff(self.X)

    @property
    def estimated(self) -> bool:
        return not is_proved(self.X)

    @property
    def columns(self) -> int:
        """See :func:`kernelscope.kernels.rows.columns`."""
        return columns(self.X) if self.shape == tuple(self.X.shape) else self.shape[1]

    @property
    def kernel_error(self) -> float:
        """See :func:`kernelscope.kernels.rows.kernel_error`; taking means off makes none larger."""
        return kernel_error(self.X)

    def entry_error(self, norm: float) -> float:
        """See :func:`kernelscope.kernels.rows.entry_error`; 0 where nothing is rounded, or nobody asks."""
        return 0.0

    def row_inside(self, row: int) -> int:
        """The row inside that a row is made of."""
        return row

    @abstractmethod
    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


class _Formed(RowView):
    """Entries that are computed from the rows inside, one block at a time."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return self.formed(numpy_block(self.X, start, stop).astype(np.float64), start, stop)

    @abstractmethod
    def formed(self, block: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Rows ``start:stop`` from those of X in float64, a copy that may be written to."""


class Affine(_Formed):
    """Rows ``(X − shift) · scale``.

    ``shift_error``: Euclidean norm of what the shift may be off by the vector that is meant.
    """

    def __init__(
        self, X: Rows, *, shift: np.ndarray | float = 0.0, scale: float = 1.0, shift_error: float = 0.0
    ) -> None:
        super().__init__(X)
        self.shift, self.scale, self.shift_error = shift, scale, shift_error

    def formed(self, block: np.ndarray, start: int, stop: int) -> np.ndarray:
        block -= self.shift
        block *= self.scale
        return block

    @property
    def kernel_error(self) -> float:
        return self.scale * (self.scale * kernel_error(self.X))

    @property
    def form(self) -> np.ndarray:  # type: ignore[override]
        return np.append(np.broadcast_to(self.shift, (self.shape[1],)), self.scale)

    def entry_error(self, norm: float) -> float:
        """A rounding is relative to its own result, those of the rows inside to theirs."""
        shifted = float(np.linalg.norm(self.shift)) * math.sqrt(self.shape[0])
        roundings = int(shifted > 0) + int(abs(math.frexp(self.scale)[0]) != 0.5)
        inside = entry_error(self.X, norm / abs(self.scale) + shifted) + self.shift_error * math.sqrt(self.shape[0])
        return 1.01 * (roundings * UNIT_ROUNDOFF * norm + abs(self.scale) * inside)


class Normalised(_Formed):
    """Rows of unit length; rows that are all zero stay zero. One pass over the rows to count those."""

    form = np.zeros(0)

    def __init__(self, X: Rows) -> None:
        super().__init__(X)
        share = Share.of(X.shape[0])
        zero_rows, shortest, length = 0, math.inf, 0.0
        for _, block in row_blocks(X, share=share):
            lengths = row_lengths(block)
            zero_rows += int(np.count_nonzero(~block.any(axis=1)))
            shortest = float(np.min(lengths, initial=shortest, where=lengths > 0))
            length = math.hypot(length, *lengths.tolist())
        zeros, ends, lengths = share.gathered(np.array([zero_rows]), np.array([shortest]), np.array([length]))
        self.zero_rows, self._shortest, self._length = int(zeros.sum()), float(ends.min()), math.hypot(*lengths)

    def formed(self, block: np.ndarray, start: int, stop: int) -> np.ndarray:
        largest = np.abs(block).max(axis=1, keepdims=True, initial=0.0)
        block /= np.where(largest > 0, largest, 1.0)  # so that no square over- or underflows
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        np.divide(block, lengths, out=block, where=lengths > 0)
        return block

    def entry_error(self, norm: float) -> float:
        """A row's own error is relative to its length before."""
        inside = entry_error(self.X, self._length)
        own = (self.shape[1] / 2 + 6) * UNIT_ROUNDOFF * norm
        return 1.01 * (own + (2 * inside / self._shortest if inside else 0.0))


def row_lengths(block: np.ndarray) -> np.ndarray:
    """Euclidean lengths of rows, whatever over- or underflows in their squares."""
    with np.errstate(over="ignore", invalid="ignore"):  # formed again below; what is not finite stays so
        lengths: np.ndarray = np.linalg.norm(block, axis=1)
    wrong = ~((lengths > SAFE_LENGTHS[0]) & (lengths < SAFE_LENGTHS[1]))
    if wrong.any():
        largest = np.abs(block[wrong]).max(axis=1, initial=0.0)
        by = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        lengths[wrong] = by * np.linalg.norm(block[wrong] / by[:, None], axis=1)
    return lengths


class Mapped(_Formed):
    """Rows ``X A + b``.

    Args:
        A: shape ``(d, k)``.
        b: shape ``(k,)``.
        error: where it is known, an estimate of ``‖·‖_F`` of what these rows are off.
        roundoff: storage roundoff of these rows, where A makes more of it than X has.
    """

    def __init__(
        self,
        X: Rows,
        A: np.ndarray,
        b: np.ndarray | float = 0.0,
        *,
        error: float | None = None,
        roundoff: float | None = None,
    ) -> None:
        super().__init__(X, A.shape[1])
        self.A, self.b, self._error, self._roundoff = A, b, error, roundoff
        if error is not None:
            inside = getattr(X, "form", None)
            self.form = np.concatenate([A.ravel(), np.zeros(0) if inside is None else inside])

    def formed(self, block: np.ndarray, start: int, stop: int) -> np.ndarray:
        product: np.ndarray = block @ self.A
        product += self.b
        return product

    @property
    def storage_roundoff(self) -> float:
        return storage_roundoff(self.X) if self._roundoff is None else self._roundoff

    @property
    def estimated(self) -> bool:
        return self._error is not None or not is_proved(self.X)

    def entry_error(self, norm: float) -> float:
        return self._error or 0.0


class LessGroupMeans(_Formed):
    """Rows ``X − Y D``: each row less its group's vector.

    Args:
        D: shape ``(m, d)``, one vector per group.
        groups: shape ``(n,)``, each row's group, −1 for none.
        others: what becomes of rows without a group: they stay as they are, or become 0.
    """

    def __init__(self, X: Rows, D: np.ndarray, groups: np.ndarray, *, others_stay: bool = True) -> None:
        super().__init__(X)
        self.D, self.groups, self.others_stay = D, groups, others_stay

    def formed(self, block: np.ndarray, start: int, stop: int) -> np.ndarray:
        groups = self.groups[start:stop]
        less = less_group_means(block, self.D, groups)
        if not self.others_stay:
            less[groups < 0] = 0
        return less


def less_group_means(X: np.ndarray, D: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """``X − Y D``: each row less its group's vector, unchanged where it has none (−1)."""
    own: np.ndarray = D[groups]
    own[groups < 0] = 0
    np.subtract(X, own, out=own)
    return own


class _Picked(RowView):
    """Entries of the rows inside, as they are stored."""

    @property
    def dtype(self) -> np.dtype:
        return getattr(self.X, "dtype", np.dtype(np.float64))


class Leading(_Picked):
    """Rows ``X[:, :k]``."""

    def __init__(self, X: Rows, k: int) -> None:
        super().__init__(X, k)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return numpy_block(self.X, start, stop)[:, : self.shape[1]]


class First(_Picked):
    """Rows ``X[:n]``."""

    def __init__(self, X: Rows, n: int) -> None:
        super().__init__(X)
        self.shape = (n, *self.shape[1:])

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return numpy_block(self.X, start, stop)


class Reordered(_Picked):
    """Row ``order[i]`` of X for each i, gathered block by block."""

    def __init__(self, X: Rows, order: np.ndarray) -> None:
        super().__init__(X)
        self.shape = (len(order), *self.shape[1:])
        self.order = order

    def row_inside(self, row: int) -> int:
        return int(self.order[row])

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        wanted = self.order[rows]
        out: np.ndarray | None = None
        # one pass over the span that holds them, in pieces: HDF5 reads single rows a thousand times slower
        for start in range(int(wanted.min(initial=0)), int(wanted.max(initial=-1)) + 1, GATHERED_ROWS):
            inside = (wanted >= start) & (wanted < start + GATHERED_ROWS)
            if inside.any():
                block = numpy_block(self.X, start, min(start + GATHERED_ROWS, self.X.shape[0]))
                out = np.empty((len(wanted), self.shape[1]), block.dtype) if out is None else out
                out[inside] = block[wanted[inside] - start]
        return numpy_block(self.X, 0, 0) if out is None else out
