"""Groups of points: sums over groups, and k-means (k-means++ seeding, Lloyd's iterations) on points in memory."""

from __future__ import annotations

import numpy as np

ITERATIONS = 100
CANCELLED = 1e-8  #: share of ‖x‖² + ‖y‖² below which ‖x − y‖² is not trusted to inner products


def lloyd(points: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """At most m centres ``(m', d)`` of points ``(k, d)``; fewer where there are fewer distinct points."""
    middle = points.mean(axis=0)
    points = points - middle  # distances are formed from inner products, which an offset would drown
    centres = _plus_plus(points, m, rng)
    groups = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        found = _nearest(points, centres)
        if np.array_equal(found, groups):
            break
        groups = found
        counts = np.bincount(groups, minlength=len(centres))
        filled = counts > 0  # a centre that lost all its points stays where it is
        centres[filled] = sum_by_group(points, groups, len(centres))[filled] / counts[filled, None]
    found_centres: np.ndarray = centres + middle
    return found_centres


def nearest(points: np.ndarray, centres: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
    """Index of the nearest centre for each point, the first one at ties; ``allowed (k, m)`` rules some out."""
    shift = centres.mean(axis=0)  # an offset would drown inner products
    return _nearest(points - shift, centres - shift, allowed)


def _nearest(points: np.ndarray, centres: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
    distances = np.einsum("ij,ij->i", centres, centres) - 2 * (points @ centres.T)  # ‖x‖² is the same for all centres
    if allowed is not None:
        distances[~allowed] = np.inf
    found: np.ndarray = distances.argmin(axis=1)
    return found


def sum_by_group(points: np.ndarray, groups: np.ndarray, m: int) -> np.ndarray:
    """Sums ``(m, d)`` of points ``(k, d)`` over groups ``(k,)``, −1 for none; O(k d) whatever m is."""
    from scipy.sparse import csr_array  # imported where there are groups: most measurements wait for it in vain

    member = np.flatnonzero(groups >= 0)
    shape = (m, len(points))
    sums: np.ndarray = csr_array((np.ones(len(member)), (groups[member], member)), shape=shape) @ points
    return sums


def _plus_plus(points: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Seeds by squared distance to the seeds so far (Arthur and Vassilvitskii 2007); stops when none are left."""
    lengths = np.einsum("ij,ij->i", points, points)
    chosen = [int(rng.integers(len(points)))]
    distances = _squared_distances(points, lengths, chosen[0])
    while len(chosen) < m:
        total = distances.sum()
        if not total > 0:
            break
        chosen.append(int(rng.choice(len(points), p=distances / total)))
        distances = np.minimum(distances, _squared_distances(points, lengths, chosen[-1]))
    return points[chosen].copy()


def _squared_distances(points: np.ndarray, lengths: np.ndarray, own: int) -> np.ndarray:
    """‖x_i − x_own‖² from inner products; those that cancel, as of equal points, from the points themselves."""
    scale = lengths + lengths[own]
    squares: np.ndarray = scale - 2 * (points @ points[own])
    near = np.flatnonzero(squares <= CANCELLED * scale)
    gap = points[near] - points[own]
    squares[near] = np.einsum("ij,ij->i", gap, gap)
    return squares
