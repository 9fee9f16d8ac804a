"""What chance gives: the same two networks with the student's examples shuffled, in closed form (THEORY B.10, B.11).

``X = ⟨P K_S Pᵀ, K_T⟩`` over uniform permutations P, for centred kernels: mean, variance (Kazi-Aoual et al. 1995) and
skewness, and from these the tail of a Pearson type III distribution. Moments are sums over patterns of equal indices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import gammainc, gammaincc, ndtr

from kernelscope.kernels.companions import cka
from kernelscope.kernels.exact import ScaledSums
from kernelscope.kernels.gram import GramSums
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.rows import BLOCK_ROWS, Affine, Rows, row_blocks

EXACT_CUBES = 2048  #: up to so many examples Σ k_ij³ is summed over all pairs, above over those of as many drawn ones
NO_SPREAD = 1e-14  #: of the squared mean: a variance below it is rounding
NEARLY_NORMAL = 1e-4  #: skewness below which a Pearson III tail is the normal one


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


@dataclass(frozen=True)
class Chance:
    """What the same two networks score when the student's examples are shuffled (closed forms)."""

    transfer_loss: float | None
    cka_mean: float | None
    cka_sd: float | None
    cka_skewness: float | None
    p_value: float | None
    above_chance: float | None


def chance(sums: GramSums, centred_sums: GramSums, own: tuple[Moments, Moments] | None) -> Chance:
    """Permutation null of the loss (B.10) and of CKA (B.11), and CKA's place in it.

    Args:
        sums, centred_sums: Grams of both networks, as they are and with means removed.
        own: :func:`moments` of the student and of the teacher; None where a kernel vanishes once centred.

    ``p_value`` is the probability that a shuffled student reaches this CKA; ``above_chance`` = (CKA − mean) /
    (1 − mean) is 0 at chance and 1 for equal kernels, whatever the scale of the features. Up to 2,048 examples all
    is exact; above, one of the skewness's eight sums is that of 2,048 drawn examples.
    """
    observed = cka(centred_sums)
    if observed is None or own is None or sums.n < 2:
        return Chance(shuffled_loss(sums), None, None, None, None, None)
    S, T = own
    mean, sd = cka_under_permutation(S.entries, T.entries)
    skewness = _skewness(S, T, sd)
    return Chance(
        transfer_loss=shuffled_loss(sums),
        cka_mean=mean,
        cka_sd=sd,
        cka_skewness=skewness,
        p_value=None if not sd else upper_tail((observed - mean) / sd, skewness or 0.0),
        above_chance=above_chance(observed, mean),
    )


def above_chance(cka: float, mean: float) -> float | None:
    """``(CKA − mean) / (1 − mean)``, at most 1; None where chance alone gives 1."""
    return None if mean >= 1 else min(1.0, (cka - mean) / (1 - mean))


def both_moments(centred_pair: ScaledSums) -> tuple[Moments, Moments] | None:
    """:func:`moments` of the student and of the teacher; None where one of them is constant over the examples."""
    G = centred_pair.sums
    if cka(G) is None:
        return None
    return moments(centred_pair.student, G.G_SS), moments(centred_pair.teacher, G.G_TT)


def shuffled_loss(sums: GramSums) -> float | None:
    """Root mean square of the loss over all permutations of the student's examples; None for n = 1."""
    n, d_S = sums.n, sums.d_student
    if n < 2:
        return None
    one_S, one_T = (float(part @ part) for part in (sums.sums[:d_S], sums.sums[d_S:]))
    t_S, t_T = sums.trace_student, sums.trace_teacher
    inner = t_S * t_T / n + (one_S - t_S) * (one_T - t_T) / (n * (n - 1))
    squared = sums.norm_student**2 + sums.norm_teacher**2 - 2 * inner
    return math.sqrt(max(0.0, squared)) / sums.norm_teacher


def moments(X: Rows, G: np.ndarray) -> Moments:
    """Of ``K = X Xᵀ``, X centred, with its Gram G; one pass, n d² multiply-adds."""
    n, norm = X.shape[0], frobenius(G)
    unit = 1 / math.sqrt(norm)
    diagonals, squares, linked = [], [], np.zeros(X.shape[1])
    for _, block in row_blocks(X):
        rows = block * unit
        k = np.einsum("ij,ij->i", rows, rows)
        diagonals.append(k)
        squares.append(np.einsum("ij,ij->i", rows @ (G / norm), rows))
        linked += k @ rows
    k, q = np.concatenate(diagonals), np.concatenate(squares)
    eigenvalues = np.linalg.eigvalsh(G / norm)
    return Moments(
        n=n,
        entries=k,
        diagonal=float(k.sum()),
        diagonal_2=float(k @ k),
        diagonal_3=float(np.sum(k**3)),
        cube=float(np.sum(eigenvalues**3)),
        mixed=float(k @ q),
        linked=float(linked @ linked),
        entries_3=float(np.sum(k**3)) + _off_diagonal_cubes(Affine(X, scale=unit)),
    )


def _off_diagonal_cubes(X: Rows) -> float:
    """Σ_{i≠j} k_ij³, over all pairs or scaled up from those among examples drawn once and for all."""
    n = X.shape[0]
    if n <= EXACT_CUBES:
        rows = np.concatenate([block for _, block in row_blocks(X)])
    else:
        from kernelscope.kernels.groups import take_rows

        rows = take_rows(X, np.sort(np.random.default_rng(0).choice(n, EXACT_CUBES, replace=False)))
    m, total = len(rows), 0.0
    for start in range(0, m, BLOCK_ROWS // 4):
        K = rows[start : start + BLOCK_ROWS // 4] @ rows.T
        np.fill_diagonal(K[:, start:], 0.0)
        total += float(np.einsum("ij,ij,ij->", K, K, K))
    return total if m == n else total * (n * (n - 1.0)) / (m * (m - 1.0))


def cka_under_permutation(k: np.ndarray, l: np.ndarray) -> tuple[float, float | None]:
    """Mean and standard deviation (n >= 4) of CKA, from the diagonals of two centred kernels of norm 1."""
    n, t, u = len(k), float(k.sum()), float(l.sum())
    mean = t * u / (n - 1)
    if n < 4:
        return mean, None
    first = 2 * ((n - 1) - t * t) * ((n - 1) - u * u) / ((n - 1) ** 2 * (n + 1) * (n - 2))
    own = n * (n + 1) * float(k @ k) - (n - 1) * (t * t + 2), n * (n + 1) * float(l @ l) - (n - 1) * (u * u + 2)
    variance = first + own[0] * own[1] / ((n + 1.0) * n * (n - 1) * (n - 2) * (n - 3))
    return mean, math.sqrt(variance) if variance > NO_SPREAD * mean * mean else 0.0


def _skewness(S: Moments, T: Moments, sd: float | None) -> float | None:
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
    """For each partition of six indices its number of blocks, and its sum over distinct indices as a combination of
    the five unrestricted sums that do not vanish."""
    partitions = list(_partitions(6))
    named = [_pattern(p) for p in partitions]
    coefficients = np.zeros((len(partitions), len(PATTERNS)))
    for i, fine in enumerate(partitions):
        for coarse, name in zip(partitions, named):
            if name is not None and (merged := _merged_blocks(fine, coarse)) is not None:
                sign = math.prod((-1) ** (k - 1) * math.factorial(k - 1) for k in merged)
                coefficients[i, PATTERNS.index(name)] += sign
    return tuple(max(p) + 1 for p in partitions), coefficients


def _partitions(size: int) -> Iterator[tuple[int, ...]]:
    """Set partitions as growth strings: the block of each index, blocks numbered as they appear."""
    for text in itertools.product(range(size), repeat=size - 1):
        blocks = (0, *text)
        if all(blocks[i] <= max(blocks[:i]) + 1 for i in range(1, size)):
            yield blocks


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


def _merged_blocks(fine: tuple[int, ...], coarse: tuple[int, ...]) -> list[int] | None:
    """How many blocks of ``fine`` lie in each block of ``coarse``; None if one is cut."""
    home: dict[int, int] = {}
    for f, c in zip(fine, coarse):
        if home.setdefault(f, c) != c:
            return None
    counts = [0] * (max(coarse) + 1)
    for c in home.values():
        counts[c] += 1
    return counts


def upper_tail(z: float, skewness: float) -> float:
    """P(Z >= z) of a Pearson type III variable with mean 0, variance 1 and this skewness: a shifted gamma."""
    if abs(skewness) < NEARLY_NORMAL:
        return float(ndtr(-z))
    shape, flip = 4 / skewness**2, math.copysign(1.0, skewness)
    at = max(0.0, shape + flip * z * math.sqrt(shape))
    return float(gammaincc(shape, at) if flip > 0 else gammainc(shape, at))
