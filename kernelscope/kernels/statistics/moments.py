"""Permutation moments of the inner product of two centred kernels, in closed form (docs/theory.md 7.2).

``X = ⟨P K_S Pᵀ, K_T⟩`` over uniform permutations P has moments that are sums over patterns of equal indices; what they
need of each kernel costs one pass over its features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.gram import COMFORTABLE
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.rows import Rows, row_blocks
from kernelscope.kernels.shares import Share
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.statistics.row_forms import Drawn, quadratic_forms, symmetric_strips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.statistics.row_forms import RowForms


CUBED_ROWS = 512  #: rows of a kernel cubed together, so that their products stay in the cache


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the entries of one centred kernel K, in units in which ‖K‖_F = 1.

    ``entries`` k_ii, shape ``(n,)``; ``diagonal`` Σ k_ii, ``diagonal_2`` Σ k_ii², ``diagonal_3`` Σ k_ii³, ``cube``
    tr K³, ``mixed`` Σ k_ii (K²)_ii, ``linked`` Σ k_ii k_ij k_jj, ``entries_3`` Σ k_ij³.
    """

    n: int
    entries: np.ndarray
    diagonal: float
    diagonal_2: float
    diagonal_3: float
    cube: float
    mixed: float
    linked: float
    entries_3: float


def both_moments(centred_pair: ScaledSums, forms: RowForms | None = None) -> tuple[Moments, Moments] | None:
    """Moments of the student and of the teacher; None where one of them is constant over the examples.

    Args:
        forms: of the same pair, if the rows were read already.
    """
    G = centred_pair.sums
    if cka(G) is None:
        return None
    found = []
    for X, H, own in (
        (centred_pair.student, G.G_SS, None if forms is None else forms.student),
        (centred_pair.teacher, G.G_TT, None if forms is None else forms.teacher),
    ):
        norm = frobenius(H)
        if own is None or norm < COMFORTABLE[0]:  # of a network that small squares were lost beside the other's
            found.append(moments(X, H))
        else:
            unit = 1 / math.sqrt(norm)
            k, q, linked = own.centred_diagonal / norm, own.centred_squares / norm / norm, own.linked / norm * unit
            found.append(_moments(H / norm, k, q, linked, own.drawn * unit))
    return found[0], found[1]


def moments(X: Rows, G: np.ndarray) -> Moments:
    """Of ``K = X Xᵀ``, X centred, with its Gram G; one pass, ½ n d² multiply-adds."""
    norm = frobenius(G)
    unit, strips = 1 / math.sqrt(norm), symmetric_strips(G / norm)
    diagonals, squares, linked = [], [], np.zeros(X.shape[1])
    drawn, share = Drawn(*X.shape), Share.of(X.shape[0])
    for start, block in row_blocks(X, share=share):
        rows = block * unit
        diagonals.append(np.einsum("ij,ij->i", rows, rows))
        squares.append(quadratic_forms(rows, strips))
        linked += diagonals[-1] @ rows
        drawn.add(start, rows)
    k, q = share.gathered(np.concatenate(diagonals), np.concatenate(squares))
    (linked,) = share.summed(linked)
    return _moments(G / norm, k, q, linked, drawn.of_all(share))


def _moments(H: np.ndarray, k: np.ndarray, q: np.ndarray, linked: np.ndarray, drawn: np.ndarray) -> Moments:
    """From the Gram, K_ii, (K²)_ii, Σ K_ii x_i and drawn rows in units in which ‖K‖_F = 1."""
    return Moments(
        n=len(k),
        entries=k,
        diagonal=float(k.sum()),
        diagonal_2=float(k @ k),
        diagonal_3=float(np.sum(k**3)),
        cube=float(np.vdot(H @ H, H)),
        mixed=float(k @ q),
        linked=float(linked @ linked),
        entries_3=float(np.sum(k**3)) + _off_diagonal_cubes(drawn, len(k)),
    )


def _off_diagonal_cubes(rows: np.ndarray, n: int) -> float:
    """Σ_{i≠j} k_ij³ of n rows, over all pairs or scaled up from those of rows that were drawn."""
    m, total = len(rows), 0.0
    for start in range(0, m, CUBED_ROWS):
        K = rows[start : start + CUBED_ROWS] @ rows[start:].T  # from the diagonal on: K is symmetric
        own = K[:, :CUBED_ROWS]
        np.fill_diagonal(own, 0.0)  # exactly: Σ k_ii³ is known from all rows, not only the drawn ones
        total += 2 * float(np.vdot(np.square(K), K)) - float(np.vdot(np.square(own), own))
    return total if m == n else total * (n * (n - 1.0)) / (m * (m - 1.0))


def skewness(S: Moments, T: Moments, sd: float | None) -> float | None:
    """Third moment of CKA over sd³; needs n >= 6."""
    if S.n < 6 or not sd:
        return None
    return float(_traceless(S) @ _third_moment_form(S.n) @ _traceless(T)) / sd**3


def _traceless(M: Moments) -> np.ndarray:
    """The five sums of ``K − (tr K / (n−1)) H`` that are not 0: cube, diagonal_3, mixed, linked, entries_3.

    Taking off a multiple of H = I − 11ᵀ/n takes off the mean of ⟨P K Pᵀ, L⟩ and changes nothing else, so third
    moments of these kernels are central and no large numbers cancel.
    """
    n, t, s2 = M.n, M.diagonal, M.diagonal_2
    c = t / (n - 1)
    e = c * (n - 1) / n  # what comes off every diagonal entry; c / n is added to every other
    diagonal_3 = M.diagonal_3 - 3 * e * s2 + 3 * e**2 * t - n * e**3
    others = (M.entries_3 - M.diagonal_3) + 3 * (c / n) * (1 - s2) - 3 * (c / n) ** 2 * t + n * (n - 1) * (c / n) ** 3
    return np.array(
        [
            M.cube - 3 * c + 3 * c * c * t - c**3 * (n - 1),
            diagonal_3,
            M.mixed - 2 * c * s2 + c * e * t - e + 2 * e * c * t - e * c * c * (n - 1),
            M.linked - c * (s2 - t * t / n),
            others + diagonal_3,
        ]
    )


PATTERNS = ("cube", "diagonal_3", "mixed", "linked", "entries_3")


@cache
def _third_moment_form(n: int) -> np.ndarray:
    """The 5 × 5 matrix B with ``E X³ = a(K)ᵀ B a(L)``, a the sums of :func:`_traceless`.

    X³ is a sum over six indices. Sort its terms by which of them are equal (203 partitions): under a uniform
    permutation a pattern with b distinct indices contributes (Σ over distinct indices of K) (the same of L) /
    (n (n−1) … (n−b+1)). Sums over distinct indices follow from unrestricted ones by Möbius inversion.
    """
    patterns, distinct = _distinct_sums()
    weights = [1.0 / math.perm(n, blocks) if blocks <= n else 0.0 for blocks in patterns]
    form: np.ndarray = distinct.T @ (np.array(weights)[:, None] * distinct)
    return form


@cache
def _distinct_sums() -> tuple[tuple[int, ...], np.ndarray]:
    """For each partition of six indices its number of blocks, and its sum over distinct indices.

    The latter as a combination of the five unrestricted sums that do not vanish.
    """
    partitions = list(_partitions(6))
    named = {p: PATTERNS.index(name) for p in partitions if (name := _pattern(p)) is not None}
    coefficients = np.zeros((len(partitions), len(PATTERNS)))
    for i, fine in enumerate(partitions):
        for merging in _partitions(max(fine) + 1):
            coarse = tuple(merging[block] for block in fine)
            if coarse in named:
                sizes = [merging.count(block) for block in range(max(merging) + 1)]
                coefficients[i, named[coarse]] += math.prod((-1) ** (k - 1) * math.factorial(k - 1) for k in sizes)
    return tuple(max(p) + 1 for p in partitions), coefficients


def _partitions(size: int, blocks: tuple[int, ...] = (0,)) -> Iterator[tuple[int, ...]]:
    """Set partitions as growth strings, the block of each index: blocks are numbered as they appear."""
    if len(blocks) == size:
        yield blocks
        return
    for block in range(max(blocks) + 2):
        yield from _partitions(size, (*blocks, block))


def _pattern(partition: tuple[int, ...]) -> str | None:
    """Which sum the graph with edges (0,1), (2,3), (4,5) on the blocks is; None where it vanishes.

    Rows of a centred kernel sum to 0, so a block met only once makes the sum 0; so does a loop alone, the trace.
    """
    edges = sorted(tuple(sorted(partition[i : i + 2])) for i in (0, 2, 4))
    degree = np.bincount(partition)
    if degree.min() == 1:
        return None
    loops = sum(a == b for a, b in edges)
    blocks = len(degree)
    if loops == 3:
        return "diagonal_3" if blocks == 1 else None
    if loops == 2:
        return "linked" if blocks == 2 and edges[0] != edges[2] and any(a != b for a, b in edges) else None
    if loops == 1:
        plain = [edge for edge in edges if edge[0] != edge[1]]
        loop = next(edge[0] for edge in edges if edge[0] == edge[1])
        return "mixed" if plain[0] == plain[1] and loop in plain[0] else None
    return "entries_3" if blocks == 2 else "cube"
