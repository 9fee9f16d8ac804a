"""ks.metrics: plain functions of two feature matrices, and one that takes batches."""

import doctest
import inspect
import math
import pickle

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope import metrics
from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError

RNG = np.random.default_rng(0)
Y_LABELS = RNG.integers(0, 4, 60)
X = 2 * RNG.standard_normal((4, 5))[Y_LABELS] + RNG.standard_normal((60, 5))
Y = X[:, :3] + 0.7 * RNG.standard_normal((60, 3))
SYMMETRIC = ("cka", "cka_debiased", "gulp", "mutual_knn", "procrustes", "within_class_cka")


def called(name, A, B):
    return getattr(metrics, name)(A, B, *((Y_LABELS,) if name == "within_class_cka" else ()))


def centred_kernel(A):
    H = np.eye(len(A)) - 1 / len(A)
    return H @ A @ A.T @ H


def cosine(K, L):
    return np.sum(K * L) / np.linalg.norm(K) / np.linalg.norm(L)


def debiased(K, L):
    """HSIC_1 of Song and others over those of each with itself."""

    def hsic(K, L):
        n, K, L = len(K), K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        whole = K.sum() * L.sum() / ((n - 1) * (n - 2))
        return np.trace(K @ L) + whole - 2 / (n - 2) * (K @ L).sum()

    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


def nearest(A, k):
    D = ((A[:, None] - A) ** 2).sum(axis=2)
    np.fill_diagonal(D, np.inf)
    return [set(row) for row in np.argsort(D, axis=1)[:, :k]]


def ridge(A):
    A = A - A.mean(axis=0)
    return A @ np.linalg.inv(A.T @ A + 0.01 * np.sum(A**2) / A.shape[1] * np.eye(A.shape[1])) @ A.T


def inside(A):
    return np.array([row - A[own == Y_LABELS].mean(axis=0) for row, own in zip(A, Y_LABELS)])


DENSE = {
    "cka": cosine(centred_kernel(X), centred_kernel(Y)),
    "cka_debiased": debiased(X @ X.T, Y @ Y.T),
    "gulp": np.linalg.norm(ridge(X) - ridge(Y)),
    "kernel_distance": np.linalg.norm(X @ X.T - Y @ Y.T) / np.linalg.norm(Y @ Y.T),
    "mutual_knn": np.mean([len(a & b) / 10 for a, b in zip(nearest(X, 10), nearest(Y, 10))]),
    "procrustes": math.sqrt(
        2
        - 2
        * np.linalg.norm((X - X.mean(0)).T @ Y, "nuc")
        / math.sqrt(np.trace(centred_kernel(X)) * np.trace(centred_kernel(Y)))
    ),
    "within_class_cka": cosine(inside(X) @ inside(X).T, inside(Y) @ inside(Y).T),
}


@pytest.mark.parametrize("name", DENSE)
def test_every_function_is_its_dense_formula_and_a_float(name):
    value = called(name, X, Y)
    assert type(value) is float
    assert value == pytest.approx(DENSE[name], rel=1e-9)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_all_but_the_kernel_distance_are_symmetric(name):
    assert called(name, Y, X) == pytest.approx(called(name, X, Y), rel=1e-9)
    assert metrics.kernel_distance(X, Y) != pytest.approx(metrics.kernel_distance(Y, X), rel=1e-2)


def test_the_kernel_distance_takes_the_student_first():
    assert metrics.kernel_distance(2 * X, X) == pytest.approx(3)
    assert metrics.kernel_distance(X, 2 * X) == pytest.approx(3 / 4)
    assert metrics.kernel_distance(0 * X, X) == 1
    assert metrics.kernel_distance(X[:, :2], X) == ks.transfer_loss(teacher=X, student=X[:, :2]).value


@pytest.mark.parametrize("name", SYMMETRIC)
def test_they_are_unchanged_by_rotation_scale_shift_and_order(name):
    Q = np.linalg.qr(RNG.standard_normal((5, 5)))[0]
    before = called(name, X, Y)
    assert called(name, 3 * X @ Q - 2, Y) == pytest.approx(before, rel=1e-8)
    order = np.arange(60)[::-1]
    if name != "within_class_cka":
        assert called(name, X[order], Y[order]) == pytest.approx(before, rel=1e-8)


@pytest.mark.parametrize("name", DENSE)
def test_a_network_against_itself_is_at_the_end_of_the_range(name):
    end = 0.0 if name in ("kernel_distance", "procrustes", "gulp") else 1.0
    assert called(name, X, X) == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize("name", DENSE)
def test_tensors_lists_and_narrow_types_are_taken(name):
    expected = called(name, X.astype(np.float32), Y.astype(np.float32))
    assert called(name, torch.tensor(X, dtype=torch.float32, requires_grad=True), torch.tensor(Y).float()) == expected
    assert called(name, X.astype(np.float32).tolist(), Y.astype(np.float32).tolist()) == pytest.approx(expected)


def test_labels_may_be_words_or_a_tensor():
    value = metrics.within_class_cka(X, Y, Y_LABELS)
    assert metrics.within_class_cka(X, Y, np.array(list("abcd"))[Y_LABELS]) == value
    assert metrics.within_class_cka(X, Y, torch.tensor(Y_LABELS)) == value


def test_what_does_not_exist_is_an_error_in_one_line_and_never_a_nan():
    constant = np.full((60, 2), 7.0)
    for name in SYMMETRIC:
        if name != "mutual_knn":
            for pair in ((constant, Y), (Y, constant)):
                with pytest.raises(DegenerateKernel, match=r"^[XY] is the same for all 60 examples"):
                    called(name, *pair)
    assert metrics.mutual_knn(constant, Y) == pytest.approx(10 / 59)
    with pytest.raises(DegenerateKernel, match="teacher features are all zero"):
        metrics.kernel_distance(X, 0 * Y)
    with pytest.raises(DegenerateKernel, match="nothing is left within classes"):
        metrics.within_class_cka(X, Y, np.arange(60))
    with pytest.raises(DegenerateKernel, match="debiased CKA does not exist"):
        metrics.cka_debiased(X[:3], Y[:3])


def test_what_does_not_correspond_is_refused():
    bad = X.copy()
    bad[7, 1] = np.nan
    for name in SYMMETRIC:
        with pytest.raises(Mismatch, match=r"X has shape \(59, 5\) and Y \(60, 3\)"):
            called(name, X[:59], Y)
        with pytest.raises(NumericalError, match="Y hold 1 NaN or infinite values, first in row 7"):
            called(name, X, bad)
        with pytest.raises(Mismatch, match=r"X have shape \(60,\), expected \(n, d\)"):
            called(name, X[:, 0], Y)
    with pytest.raises(Mismatch, match="60 neighbours asked for among 60 examples"):
        metrics.mutual_knn(X, Y, k=60)
    with pytest.raises(Mismatch, match=r"labels have shape \(59,\)"):
        metrics.within_class_cka(X, Y, Y_LABELS[:59])
    for rho in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match="expected a positive number"):
            metrics.gulp(X, Y, rho=rho)


def test_batches_give_the_distance_of_all_rows_and_not_a_mean_over_batches():
    distance = ks.metrics.KernelDistance()
    means = []
    for start in range(0, 60, 7):
        x_s, x_t = torch.tensor(X[start : start + 7]), Y[start : start + 7]
        distance.update(x_s, x_t)
        means.append(metrics.kernel_distance(x_s, x_t))
    whole = metrics.kernel_distance(X, Y)
    assert distance.compute() == pytest.approx(whole, rel=1e-12)
    assert distance.compute() != pytest.approx(np.mean(means), rel=1e-3)
    low, high = distance.interval()
    assert low <= distance.compute() <= high and high - low < 1e-12
    assert (distance.n, distance.result().route, distance.result().certified) == (60, "gram", True)


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_small_distances_over_batches_are_those_of_all_rows(noise):
    student = X + noise * RNG.standard_normal(X.shape)
    distance = metrics.KernelDistance()
    for start in range(0, 60, 25):
        distance.update(student[start : start + 25], X[start : start + 25])
    assert distance.compute() == pytest.approx(metrics.kernel_distance(student, X), rel=1e-6)


def test_distances_of_shards_add_up():
    parts = [metrics.KernelDistance() for _ in range(3)]
    for part, rows in zip(parts, (slice(0, 20), slice(20, 21), slice(21, 60))):
        part.update(X[rows], Y[rows])
    whole = metrics.kernel_distance(X, Y)
    both = parts[0] + parts[1]
    assert (both + pickle.loads(pickle.dumps(parts[2]))).compute() == pytest.approx(whole, rel=1e-12)
    assert (parts[0].n, both.n) == (20, 21)
    parts[2].merge(both)
    assert parts[2].compute() == pytest.approx(whole, rel=1e-12)
    empty = metrics.KernelDistance()
    assert (empty + parts[2]).compute() == (parts[2] + empty).compute() == pytest.approx(whole, rel=1e-12)


def test_a_distance_forgets_on_reset_and_refuses_other_widths_and_nothing():
    distance = metrics.KernelDistance()
    for nothing in (distance, distance + metrics.KernelDistance()):
        with pytest.raises(UsageError, match="no rows were added yet"):
            nothing.compute()
    distance.update(X, Y)
    with pytest.raises(Mismatch, match=r"a batch of \(60, 3\) and \(60, 5\) after rows of 5 and 3 features"):
        distance.update(Y, X)
    distance.update(X[:0], Y[:0])
    assert distance.n == 60
    distance.reset()
    distance.update(Y, X)
    assert distance.compute() == pytest.approx(metrics.kernel_distance(Y, X), rel=1e-12)


def test_every_function_says_what_it_takes_and_shows_an_example_that_runs():
    found = doctest.testmod(metrics)
    assert found.failed == 0 and found.attempted >= len(metrics.__all__)
    for name in metrics.__all__:
        page = inspect.getdoc(getattr(metrics, name))
        assert ">>>" in page, name
