"""Sums of products of rows, a block at a time, whose error is known whatever the BLAS does inside a block.

A block's product is finished before it is added (``beta = 0``): BLAS adds into a running matrix one panel of rows at a
time, so that the chain of roundings would be as long as its panels are many. Finished blocks are added plainly up to
64 of them, and those sums without error, so an entry sees ``rows of a block + 64 + 2`` roundings however many rows
there are. That the products inside a block are added in some order, each once, is all that is assumed of the BLAS.

On the CPU all products are NumPy's: ``A.T @ A`` is one syrk there, and a second BLAS beside it, such as SciPy's,
brings threads of its own, which fight for the cores while they wait for work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from kernelscope.devices import for_double
from kernelscope.kernels.rounding import Array, two_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

PLAINLY = 64  #: finished blocks added plainly, before their sum is added without error
BUFFER_NUMBERS = 2**22  #: numbers of a block: large enough that adding it costs little beside forming it
MOST_ROWS, FEWEST_ROWS = 4096, 1024


def block_rows(width: int) -> int:
    """Rows per finished block of products of ``width`` columns: a power of two, so that blocks cut reads evenly."""
    fitting = BUFFER_NUMBERS // max(1, width)
    return min(MOST_ROWS, max(FEWEST_ROWS, 2 ** (fitting.bit_length() - 1) if fitting else 0))


def summation_chain(n: int, rows: int) -> int:
    """Longest chain of roundings in an entry of a sum over n rows, ``rows`` of them to a finished block."""
    blocks = -(-n // rows)
    return min(rows, n) + min(blocks, PLAINLY) + 2


class BlockSum(Generic[Array]):
    """Sum of finished blocks; NumPy arrays, or torch tensors of any device.

    Args:
        zeros: makes a sum of nothing.
        plainly: how many blocks are added plainly; 1 for sums that are to be exact.
    """

    def __init__(self, zeros: Callable[[], Array], *, plainly: int = PLAINLY) -> None:
        self._zeros: Callable[[], Array] = zeros
        self._plainly = plainly
        self._plain: Array = zeros()
        self._blocks = 0
        self._others: tuple[Array, Array] | None = None  # leading part and rest of the blocks added without error

    def add(self, block: Array) -> None:
        if self._blocks == self._plainly:
            self._others = self.in_two()
            self._plain, self._blocks = self._zeros(), 0
        self._blocks += 1
        self._plain += block

    def total(self) -> Array:
        """The sum so far, rounded once."""
        if self._others is None:
            return self._plain
        high, low = self.in_two()
        rounded: Array = high + low
        return rounded

    def in_two(self) -> tuple[Array, Array]:
        """The sum so far as a leading part and the rest."""
        if self._others is None:
            return self._plain, self._zeros()
        with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
            high, lost = two_sum(self._others[0], self._plain)
            return high, self._others[1] + lost


class Cpu:
    """Where sums are formed: in NumPy arrays."""

    def rows(self, X: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        """X in double precision: itself where BLAS can read it, else in the buffer."""
        if X.dtype == np.float64 and X.strides[1] == X.itemsize and X.strides[0] >= X.itemsize * X.shape[1]:
            return X
        rows = buffer[: len(X)]
        rows[...] = X
        return rows

    def zeros(self, *shape: int) -> np.ndarray:
        return np.zeros(shape)

    def ones(self, rows: int) -> np.ndarray:
        return np.ones(rows)

    def product(self, A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``AᵀB``; with A itself for B one syrk."""
        with np.errstate(invalid="ignore", over="ignore"):  # features that are not finite are named later
            found: np.ndarray = np.matmul(A.T, B, out=out)
        return found

    def numpy(self, A: np.ndarray) -> np.ndarray:
        return A


class OnDevice:
    """The same on a torch device, in double precision.

    CUDA copies rows from page-locked memory on a stream of their own, so that neither reading the next rows nor the
    products of those before wait for a copy.
    """

    def __init__(self, device: str) -> None:
        import torch

        self.device = device
        self._copies = torch.cuda.Stream(device) if device.startswith("cuda") else None

    def rows(self, X: np.ndarray, buffer: np.ndarray) -> torch.Tensor:
        import torch

        stored = torch.from_numpy(np.require(X, requirements=["C", "W"]))  # as torch wants it
        if self._copies is None:
            return stored.to(self.device).double()  # moved as it is stored: half the bytes of float64
        products = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            moved = stored.pin_memory().to(self.device, non_blocking=True)
        products.wait_stream(self._copies)
        moved.record_stream(products)  # else its memory could be given to the next rows too early
        return moved.double()

    def zeros(self, *shape: int) -> torch.Tensor:
        import torch

        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def ones(self, rows: int) -> torch.Tensor:
        return self.zeros(rows) + 1

    def product(self, A: torch.Tensor, B: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        return torch.matmul(A.T, B, out=out)

    def numpy(self, A: torch.Tensor) -> np.ndarray:
        return np.asarray(A.cpu().numpy())


Place = Cpu | OnDevice
CPU = Cpu()


def place_of(device: str) -> Place:
    """Where sums are formed for a device: on the CPU for one that has no double precision."""
    device = for_double(device)
    return CPU if device == "cpu" else OnDevice(device)


class OwnSum:
    """``Σ BᵀB`` and column sums of rows of width d."""

    def __init__(self, d: int, means: bool = True, place: Place = CPU) -> None:
        self._place: Any = place
        self._products, self._block = BlockSum(lambda: self._place.zeros(d, d)), self._place.zeros(d, d)
        self._sums = BlockSum(lambda: self._place.zeros(d)) if means else None

    def add(self, rows: Any) -> None:
        """Add one block of rows ``(b, d)`` in double precision, which is not copied."""
        if len(rows) == 0:
            return
        # into a block of its own: adding to the sum BLAS would round once per panel
        self._products.add(self._place.product(rows, rows, out=self._block))
        if self._sums is not None:
            self._sums.add(self._place.product(rows, self._place.ones(len(rows))))

    @property
    def sums(self) -> np.ndarray | None:
        return None if self._sums is None else np.asarray(self._place.numpy(self._sums.total()))

    def gram(self) -> np.ndarray:
        return np.asarray(self._place.numpy(self._products.total()))


class CrossSum:
    """``Σ B_SᵀB_T`` of two networks."""

    def __init__(self, d_S: int, d_T: int, place: Place = CPU) -> None:
        self._place: Any = place
        self._products, self._block = BlockSum(lambda: self._place.zeros(d_S, d_T)), self._place.zeros(d_S, d_T)

    def add(self, student: Any, teacher: Any) -> None:
        if len(student):
            self._products.add(self._place.product(student, teacher, out=self._block))

    def total(self) -> np.ndarray:
        return np.asarray(self._place.numpy(self._products.total()))


class PairSum:
    """``Σ ZᵀZ`` and column sums of both networks side by side, ``Z = [X_S, X_T]``.

    Three products a block: rows side by side would have to be copied there.
    """

    def __init__(self, d_S: int, d_T: int, means: bool, place: Place = CPU) -> None:
        self._place: Any = place
        self._student, self._teacher = OwnSum(d_S, means, place), OwnSum(d_T, means, place)
        self._cross, self._block_rows = CrossSum(d_S, d_T, place), block_rows(d_S + d_T)
        self._buffers = np.empty((self._block_rows, d_S)), np.empty((self._block_rows, d_T))

    def add(self, X_S: np.ndarray, X_T: np.ndarray) -> None:
        for start in range(0, len(X_S), self._block_rows):
            both = (X[start : start + self._block_rows] for X in (X_S, X_T))
            S, T = (self._place.rows(X, buffer) for X, buffer in zip(both, self._buffers))
            self._student.add(S)
            self._teacher.add(T)
            self._cross.add(S, T)

    @property
    def sums(self) -> np.ndarray | None:
        S, T = self._student.sums, self._teacher.sums
        return None if S is None or T is None else np.concatenate([S, T])

    def gram(self) -> np.ndarray:
        return side_by_side_gram(self._student.gram(), self._teacher.gram(), self._cross.total())


def side_by_side_gram(SS: np.ndarray, TT: np.ndarray, ST: np.ndarray) -> np.ndarray:
    """The symmetric ``[[SS, ST], [STᵀ, TT]]``; ``numpy.block`` takes five times as long."""
    d_S, p = len(SS), len(SS) + len(TT)
    gram = np.empty((p, p))
    gram[:d_S, :d_S], gram[:d_S, d_S:] = SS, ST
    gram[d_S:, :d_S], gram[d_S:, d_S:] = ST.T, TT
    return gram
