"""The ladder from kernels against decompositions of the rows, and against the ladder from Gram sums."""

import numpy as np
import pytest

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.distance.kernel_pair import KernelPair
from kernelscope.kernels.distance.own_kernel import own_kernel
from kernelscope.kernels.self_check.attacks import head_by_rows
from kernelscope.kernels.similarity.kernel_ladder import HeadStart, best_head, kernel_rungs
from kernelscope.kernels.similarity.ladder import Rungs, rungs
from kernelscope.kernels.similarity.procrustes import procrustes, procrustes_of_kernels
from tests.kernels.similarity.test_ladder import MIXINGS


def climb(X_S: np.ndarray, X_T: np.ndarray) -> Rungs:
    S, T = own_kernel(X_S), own_kernel(X_T)
    pair = KernelPair.of(student=S, teacher=T)
    found = kernel_rungs(pair, KernelPair(S.centred(), T.centred(), pair.same), HeadStart(S))
    for rung in (found.scaled, found.centred, found.head, found.head_held_out, found.width_floor):
        assert rung is None or rung.interval[0] <= rung <= rung.interval[1]
    return found


def teacher(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.maximum(rng.standard_normal((10, d))[rng.integers(10, size=n)] + rng.standard_normal((n, d)), 0)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_the_head_equals_a_decomposition_of_the_rows(mixing):
    rng = np.random.default_rng(0)
    X_T = teacher(rng, 200, 32)
    U, V = (np.linalg.qr(rng.standard_normal((32, 32)))[0] for _ in range(2))
    X_S = MIXINGS[mixing](X_T, U, V)
    S = own_kernel(X_S)
    found = best_head(KernelPair.of(student=S, teacher=own_kernel(X_T)), HeadStart(S))
    truth = head_by_rows(student=X_S, teacher=X_T)
    assert found == pytest.approx(truth, abs=1e-8)
    assert found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
    assert found.rank == X_S.shape[1]


PAIRS = {
    "narrow": lambda rng, T: T[:, :8] + 0.1 * rng.standard_normal((len(T), 8)),
    "near": lambda rng, T: T + 1e-5 * rng.standard_normal(T.shape),
    "rotated": lambda rng, T: T @ np.linalg.qr(rng.standard_normal((T.shape[1],) * 2))[0],
    "offset": lambda rng, T: T + 1e3,
    "float32": lambda rng, T: (T + 0.3 * rng.standard_normal(T.shape)).astype(np.float32),
    "dead": lambda rng, T: np.hstack([T[:, :5], np.zeros((len(T), 3)), T[:, :2]]),
    "zero": lambda rng, T: np.zeros((len(T), 4)),
    "constant": lambda rng, T: np.full((len(T), 4), 0.1),
    "wide": lambda rng, T: T @ rng.standard_normal((T.shape[1], 300)),
    "equal": lambda rng, T: T.copy(),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_every_rung_is_that_of_the_gram_sums(pair):
    rng = np.random.default_rng(0)
    X_T = teacher(rng, 120, 20)
    X_S = PAIRS[pair](rng, X_T)
    scaled = well_scaled_sums(teacher=X_T, student=X_S, halves=True)
    centred = centre(scaled)
    expected, found = rungs(scaled, centred), climb(X_S, X_T)
    for name in ("scaled", "centred", "head", "head_held_out", "width_floor"):
        one, other = getattr(expected, name), getattr(found, name)
        assert other == (one if one is None else pytest.approx(one, rel=1e-6, abs=2e-9)), name
    S, T = own_kernel(X_S).centred(), own_kernel(X_T).centred()
    distance = procrustes_of_kernels(KernelPair(S, T, scaled.same))
    assert distance == (one if (one := procrustes(centred)) is None else pytest.approx(one, rel=1e-6, abs=1e-12))


def test_a_student_that_spans_all_examples_leaves_nothing_to_a_head():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((30, 500))
    for X_S in (rng.standard_normal((30, 30)), rng.standard_normal((30, 400))):
        found = climb(X_S, X_T)
        assert (found.head, found.head.rank, found.head_held_out, found.width_floor) == (0.0, 30, None, 0.0)


def test_a_wide_student_of_fewer_directions_than_examples_leaves_the_rest():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((30, 500))
    X_S = rng.standard_normal((30, 6)) @ rng.standard_normal((6, 400))
    found = climb(X_S, X_T)
    P = X_S @ np.linalg.pinv(X_S, rcond=1e-10)
    K = X_T @ X_T.T
    assert found.head.rank == 6
    assert found.head == pytest.approx(np.linalg.norm(K - P @ K @ P) / np.linalg.norm(K), rel=1e-9)
