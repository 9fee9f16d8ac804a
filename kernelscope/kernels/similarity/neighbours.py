"""kNN overlap of two networks' features, and recall of the student's queries in the teacher's index.

A Gram matrix is dominated by its large directions, neighbourhoods by its small ones: kernels can agree where
neighbourhoods do not (docs/theory.md 6.5). Neighbours are by Euclidean distance between features, a row is not its own.
Where several rows are equally far, those at the k-th place share the places that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.row_views import Affine, Mapped
from kernelscope.kernels.shares import Share
from kernelscope.kernels.similarity.nearest import Index, Shares, tile_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.rows import Rows


@dataclass(frozen=True)
class Neighbours:
    """``overlap``: share of each example's k nearest that both networks have in common, on average (kNN overlap).

    ``chance`` = k / (n − 1), its value for unrelated features.
    ``recall``: share of the teacher's own k nearest that a student's features find when they query the teacher's,
    None where widths differ; ``recall_aligned``: the same after the best rotation, scale and shift of the student.
    ``tied``: share of the queries, in either network, with a tie at the k-th place.
    """

    k: int
    overlap: float
    chance: float
    recall: float | None
    recall_aligned: float
    tied: float


def neighbours(
    scaled: ScaledSums,
    *,
    k: int = 10,
    recall: bool = True,
    device: str = "cpu",
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Neighbours:
    """Exact for the features as stored: float32 products propose, float64 differences decide.

    Costs n² d multiply-adds for each network, twice that with ``recall``.

    Args:
        scaled: from :func:`kernelscope.kernels.distance.exact.well_scaled_sums`.
        k: neighbours of each example, 1 … n − 1.
        recall: also query the teacher's features with the student's.
        memory_bytes: what may be taken; features are held in float32 where they fit, else read once for each tile.

    Raises:
        Mismatch: k is not below n. ResourceError: not even a few queries fit in ``memory_bytes``.
    """
    n, teacher, student = _require_fewer(k, scaled.sums.n), scaled.teacher, scaled.student
    indices = _indices(teacher, student, k, device, memory_bytes)
    queries: list[tuple[Index, Rows | None]] = [(indices[0], None), (indices[1], None)]
    if recall:
        queries.append((indices[0], aligned(scaled)))
        if teacher.shape[1] == student.shape[1]:
            queries.append((indices[0], student))
    found = np.zeros(len(queries))
    tied, share = 0, _shared_queries(queries, n)
    for answers in _together(queries, share, k):
        own = answers[0]
        found += [own.common(other) for other in answers]
        tied += own.tied + answers[1].tied
    found, all_tied = share.summed(found, np.array(tied))
    shares = (found / (n * k)).tolist()
    return Neighbours(
        k=k,
        overlap=shares[1],
        chance=k / (n - 1),
        recall=shares[3] if len(shares) == 4 else None,
        recall_aligned=shares[2] if recall else shares[1],
        tied=int(all_tied) / (2 * n),
    )


def shared(X: Rows, Y: Rows, *, k: int, device: str = "cpu") -> float:
    """``overlap`` alone, of two networks neither of which is the teacher.

    Raises:
        Mismatch: k is not below n.
    """
    n = _require_fewer(k, X.shape[0])
    queries: list[tuple[Index, Rows | None]] = [(index, None) for index in _indices(X, Y, k, device)]
    share = _shared_queries(queries, n)
    return share.numbers(sum(mine.common(theirs) for mine, theirs in _together(queries, share, k)))[0] / (n * k)


def _indices(X: Rows, Y: Rows, k: int, device: str, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> tuple[Index, Index]:
    """Of both, in tiles that fit; three quarters of the memory are for them, a quarter for the rows."""
    n, both = X.shape[0], X.shape[1] + Y.shape[1]
    tile = tile_rows(n, both, k, memory_bytes * 3 // 4)
    hold = 4 * n * (both + 4) <= memory_bytes // 4
    one, two = (Index(each, device, tile=tile, hold=hold) for each in (X, Y))
    return one, two


def _require_fewer(k: int, n: int) -> int:
    """n, if it is enough for k neighbours."""
    if not 1 <= k < n:
        raise Mismatch(f"{k} neighbours asked for among {n} examples; ask for 1 to {n - 1}")
    return n


def _shared_queries(queries: list[tuple[Index, Rows | None]], n: int) -> Share:
    return Share.of(n, queries[0][0].tile)


def _together(queries: list[tuple[Index, Rows | None]], share: Share, k: int) -> Iterator[list[Shares]]:
    """The answers to every list of queries, a block of this process's examples at a time."""
    for start, stop in share.steps(queries[0][0].tile):
        yield [index.search(start, stop, k, Q) for index, Q in queries]


def aligned(scaled: ScaledSums) -> Rows:
    """The student's features after the best rotation, scale and shift towards the teacher's (Procrustes).

    ``s (X_S − μ_S) Q + μ_T`` with Q and s least squares; where the student is wider, what rotates out of the
    teacher's space is the same for every row of the index, so it is left out.
    """
    middle = centre(scaled)
    U, sigma, Vt = np.linalg.svd(middle.sums.G_ST, full_matrices=False)
    trace = middle.sums.trace_student
    scale = float(sigma.sum()) / trace if trace > 0 else 0.0
    d_S = scaled.sums.d_student
    mean = scaled.sums.sums / scaled.sums.n
    return Mapped(Affine(scaled.student, shift=mean[:d_S]), scale * (U @ Vt), mean[d_S:])
