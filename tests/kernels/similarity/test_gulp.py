"""GULP against n × n kernels of ridge predictions, and what it says of probes; the ridge kernel's interval."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelscope.errors import DegenerateKernel, NumericalError
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import storage_floor, transfer_loss, well_scaled_sums
from kernelscope.kernels.similarity.gulp import gulp, whitened


def distance(X_S, X_T, rho=1e-2):
    return gulp(centre(well_scaled_sums(teacher=X_T, student=X_S)), rho)


def predictions(X, rho):
    """H, n × n: what ridge regression on centred features makes of targets, with λ = ρ tr(Σ) / d."""
    X = X - X.mean(axis=0)
    n, d = X.shape
    covariance = X.T @ X / n
    penalty = rho * np.trace(covariance) / d * np.eye(d)
    return X @ np.linalg.solve(covariance + penalty, X.T) / n


@given(
    n=st.integers(3, 40),
    d_S=st.integers(1, 7),
    d_T=st.integers(1, 7),
    seed=st.integers(0, 2**16),
    rho=st.sampled_from([1e-4, 1e-2, 1.0, 30.0]),
)
def test_it_is_the_distance_of_dense_kernels_of_predictions(n, d_S, d_T, seed, rho):
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((n, d_S)) + 2, 5 * rng.standard_normal((n, d_T)) - 1
    H_S, H_T = predictions(X_S, rho), predictions(X_T, rho)
    assert distance(X_S, X_T, rho) == pytest.approx(np.linalg.norm(H_S - H_T), rel=1e-8, abs=1e-10)
    assert distance(X_T, X_S, rho) == pytest.approx(distance(X_S, X_T, rho), rel=1e-8, abs=1e-10)
    loss = transfer_loss(teacher=whitened(X_T, rho), student=whitened(X_S, rho))
    assert loss.value == pytest.approx(np.linalg.norm(H_S - H_T) / np.linalg.norm(H_T), rel=1e-8, abs=1e-10)
    assert not loss.certified and loss.interval[0] <= loss.value <= loss.interval[1]


def test_no_ridge_probe_on_any_targets_notices_more():
    """Probes are fitted by least squares on rows extended by the penalty, as one would without knowing of H."""
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((80, 5)), rng.standard_normal((80, 4))
    X_S[:, :4] += 2 * X_T
    answers = []
    targets = rng.standard_normal((80, 200))
    for X in (X_S, X_T):
        X = X - X.mean(axis=0)
        penalty = math.sqrt(0.05 * np.sum(X**2) / X.shape[1]) * np.eye(X.shape[1])
        fitted = np.linalg.lstsq(np.vstack([X, penalty]), np.vstack([targets, np.zeros((X.shape[1], 200))]))[0]
        answers.append(X @ fitted)
    apart = np.linalg.norm(answers[0] - answers[1], axis=0) / np.linalg.norm(targets, axis=0)
    found = distance(X_S, X_T, 0.05)
    assert apart.max() <= found
    assert math.sqrt(np.mean(apart**2) * 80) == pytest.approx(found, rel=0.1)  # E ‖(H_S − H_T) y‖² = gulp² E y²


def test_it_ignores_rotation_scale_shift_and_order_but_not_other_linear_maps():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((60, 6)), rng.standard_normal((60, 4))
    Q, order = np.linalg.qr(rng.standard_normal((6, 6)))[0], rng.permutation(60)
    assert distance((7 * X_S @ Q + 2)[order], X_T[order]) == pytest.approx(distance(X_S, X_T), rel=1e-9)
    stretched = X_T @ np.diag([1, 3, 10, 30.0])
    assert distance(X_T, X_T) == 0.0
    assert distance(3 * X_T @ Q[:4, :4] @ np.linalg.inv(Q[:4, :4]), X_T) < 1e-11
    assert distance(stretched, X_T, 1e-2) > 0.1 > 1e-2 > distance(stretched, X_T, 1e-6)


def test_nearly_equal_networks_are_resolved_where_a_difference_would_cancel():
    rng = np.random.default_rng(0)
    X, noise = rng.standard_normal((200, 6)), rng.standard_normal((200, 6))
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    per_noise = [distance((X + e * noise) @ Q, X) / e for e in (1e-4, 1e-6, 1e-9, 1e-11)]
    assert per_noise == pytest.approx([per_noise[0]] * 4, rel=1e-2)
    gone = replace(centre(well_scaled_sums(teacher=X, student=X + 1e-6 * noise)), once=True)
    assert gulp(gone) is None


def exact_loss(X_S, X_T, rho):
    """The loss under the ridge kernel in extended precision: eliminations on (d, d) systems."""
    both = []
    for X in (X_S, X_T):
        X = X.astype(np.longdouble)
        X = X - X.mean(axis=0)
        G = X.T @ X
        system = np.hstack([G + rho * np.trace(G) / len(G) * np.eye(len(G), dtype=np.longdouble), X.T])
        for i in range(len(G)):
            system[i] /= system[i, i]
            for j in range(len(G)):
                if j != i:
                    system[j] -= system[j, i] * system[i]
        both.append(X @ system[:, len(G) :])
    return np.sqrt(((both[0] - both[1]) ** 2).sum() / (both[1] ** 2).sum())


@pytest.mark.parametrize("rho", [1e-8, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kind", ["plain", "offset", "scales", "near", "huge", "float32"])
def test_the_estimated_interval_holds_the_loss_of_the_features_as_stored(kind, rho):
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((300, 5))
    X_S = X_T + (1e-6 if kind == "near" else 0.3) * rng.standard_normal((300, 5))
    if kind == "offset":
        X_S, X_T = X_S + 1e4, X_T - 1e3
    if kind == "scales":
        X_S, X_T = X_S * np.logspace(0, -4, 5), X_T * np.logspace(-3, 0, 5)
    if kind == "huge":
        X_S, X_T = X_S * 2.0**300, X_T * 2.0**-300
    if kind == "float32":
        X_S, X_T = X_S.astype(np.float32), X_T.astype(np.float32)
    loss = transfer_loss(teacher=whitened(X_T, rho), student=whitened(X_S, rho))
    scale = (2.0**-300, 2.0**300) if kind == "huge" else (1, 1)
    exact = exact_loss(X_S * scale[0], X_T * scale[1], rho)
    assert loss.interval[0] <= exact <= loss.interval[1]
    assert rho < 1e-2 or loss.interval[1] - loss.interval[0] <= 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_it_holds_the_loss_where_whitening_itself_is_what_rounds(seed):
    """Small directions that no column shows, and a λ that does not hide them."""
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((300, 5))
    X_S = X_T + 0.3 * rng.standard_normal((300, 5))
    Q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    X_S, X_T = X_S * np.logspace(0, -6, 5) @ Q, X_T * np.logspace(-7, 0, 5) @ Q
    loss = transfer_loss(teacher=whitened(X_T, 3e-11), student=whitened(X_S, 3e-11))
    assert loss.interval[0] <= exact_loss(X_S, X_T, 3e-11) <= loss.interval[1]


def test_storage_in_less_than_float64_counts_as_much_as_whitening_makes_of_it():
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((400, 6)) * np.logspace(0, -2, 6) + 3
    stored, rho = X_T.astype(np.float32), 1e-3
    moved = transfer_loss(teacher=whitened(X_T, rho), student=whitened(stored.astype(np.float64), rho))
    floor = storage_floor(well_scaled_sums(teacher=whitened(stored, rho), student=whitened(stored, rho)))
    assert 0 < moved.norm_difference <= floor
    assert storage_floor(well_scaled_sums(teacher=whitened(X_T, rho), student=whitened(X_T, rho))) == 0


def test_constant_features_and_those_that_are_not_finite_are_refused_by_name():
    X = np.random.default_rng(0).standard_normal((20, 3))
    assert distance(np.ones((20, 2)), X) is None
    with pytest.raises(DegenerateKernel, match="student features are the same for all examples"):
        whitened(np.ones((20, 2)), name="student features")
    X[4, 1] = np.nan
    with pytest.raises(NumericalError, match="features hold 1 NaN or infinite values, first in row 4"):
        whitened(X)
