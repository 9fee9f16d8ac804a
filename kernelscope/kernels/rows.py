"""Rows: array-like matrices read in row blocks, in memory or on disk.

Anything two-dimensional whose rows can be sliced will do: NumPy arrays and memmaps, torch tensors of any float
dtype on any device, HDF5 datasets.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from kernelscope.errors import Mismatch, NumericalError, UsageError
from kernelscope.kernels.shares import SHARED_ROWS, Share
from kernelscope.masked import require_unmasked

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_ROWS = (
    SHARED_ROWS  #: rows handed out at a time: a checksummed block of a feature file, and where BLAS is at full rate
)
FIRST_ROWS = 16  #: looked at before all others, where these are to tell two matrices apart
BOUNDED_NUMBERS = 2**24  #: that are held at a time of rows of any width, 128 MB


@runtime_checkable
class Rows(Protocol):
    """A matrix ``(n, d)`` read by row slices: ``X.shape`` and ``X[i:j]``."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


Key = tuple[str, str]  #: role (``teacher`` or ``student``) and name of a layer

#: what public functions take for features ``(n, d)``: rows that slice, or what NumPy makes an array of
Features: TypeAlias = Rows | ArrayLike


def as_rows(X: Features, name: str = "features") -> Rows:
    """``X`` as rows: itself if it already slices, an array if it is a nested list; examples are rows.

    Raises:
        Mismatch: if it is not two-dimensional, not of real numbers, sparse, or masked.
    """
    require_unmasked(X, name)
    if _is_sparse(X):
        raise Mismatch(f"{name} are a sparse {type(X).__name__}; make it dense, by .toarray() or .to_dense()")
    # not isinstance(X, Rows): from Python 3.12 on that misses attributes which a proxy forwards
    slices = hasattr(X, "shape") and hasattr(X, "__getitem__") and not hasattr(X, "iloc")  # of pandas: by labels
    rows = cast("Rows", X) if slices else np.asarray(X)
    if len(rows.shape) != 2:
        raise Mismatch(
            f"{name} have shape {tuple(rows.shape)}, expected (n, d) with examples as rows; pool or reshape them"
        )
    kind = str(getattr(rows, "dtype", "float64"))
    if any(word in kind for word in ("complex", "object", "str", "<U", "|S")):
        raise Mismatch(f"{name} are of type {kind}, expected real numbers; convert them to float")
    return rows


def numpy_block(X: Rows, start: int, stop: int) -> np.ndarray:
    """Rows ``start:stop`` as a NumPy array in the stored precision (bfloat16, which NumPy lacks, as float32).

    Raises:
        Mismatch: rows that come masked, as NetCDF libraries give them.
    """
    block = X[start:stop]
    require_unmasked(block, "features")
    if _is_tensor(block):
        import torch

        block = block.detach()
        if block.dtype == torch.bfloat16:
            block = block.float()
        stored: np.ndarray = block.cpu().numpy()
        return stored
    return np.asarray(block)


def row_blocks(X: Rows, block_rows: int = BLOCK_ROWS, share: Share | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(start, float64 block)`` over all rows, in order, or over those of a share."""
    n = X.shape[0]
    for start, stop in (share or Share(n, 0, n, 1)).steps(block_rows):
        yield start, numpy_block(X, start, stop).astype(np.float64, copy=False)


def entry_error(X: Rows, norm: float) -> float:
    """Bound on the Frobenius norm of what rounding adds to rows as they are formed from those stored; 0 as stored.

    Args:
        norm: ‖X‖_F of these rows.
    """
    own = getattr(X, "entry_error", None)
    return float(own(norm)) if own is not None else 0.0


def is_proved(X: Rows) -> bool:
    """Whether :func:`entry_error` of these rows is proved; rows have ``estimated`` set where theirs is not."""
    return not getattr(X, "estimated", False)


def kernel_error(X: Rows) -> float:
    """Bound on ‖·‖_F of what the kernel of these rows is off by that of the rows they stand for; 0 for rows as such."""
    return float(getattr(X, "kernel_error", 0.0))


def columns(X: Rows) -> int:
    """How many features these rows have, or the ones that they stand for."""
    return int(getattr(X, "columns", X.shape[1]))


def largest_entry(X: Rows) -> float:
    """``max |X_ij|``, NaN if any is NaN; costs a pass over the rows."""
    share = Share.of(X.shape[0])
    largest = [np.max(np.abs(block), initial=0.0) for _, block in bounded_blocks(X, share)]
    return share.largest(float(np.max(largest)))


def bounded_blocks(X: Rows, share: Share | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """:func:`row_blocks` of fewer rows where these are so wide that 4,096 of them would not fit."""
    return row_blocks(X, max(1, min(BLOCK_ROWS, BOUNDED_NUMBERS // X.shape[1])), share)


def identical(teacher: Rows, student: Rows) -> bool:
    """Whether the two are the same numbers; stops at the first block that differs.

    Rows that are rounded as they are formed are the same only if formed alike from the same: two that agree after
    rounding may differ before.
    """
    if tuple(teacher.shape) != tuple(student.shape):
        return False
    form = getattr(teacher, "form", None), getattr(student, "form", None)
    if any(each is not None for each in form):
        alike = form[0] is not None and form[1] is not None and np.array_equal(form[0], form[1])
        return alike and identical(teacher.X, student.X)  # type: ignore[attr-defined]
    # networks that differ do so in the first few rows, which cost nothing to form
    few = min(FIRST_ROWS, teacher.shape[0])
    if not np.array_equal(numpy_block(teacher, 0, few), numpy_block(student, 0, few)):
        return False
    share = Share.of(teacher.shape[0])
    both = zip(bounded_blocks(teacher, share), bounded_blocks(student, share))
    return share.all(all(np.array_equal(a, b) for (_, a), (_, b) in both))


class RowsGoneError(UsageError):
    """Rows that were added up and are not kept were to be read again."""


class Summed:
    """Rows that were added up and are not kept: how many, how wide, and of which type."""

    def __init__(self, shape: tuple[int, ...], dtype: object) -> None:
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, rows: slice, /) -> NoReturn:
        raise RowsGoneError("these rows were added up and not kept; keep them to read them again")


def storage_roundoff(X: Rows) -> float:
    """Unit roundoff of the type the features are stored in; 0 for float64 and integers, which lose nothing here."""
    own = getattr(X, "storage_roundoff", None)
    if own is not None:
        return float(own)
    kind = str(getattr(X, "dtype", "float64")).removeprefix("torch.")
    return {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}.get(kind, 0.0)


def require_finite(X: Rows, name: str) -> None:
    """Refuse NaN and Inf, with their number and first row. Costs a pass: called when a Gram shows them.

    Raises:
        NumericalError: if any entry is NaN or infinite.
    """
    count, first = 0, -1
    for start, block in bounded_blocks(X):
        bad = ~np.isfinite(block)
        if bad.any():
            count += int(bad.sum())
            if first < 0:
                first = start + int(np.argmax(bad.any(axis=1)))
    if count:
        raise NumericalError(
            f"{name} hold {count} NaN or infinite values, first in {place_of(X, first)}; check the network or drop "
            "the rows"
        )


def place_of(X: Rows, row: int) -> str:
    """A row in words: its number, and the file it stands in where there are several."""
    inside, at = X, row
    while hasattr(inside, "row_inside"):  # a view of other rows
        inside, at = inside.X, inside.row_inside(at)  # type: ignore[attr-defined]
    where = getattr(inside, "where", None)
    return f"row {row}" if where is None else f"row {row} ({where(at)})"


def require_same_examples(teacher: Rows, student: Rows) -> int:
    """The common number of examples.

    Raises:
        Mismatch: if the two differ, or there are none.
    """
    n = teacher.shape[0]
    if n != student.shape[0]:
        raise Mismatch(
            f"teacher has {n} rows and student {student.shape[0]}; give features of the same examples in the same order"
        )
    if n == 0 or teacher.shape[1] == 0 or student.shape[1] == 0:
        raise Mismatch(
            f"features are empty: teacher {tuple(teacher.shape)}, student {tuple(student.shape)}; give one row at least"
        )
    return n


def _is_sparse(X: object) -> bool:
    """Whether it is a sparse array of SciPy, or a sparse tensor."""
    layout = str(getattr(X, "layout", "torch.strided"))
    return type(X).__module__.startswith("scipy.sparse") or "sparse" in layout or "mkldnn" in layout


def _is_tensor(block: object) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only exist if torch was imported: do not import it to find out
    return torch is not None and isinstance(block, torch.Tensor)


BLOCK_ENTRIES = 2**22  #: entries of the widest thing formed for a block of rows: 32 MB


def step_rows(width: int) -> int:
    """Rows of a block, fewer the wider what is formed of each: ``width`` numbers."""
    return max(64, min(BLOCK_ROWS, BLOCK_ENTRIES // max(1, width)))


def row_steps(n: int, width: int) -> Iterator[tuple[int, int]]:
    """``(start, stop)`` of such blocks of n rows."""
    return Share(n, 0, n, 1).steps(step_rows(width))


def take_rows(X: Rows, indices: np.ndarray) -> np.ndarray:
    """Rows at ``indices``, in their order, as float64; reads only the stretches that hold them."""
    if isinstance(X, np.ndarray):
        found: np.ndarray = X[indices].astype(np.float64, copy=False)  # a copy: indices are no slice
        return found
    order = np.argsort(indices, kind="stable")  # HDF5 reads forward and in slices; rows go back to their places
    ordered = indices[order]
    taken = np.empty((len(indices), X.shape[1]))
    low = 0
    while low < len(ordered):
        first = int(ordered[low])
        high = int(np.searchsorted(ordered, first + BLOCK_ROWS))
        taken[order[low:high]] = numpy_block(X, first, int(ordered[high - 1]) + 1)[ordered[low:high] - first]
        low = high
    return taken


def shared_rows(X: Rows, indices: np.ndarray) -> np.ndarray:
    """:func:`take_rows` of which every process reads those in its share; all are to ask for the same."""
    share = Share.of(X.shape[0])
    if share.parts == 1:
        return take_rows(X, indices)
    order = np.argsort(indices, kind="stable")
    low, high = np.searchsorted(indices[order], (share.start, share.stop))
    taken = np.empty((len(indices), X.shape[1]))
    (taken[order],) = share.gathered(take_rows(X, indices[order[low:high]]))
    return taken
