"""RBF and polynomial kernels against fifty decimal digits: the proved interval holds what floats miss."""

from decimal import Decimal, getcontext

import numpy as np
import pytest

import kernelscope as ks


def exact_loss(student, teacher, entry) -> Decimal:
    getcontext().prec = 50
    rows = [[[Decimal(float(v)) for v in row] for row in X] for X in (student, teacher)]
    difference = norm = Decimal(0)
    for i in range(len(student)):
        for j in range(len(student)):
            s, t = (entry(X[i], X[j]) for X in rows)
            difference += (s - t) ** 2
            norm += t * t
    return (difference / norm).sqrt()


def rbf(gamma):
    return lambda x, y: (-gamma * sum((a - b) ** 2 for a, b in zip(x, y))).exp()


@pytest.mark.parametrize(("spread", "gamma"), [(1.0, 0.5), (1e4, 1e-3), (1e6, 1.0), (1e7, 0.1)])
def test_the_rbf_interval_holds_where_distances_cancel(spread, gamma):
    missed_by_value = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        far = spread * rng.choice([-1.0, 1.0], (14, 1))
        T = far + rng.standard_normal((14, 3))
        S = far + rng.standard_normal((14, 3))
        pair = ks.measure(teacher=T, student=S, kernel=f"rbf:{gamma}").pairs[0]
        truth = exact_loss(S, T, rbf(Decimal(gamma)))
        low, high = (Decimal(end) for end in pair.rounding_interval)
        assert low <= truth <= high
        assert pair.rounding_certified
        missed_by_value += abs(Decimal(pair.transfer_loss) - truth) > Decimal("1e-13")
    assert missed_by_value or spread < 1e6  # the interval had something to hold


@pytest.mark.parametrize(("degree", "offset"), [(1, 1), (3, 1), (2, 0), (7, 2)])
def test_the_polynomial_interval_holds(degree, offset):
    rng = np.random.default_rng(degree)
    T, S = (rng.standard_normal((14, 3)) + 5 for _ in range(2))
    pair = ks.measure(teacher=T, student=S, kernel=f"poly:{degree},{offset}").pairs[0]
    scales = {id(X): Decimal(1 / float(np.einsum("ij,ij->i", X, X).mean())) for X in (S, T)}
    getcontext().prec = 50

    def entries(X):
        rows = [[Decimal(float(v)) for v in row] for row in X]
        return [
            [(sum(a * b for a, b in zip(x, y)) * scales[id(X)] + Decimal(offset)) ** degree for y in rows] for x in rows
        ]

    K_S, K_T = entries(S), entries(T)
    cells = [(s, t) for row_s, row_t in zip(K_S, K_T) for s, t in zip(row_s, row_t)]
    truth = (sum((s - t) ** 2 for s, t in cells) / sum(t * t for _, t in cells)).sqrt()
    low, high = (Decimal(end) for end in pair.rounding_interval)
    assert low <= truth <= high


def test_each_network_has_a_scale_of_its_own_unless_one_is_given():
    X = np.random.default_rng(0).standard_normal((80, 4))
    for kernel in ("rbf", "poly:2"):
        pair = ks.measure(teacher=X, student=4 * X, kernel=kernel).pairs[0]
        assert pair.transfer_loss <= 1e-12
        assert pair.kernel.startswith("teacher ")
    assert ks.measure(teacher=X, student=4 * X, kernel="rbf:0.1").pairs[0].transfer_loss > 0.1


def test_intervals_of_rungs_hold_the_dense_values():
    rng = np.random.default_rng(0)
    T, S = (rng.standard_normal((50, 4)) for _ in range(2))
    pair = ks.measure(teacher=T, student=S, kernel="rbf:0.2").pairs[0]
    K_S, K_T = (np.exp(-0.2 * ((X[:, None] - X[None]) ** 2).sum(-1)) for X in (S, T))
    H = np.eye(50) - 1 / 50
    for name, (A, B) in {"scaled": (K_S, K_T), "centred": (H @ K_S @ H, H @ K_T @ H)}.items():
        cosine = np.sum(A * B) / np.linalg.norm(A) / np.linalg.norm(B)
        low, high = pair.intervals[f"ladder.{name}"]
        assert low - 1e-12 <= np.sqrt(1 - cosine**2) <= high + 1e-12
        assert high - low < 1e-6
