"""Networks that have nothing to do with one another, of many kinds; and a student that kept some of its teacher."""

import numpy as np

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.statistics.chance import Chance, chance
from kernelscope.kernels.statistics.moments import both_moments
from kernelscope.kernels.statistics.permutations import shuffled

CLASSES = 10


def network(kind: str, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal((n, d))
    if kind == "gauss":
        return noise
    if kind == "relu":
        return np.maximum(_centres(n, d, rng) + noise, 0)
    if kind == "lowrank":
        return rng.standard_normal((n, 2)) @ rng.standard_normal((2, d))
    if kind == "classes":
        return _centres(n, d, rng) + 0.1 * noise
    if kind == "two_classes":
        return np.outer(rng.integers(2, size=n), np.ones(d)) + 1e-3 * noise
    if kind == "rare":
        return np.outer(rng.random(n) < 0.02, np.ones(d)) + 0.01 * noise
    if kind == "one_outlier":
        noise[rng.integers(n)] *= 100
        return noise
    if kind == "t3":
        return rng.standard_t(3, size=(n, d))
    if kind == "lognormal":
        return np.exp(1.5 * rng.standard_normal((n, 1))) * noise
    raise ValueError(kind)


KINDS = ("gauss", "relu", "lowrank", "classes", "two_classes", "rare", "one_outlier", "t3", "lognormal")


def _centres(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((CLASSES, d))[rng.integers(CLASSES, size=n)]


def unrelated(kind: str, n: int, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A student and a teacher; beside classes stands a network without, and beside two directions one."""
    X_S, X_T = network(kind, n, d, rng), network(kind, n, d, rng)
    if kind == "relu":
        X_T = np.maximum(rng.standard_normal((n, d)), 0)
    if kind == "lowrank":
        X_T = rng.standard_normal((n, 1)) @ rng.standard_normal((1, d))
    return X_S, X_T


def related(kind: str, n: int, d: int, kept: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The teacher, turned, with all but a share of its examples shuffled among themselves; and the teacher."""
    X_T = network(kind, n, d, rng)
    X_S = X_T @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    moved = rng.permutation(n)[round(kept * n) :]
    X_S[moved] = X_S[rng.permutation(moved)]
    return X_S, X_T


def chance_of(X_S: np.ndarray, X_T: np.ndarray, *, shuffles: bool = True, seed: int = 0) -> Chance:
    """What a report says of chance; without shuffles, from sums alone."""
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    middle = centre(scaled)
    shuffling = (lambda: shuffled(teacher=X_T, student=X_S, seed=seed)) if shuffles else None
    return chance(scaled.sums, middle.sums, both_moments(middle), shuffling)
