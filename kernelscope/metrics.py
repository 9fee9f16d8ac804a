"""Similarity measures as plain functions, for scripts that have two feature matrices and want one number.

    >>> from kernelscope import metrics
    >>> round(metrics.cka([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[2.0], [0.0], [1.0]]), 3)
    0.949

Features are ``(n, d)``, examples are rows: arrays, tensors on any device, memory-mapped files, HDF5 datasets, nested
lists. Everything is formed in double precision over all n examples. A number that does not exist is an error
(:class:`kernelscope.errors.DegenerateKernel`), never NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.errors import DegenerateKernel, Mismatch, UsageError
from kernelscope.kernels.constancy import is_constant
from kernelscope.kernels.distance.batch_sums import BatchSums, begun
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ScaledSums, transfer_loss, well_scaled_sums
from kernelscope.kernels.distance.own_kernel import narrowed
from kernelscope.kernels.rows import Features, Rows, as_rows, require_finite
from kernelscope.kernels.scales import within_float64
from kernelscope.kernels.similarity import cka as _cka
from kernelscope.kernels.similarity import gulp as _gulp
from kernelscope.kernels.similarity import neighbours
from kernelscope.kernels.similarity import procrustes as _procrustes
from kernelscope.kernels.similarity import within_class as _within_class
from kernelscope.kernels.statistics.moments import both_moments
from kernelscope.labels import one_per_example

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from kernelscope.kernels.distance.answers import TransferLoss

__all__ = [
    "KernelDistance",
    "cka",
    "cka_debiased",
    "gulp",
    "kernel_distance",
    "mutual_knn",
    "procrustes",
    "within_class_cka",
]


def kernel_distance(x_s: Features, x_t: Features) -> float:
    """The transfer loss ``‖K_S − K_T‖_F / ‖K_T‖_F``, K = X Xᵀ (Qian, Li and Hu, eq. 1, relative): student first.

    Not symmetric: what the teacher's kernel is to the student. >= 0; 0 for the teacher's kernel, 1 for an all-zero
    student, more is possible. Unchanged by rotations of either side. :func:`kernelscope.transfer_loss` gives the
    interval in which it lies, too.

        >>> round(kernel_distance([[2.0], [4.0]], [[1.0], [2.0]]), 12)
        3.0

    Args:
        x_s: the student's features, ``(n, d_S)``. x_t: the teacher's of the same examples, ``(n, d_T)``.

    Raises:
        Mismatch: rows that do not correspond. NumericalError: NaN or infinite features.
        DegenerateKernel: an all-zero teacher.
    """
    return float(transfer_loss(teacher=as_rows(x_t, "x_t"), student=as_rows(x_s, "x_s")))


@within_float64()
def cka(X: Features, Y: Features) -> float:
    """Linear CKA from the biased HSIC (Kornblith and others 2019), 0 … 1, symmetric.

    Unchanged by rotation, scale and shift of either side. Unrelated features score well above 0 unless n is far above
    the widths: see :func:`cka_debiased`.

        >>> cka([[1.0], [2.0], [3.0]], [[-2.0], [-4.0], [-6.0]])
        1.0

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same examples.

    Raises:
        Mismatch: rows that do not correspond. NumericalError: NaN or infinite features.
        DegenerateKernel: features that are the same for all examples.
    """
    return _number(_cka.cka(centre(_sums(X, Y)).sums), "CKA")


@within_float64()
def cka_debiased(X: Features, Y: Features) -> float:
    """Linear CKA from the unbiased HSIC (Song and others 2012), symmetric: 0 on average for unrelated features.

    Signed, and never clamped: it may leave −1 … 1 a little. Unchanged by rotation, scale and shift of either side.

        >>> round(cka_debiased([[1.0], [2.0], [3.0], [5.0]], [[1.0], [2.0], [3.0], [5.0]]), 6)
        1.0

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same n >= 4 examples.

    Raises:
        Mismatch: rows that do not correspond. NumericalError: NaN or infinite features.
        DegenerateKernel: features that are the same for all examples, fewer than 4 of these, or a HSIC of features with
            themselves that is not positive.
    """
    centred = centre(_sums(X, Y))
    own = both_moments(centred)
    if own is None:
        raise _nothing("debiased CKA")
    return _number(_cka.cka_debiased(centred.sums, own[0].entries, own[1].entries), "debiased CKA")


@within_float64()
def within_class_cka(X: Features, Y: Features, labels: ArrayLike) -> float:
    """CKA of features less the means of their classes, 0 … 1, symmetric: agreement on examples of one class.

    CKA of well separated classes is near 1 whatever happens inside them. Unchanged by rotation, scale and shift of
    either side; the only example of a class counts for nothing.

        >>> X = [[0.0], [1.0], [9.0], [7.0]]
        >>> round(within_class_cka(X, [[5.0], [6.0], [1.0], [3.0]], [0, 0, 1, 1]), 3)
        0.36

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same examples.
        labels: the class of each example, shape ``(n,)``: whole numbers from 0 on or words.

    Raises:
        Mismatch: rows or labels that do not correspond, or are masked. NumericalError: NaN or infinite features.
        DegenerateKernel: features that are the same within every class, or no class of two examples.
    """
    scaled = _sums(X, Y)
    found = _within_class.within_class_cka(scaled, one_per_example(labels, scaled.sums.n)[0])
    if found is None:
        raise DegenerateKernel(
            "no class has two examples that differ in both X and Y, so nothing is left within classes"
        )
    return found.value


@within_float64()
def procrustes(X: Features, Y: Features) -> float:
    """Procrustes distance of centred features brought to length 1, symmetric: 0 … √2 (Williams and others 2021).

    ``√(2 − 2 ‖Xᵀ Y‖_* / (‖X‖_F ‖Y‖_F))``, what is left after the best rotation; a metric. Unchanged by rotation, scale
    and shift of either side.

        >>> procrustes([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
        0.0

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same examples; the narrower is padded with zeros.

    Raises:
        Mismatch: rows that do not correspond. NumericalError: NaN or infinite features.
        DegenerateKernel: features that are the same for all examples.
    """
    return _number(_procrustes.procrustes(centre(_sums(X, Y))), "Procrustes distance")


@within_float64()
def gulp(X: Features, Y: Features, rho: float = _gulp.RHO) -> float:
    """GULP distance, symmetric: how far the predictions of ridge probes on X and on Y can differ.

    ``‖H_X − H_Y‖_F`` with ``H = X (Σ + λI)⁻¹ Xᵀ / n`` of centred features and λ = ρ tr(Σ) / d for each side
    (Boix-Adserà and others 2022, with λ relative). >= 0; a metric. Unchanged by rotation, scale and shift of either
    side; the smaller ρ, the less an invertible linear map changes it.

        >>> round(gulp([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0], [1.0], [0.0]]), 2)
        0.98

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same examples.
        rho: λ over the mean eigenvalue of each side's Σ, > 0.

    Raises:
        Mismatch: rows that do not correspond. NumericalError: NaN or infinite features.
        DegenerateKernel: features that are the same for all examples. UsageError: rho that is not positive.
    """
    if not 0 < rho < float("inf"):
        raise UsageError(f"rho is {rho}, expected a positive number; the default is {_gulp.RHO}")
    return _number(_gulp.gulp(centre(_sums(X, Y)), rho), "GULP")


@within_float64()
def mutual_knn(X: Features, Y: Features, k: int = 10) -> float:
    """kNN overlap: share of each example's k nearest neighbours that X and Y have in common, on average; symmetric.

    0 … 1. By Euclidean distance, exactly; examples tied at the k-th place share it. Scale rows to length 1 first for
    cosine distance (as in Huh and others 2024). Unrelated features share k / (n − 1). Unchanged by rotation, scale and
    shift of either side.

        >>> mutual_knn([[0.0], [1.0], [5.0], [6.0]], [[0.0], [2.0], [9.0], [8.0]], k=1)
        1.0

    Args:
        X, Y: features ``(n, d_X)`` and ``(n, d_Y)`` of the same examples.
        k: neighbours of each, 1 … n − 1.

    Raises:
        Mismatch: rows that do not correspond, or k not below n. NumericalError: NaN or infinite features.
    """
    return neighbours.shared(*_two(X, Y), k=k)


class KernelDistance:
    """:func:`kernel_distance` over batches, for loops that cannot keep all features.

    Exact over all examples whatever the size of a batch, which changes not a bit of the result; not a mean over
    batches, which would leave out how examples of different batches relate. Small losses are right too. Holds some five
    matrices of ``(d_S + d_T)²`` numbers and at most 4,096 rows. Pickles, and merges with that of another process.

        >>> distance = KernelDistance()
        >>> distance.update([[2.0]], [[1.0]])
        >>> distance.update([[4.0]], [[2.0]])
        >>> distance.compute()
        3.0
    """

    def __init__(self) -> None:
        self._sums: BatchSums | None = None

    @property
    def n(self) -> int:
        """Examples so far."""
        return 0 if self._sums is None else self._sums.n

    def update(self, x_s: Features, x_t: Features) -> None:
        """Add a batch.

        Args:
            x_s: the student's features, ``(b, d_S)``. x_t: the teacher's of the same examples, ``(b, d_T)``.

        Raises:
            Mismatch: rows that do not correspond, or other widths than before.
            NumericalError: NaN or infinite features.
        """
        x_s, x_t = as_rows(x_s, "x_s"), as_rows(x_t, "x_t")
        if self._sums is None:
            self._sums = begun(x_s, x_t)
        self._sums.add(x_s, x_t)

    def compute(self) -> float:
        """The transfer loss of all examples so far; updates may go on.

        Raises:
            UsageError: no batch yet. DegenerateKernel: an all-zero teacher.
        """
        return self.result().value

    def interval(self) -> tuple[float, float]:
        """Where the exact value for the features as given lies, proved."""
        return self.result().interval

    def result(self) -> TransferLoss:
        """The loss, its interval and its norms, as :func:`kernelscope.transfer_loss` gives them."""
        return (self._sums or BatchSums(1, 1)).loss()

    def merge(self, other: KernelDistance) -> None:
        """Take in the examples of another, which stays as it is.

        Raises:
            Mismatch: other widths.
        """
        self._sums = (self + other)._sums

    def __add__(self, other: KernelDistance) -> KernelDistance:
        both = KernelDistance()
        parts = [each._sums for each in (self, other) if each._sums is not None]
        both._sums = parts[0].merged(parts[1]) if len(parts) == 2 else parts[0].settled() if parts else None
        return both

    def reset(self) -> None:
        """Forget all examples, and how wide they were."""
        self._sums = None


def _two(X: Features, Y: Features) -> tuple[Rows, Rows]:
    """Both as finite rows of the same examples."""
    both = as_rows(X, "X"), as_rows(Y, "Y")
    if both[0].shape[0] != both[1].shape[0] or 0 in (*both[0].shape, *both[1].shape):
        raise Mismatch(
            f"X has shape {tuple(both[0].shape)} and Y {tuple(both[1].shape)}; give features of the same examples"
        )
    for rows, name in zip(both, "XY"):
        require_finite(rows, name)
    return both


def _sums(X: Features, Y: Features) -> ScaledSums:
    """Sums of two sides neither of which is constant: X as the student; the measures here are symmetric."""
    both = _two(X, Y)
    for rows, name in zip(both, "XY"):
        if is_constant(rows):
            raise DegenerateKernel(
                f"{name} is the same for all {rows.shape[0]} examples, so its centred kernel is 0; check the layer"
            )
    return well_scaled_sums(student=narrowed(both[0]), teacher=narrowed(both[1]))


def _number(value: float | None, name: str) -> float:
    if value is None:
        raise _nothing(name)
    return value


def _nothing(name: str) -> DegenerateKernel:
    return DegenerateKernel(
        f"{name} does not exist for these features: too few examples, or a centred kernel that is 0"
    )
