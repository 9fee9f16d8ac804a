"""Students made from a teacher by one known injury, and what the first sentence must find (and must not say)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLASSES, N, D = 10, 800, 32


@dataclass(frozen=True)
class Case:
    """A pair with its labels; ``says`` holds alternatives, one of which must stand in the sentence."""

    teacher: np.ndarray
    student: np.ndarray
    labels: np.ndarray
    says: tuple[str, ...]
    never: tuple[str, ...]


def features(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(CLASSES, size=N)
    base = 1.5 * rng.standard_normal((CLASSES, D))[labels] + rng.standard_normal((N, D))
    X = {
        "relu": lambda: np.maximum(base, 0),
        "centred": lambda: base - base.mean(axis=0),
        "unit rows": lambda: base / np.linalg.norm(base, axis=1, keepdims=True),
        "heavy": lambda: np.maximum(base, 0) * np.exp(0.5 * rng.standard_normal((N, 1))),
    }[kind]()
    return X, labels


def turned(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return X @ np.linalg.qr(rng.standard_normal((X.shape[1], X.shape[1])))[0]


def _scale(T, y, rng):
    s = rng.choice([0.1, 0.3, 0.5, 2.0, 3.0, 5.0])
    return T, s * turned(T, rng)


def _mean_only(T, y, rng):
    mu = 2 * np.sqrt(np.mean(T**2)) * rng.standard_normal(D)
    other = features("centred", rng)[0] * np.sqrt(np.mean(T**2))
    return T + mu, other + mu


def _unrelated(T, y, rng):
    return T, features("relu", rng)[0]


def _shuffled(T, y, rng):
    return T, turned(T, rng)[rng.permutation(N)]


def _invertible(T, y, rng):
    U, V = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(2))
    return T, T @ (U * np.logspace(0, -rng.uniform(1, 4), D)) @ V.T


def _few_directions(T, y, rng):
    _, sigma, Vt = np.linalg.svd(T, full_matrices=False)
    kept = np.sqrt(np.cumsum(sigma**4) / np.sum(sigma**4))
    k = min(int(np.searchsorted(kept, rng.uniform(0.7, 0.95))) + 1, D // 4)
    return T, turned(T @ Vt[:k].T @ Vt[:k], rng)


def _lost_class(T, y, rng):
    S, lost = T.copy(), y == 3
    S[lost] = T.mean(axis=0) + 0.1 * T.std() * rng.standard_normal((int(lost.sum()), D))
    return T, turned(S, rng)


def _within_scramble(T, y, rng):
    S = T.copy()
    for c in range(CLASSES):
        rows = np.flatnonzero(y == c)
        S[rows] = T[rng.permutation(rows)]
    return T, turned(S, rng)


def _collapse(T, y, rng):
    return T, np.tile(T[:1] + rng.standard_normal((1, D)), (N, 1))


def _outliers(T, y, rng):
    A, B = features("centred", rng)[0], features("centred", rng)[0]
    A[:8] = B[:8] = 100 * rng.standard_normal((8, D))
    return A, B


def _noise(T, y, rng):
    return T, turned(T, rng) + np.sqrt(np.mean(T**2)) * rng.standard_normal(T.shape)


def _amplitude(T, y, rng):
    T = T + 2 * np.sqrt(np.mean(T**2)) * rng.standard_normal(D)
    mean = T.mean(axis=0)
    return T, mean + 0.05 * (T - mean)


ALL = ("relu", "centred", "unit rows", "heavy")
ACCUSATIONS = (
    "chance", "constant", "collapsed", "outlier", "carry", "carries", "mean direction", "rescal", "scale", "amplitude",
    "linear head would", "within classes", "widen", "directions", "no cheap repair", "retrain",
)  # fmt: skip
INJURIES: dict[str, tuple[Callable, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "scale": (_scale, ("rescal", "scale"), ("retrain", "chance", "outlier"), ("relu", "centred", "heavy")),
    "mean only": (_mean_only, ("mean", "chance"), ("most of", "most is there", "scale", "rescal"), ("relu", "centred")),
    "unrelated": (_unrelated, ("chance",), ("scale", "rescal", "is there"), ALL),
    "rows shuffled": (_shuffled, ("chance",), ("scale", "rescal", "is there"), ALL),
    "invertible map": (_invertible, ("linear head",), ("retrain", "scale", "rescal"), ("relu", "centred")),
    "few directions": (_few_directions, ("directions", "rank", "width"), ("scale", "rescal"), ("relu", "centred")),
    "lost class": (_lost_class, ("class 3 ",), ("scale", "rescal"), ("relu", "centred")),
    "within-class scramble": (
        _within_scramble, ("within classes",), ("scale", "rescal", "most of", "most is there"),
        ("relu", "centred", "unit rows"),
    ),
    "collapse": (_collapse, ("constant", "collapsed"), ("scale", "rescal"), ALL),
    "outliers": (_outliers, ("examples carry",), ("most of", "most is there"), ("centred",)),
    "noise": (_noise, ("no cheap repair",), ("scale", "rescal"), ("relu", "centred", "unit rows")),
    "amplitude": (_amplitude, ("amplitude", "deviations"), ("chance",), ("relu", "centred")),
}  # fmt: skip
SHAMS: dict[str, Callable] = {
    "rotation": lambda T, rng: turned(T, rng),
    "float16": lambda T, rng: T.astype(np.float16),
    "another batch size": lambda T, rng: (T.astype(np.float32) * np.float32(1 + 1e-7)).astype(np.float32),
    "noise 1e-4": lambda T, rng: turned(T, rng) + 1e-4 * np.sqrt(np.mean(T**2)) * rng.standard_normal(T.shape),
}


def injured(name: str, kind: str, seed: int) -> Case:
    make, says, never, _ = INJURIES[name]
    rng = np.random.default_rng([seed, sorted(INJURIES).index(name), ALL.index(kind)])
    T, labels = features(kind, rng)
    teacher, student = make(T, labels, rng)
    return Case(teacher, student, labels, says, never)


def shams(seed: int) -> Iterator[tuple[str, Case]]:
    for kind in ALL:
        for name, make in SHAMS.items():
            rng = np.random.default_rng([seed, 99, ALL.index(kind)])
            T, labels = features(kind, rng)
            says = ("nearly", "most", "equal", "exactly")
            yield f"{name} of {kind}", Case(T, make(T, rng), labels, says, ACCUSATIONS)
