"""Dense n × n NumPy oracles for Nyström, bounds and ANOVA, and the data and landmarks they are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DATA = (
    "gaussian",
    "near rotated",
    "collapsed",
    "relu offset",
    "rank one",
    "zero student",
    "spikes",
    "one class",
    "ill conditioned",
)
LANDMARKS = ("exact centres", "sampled", "duplicated", "external", "stale", "nearest")


@dataclass
class Case:
    """Features, landmark vectors and a common assignment."""

    X_S: np.ndarray
    X_T: np.ndarray
    D_S: np.ndarray
    D_T: np.ndarray
    y: np.ndarray
    exact: bool
    strategy: str


def features(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(X_S, X_T, labels)`` of 1 to 24 examples and 1 to 7 features."""
    n, d_S, d_T, L = (int(rng.integers(low, high)) for low, high in ((1, 25), (1, 8), (1, 8), (1, 10)))
    y = rng.integers(0, L, n)
    X_S, X_T = rng.standard_normal((n, d_S)), rng.standard_normal((n, d_T))
    match kind:
        case "near rotated":
            X_T = X_S @ np.linalg.qr(rng.standard_normal((d_S, d_S)))[0]
            X_T = X_T + 10 ** rng.uniform(-8, 0) * rng.standard_normal(X_T.shape)
        case "collapsed":
            spread = 10 ** rng.uniform(-9, -1)
            X_S = rng.standard_normal((L, d_S))[y] + spread * X_S
            X_T = rng.standard_normal((L, d_T))[y] + spread * X_T
        case "relu offset":
            X_S, X_T = np.maximum(X_S, 0) + rng.uniform(0, 30), np.maximum(X_T, 0) + rng.uniform(0, 30)
        case "rank one":
            X_S = np.outer(X_S[:, 0], rng.standard_normal(d_S))
            X_T = np.outer(X_T[:, 0], rng.standard_normal(d_T))
        case "zero student":
            X_S = np.zeros_like(X_S)
        case "spikes":
            X_S[rng.integers(n)] *= 1e3
            X_T[rng.integers(n)] *= 1e3
        case "one class":
            y = np.zeros(n, int)
        case "ill conditioned":
            X_S, X_T = X_S * np.logspace(0, -8, d_S), X_T * np.logspace(-8, 0, d_T)
    scale = 10 ** rng.uniform(-4, 4)
    return scale * X_S, scale * X_T, y


def with_landmarks(kind: str, X_S: np.ndarray, X_T: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Case:
    """Landmarks of one of the kinds, up to 9 of them: more than features, more than examples."""
    n, L = len(y), int(y.max()) + 1
    match kind:
        case "exact centres":
            return Case(X_S, X_T, means(X_S, y, L), means(X_T, y, L), y, True, "class-means")
        case "sampled":
            rows = rng.permutation(n)[: int(rng.integers(1, 10))]
        case "duplicated":
            rows = rng.integers(0, n, int(rng.integers(1, 10)))
        case "external":
            m = int(rng.integers(1, 10))
            D_S = 10 ** rng.uniform(-3, 3) * np.linalg.norm(X_S) * rng.standard_normal((m, X_S.shape[1]))
            D_T = 10 ** rng.uniform(-3, 3) * np.linalg.norm(X_T) * rng.standard_normal((m, X_T.shape[1]))
            return Case(X_S, X_T, D_S, D_T, rng.integers(0, m, n), False, "external")
        case "stale":
            drift = 10 ** rng.uniform(-3, 0)
            old = [X + drift * np.abs(X).mean() * rng.standard_normal(X.shape) for X in (X_S, X_T)]
            return Case(X_S, X_T, means(old[0], y, L), means(old[1], y, L), y, False, "external")
        case "nearest":
            D_S, D_T = means(X_S, y, L), means(X_T, y, L)
            nearest = ((X_T[:, None] - D_T) ** 2).sum(axis=2).argmin(axis=1)
            return Case(X_S, X_T, D_S, D_T, nearest, False, "external")
    return Case(X_S, X_T, X_S[rows], X_T[rows], rng.integers(0, len(rows), n), False, "given")


def kernel(X: np.ndarray) -> np.ndarray:
    return X @ X.T


def truth(X_S: np.ndarray, X_T: np.ndarray) -> float:
    """‖K_S − K_T‖_F."""
    return float(np.linalg.norm(kernel(X_S) - kernel(X_T)))


def one_hot(y: np.ndarray, L: int) -> np.ndarray:
    return (y[:, None] == np.arange(L)).astype(float)


def means(X: np.ndarray, y: np.ndarray, L: int) -> np.ndarray:
    """Class means by a loop; zero for an empty class."""
    return np.array([X[y == c].mean(axis=0) if (y == c).any() else np.zeros(X.shape[1]) for c in range(L)])


def projector(y: np.ndarray) -> np.ndarray:
    """Π on the indicators of the classes that occur, ``(n, n)``."""
    P = np.zeros((len(y), len(y)))
    for c in np.unique(y[y >= 0]):
        member = y == c
        P[np.ix_(member, member)] = 1 / member.sum()
    return P


def nystrom(X: np.ndarray, D: np.ndarray) -> np.ndarray:
    """``C W⁺ Cᵀ`` by the book."""
    C = X @ D.T
    return C @ np.linalg.pinv(D @ D.T, rcond=1e-10, hermitian=True) @ C.T


def half_inverse(W: np.ndarray) -> np.ndarray:
    """``W^{+½}`` from eigenvalues of W."""
    values, vectors = np.linalg.eigh(W)
    kept = values > 1e-10 * max(values.max(), 1e-300)
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def tail(X: np.ndarray, r: int) -> float:
    """‖K − K_r‖_F from eigenvalues of the n × n kernel."""
    return float(np.linalg.norm(np.sort(np.linalg.eigvalsh(kernel(X)))[::-1][r:]))


def master(case: Case) -> np.ndarray:
    """``M = dC Yᵀ + Y dCᵀ − Y dW Yᵀ``, n × n."""
    Y = one_hot(case.y, len(case.D_S))
    dC = case.X_S @ case.D_S.T - case.X_T @ case.D_T.T
    dW = case.D_S @ case.D_S.T - case.D_T @ case.D_T.T
    return dC @ Y.T + Y @ dC.T - Y @ dW @ Y.T
