"""One point of a trajectory against dense n × n algebra, at any scale, and what it refuses."""

import json
import math

import numpy as np
import pytest

from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError
from kernelscope.kernels.nystrom.choosing import kmeans
from kernelscope.kernels.snapshot import Teacher
from tests.kernels.kernel_oracles import kernel, means

norm = np.linalg.norm


def three_classes(n=40, d_S=5, d_T=7, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X_T = rng.standard_normal((3, d_T))[y] + 0.5 * rng.standard_normal((n, d_T))
    return X_T, X_T[:, :d_S] + 0.3 * rng.standard_normal((n, d_S)), y


def dense(X_T, X_S, groups):
    """Every number of a snapshot by the book: kernels formed, C and W from the groups' means."""
    n, m = len(X_T), int(groups.max()) + 1
    K_T, K_S = kernel(X_T), kernel(X_S)
    D_T, D_S = means(X_T, groups, m), means(X_S, groups, m)
    dC = X_S @ D_S.T - X_T @ D_T.T
    counts = np.bincount(groups)
    H = np.eye(n) - 1 / n
    A, B = H @ K_S @ H, H @ K_T @ H
    e = max(norm(X, axis=1).max() for X in (X_S, X_T))
    term_S, term_T = (norm(X - D[groups], axis=1).sum() for X, D in ((X_S, D_S), (X_T, D_T)))
    term_B = float(counts @ np.abs(dC).sum(axis=0))
    best = (K_S * K_T).sum() / (K_S**2).sum()
    within = [norm(kernel(X - D[groups])) for X, D in ((X_S, D_S), (X_T, D_T))]
    return {
        "n": n,
        "landmarks": m,
        "transfer_loss": norm(K_S - K_T) / norm(K_T),
        "scaled": norm(best * K_S - K_T) / norm(K_T),
        "cka": (A * B).sum() / (norm(A) * norm(B)),
        "norm_teacher": norm(K_T),
        "norm_student": norm(K_S),
        "partial_norm": norm(dC),
        "partial_ratio": norm(dC) / norm(X_T @ D_T.T),
        "estimate": norm(dC) / norm(K_T),
        "expanded_estimate": np.sqrt(counts @ (dC**2).sum(axis=0)) / norm(K_T),
        "min_eigenvalue_teacher": np.linalg.eigvalsh(kernel(D_T))[0],
        "min_eigenvalue_student": np.linalg.eigvalsh(kernel(D_S))[0],
        "theorem2": {
            "e": e,
            "term_a_student": term_S,
            "term_a_teacher": term_T,
            "term_b": term_B,
            "bound": n * e * (term_S + term_T) + term_B,
        },
        "theorem2_frobenius": (
            norm((X_S - D_S[groups]) @ X_S.T) + norm((X_T - D_T[groups]) @ X_T.T) + norm(dC * np.sqrt(counts))
        )
        / norm(K_T),
        "class_centres_gap": math.hypot(*within) / norm(K_T),
    }


def require_equal(found, expected, rel=1e-10):
    named = {name: value for name, value in expected.items() if name in found}
    assert len(named) == len(found) - 1  # all but the bounds
    for name, value in named.items():
        assert found[name] == pytest.approx(value, rel=rel, abs=0), name
    bounds = found["bounds"]
    assert bounds["theorem2"] == pytest.approx(expected["theorem2"]["bound"] / expected["norm_teacher"], rel=rel)
    assert bounds["theorem2_frobenius"] == pytest.approx(expected["theorem2_frobenius"], rel=rel)
    low, high = bounds["class_centres_lower"], bounds["class_centres_upper"]
    assert math.sqrt(high**2 - low**2) == pytest.approx(expected["class_centres_gap"], rel=rel)
    assert low <= found["transfer_loss"] <= high


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_is_that_of_the_dense_kernels(seed):
    X_T, X_S, y = three_classes(seed=seed)
    found = Teacher(X_T, y).against(X_S).to_dict()
    require_equal(found, dense(X_T, X_S, y))
    json.dumps(found, allow_nan=False)


def test_one_teacher_meets_many_students():
    X_T, X_S, y = three_classes()
    teacher = Teacher(X_T, y)
    first = teacher.against(X_S)
    teacher.against(3 * X_S[:, :2])
    assert teacher.against(X_S) == first


def test_without_labels_landmarks_are_cells_of_the_teachers_rows():
    X_T, X_S, _ = three_classes()
    found = Teacher(X_T, None, seed=3).against(X_S).to_dict()
    cells = kmeans(X_T, 4, 3).assignment
    assert cells is not None
    require_equal(found, dense(X_T, X_S, cells))


@pytest.mark.parametrize("factor", [1e-90, 1e-60, 1e60, 1e90])
def test_features_of_any_size_give_the_same_ratios(factor):
    """1e90 squared twice is 1e360, which float64 does not hold."""
    X_T, X_S, y = three_classes()
    plain, scaled = Teacher(X_T, y).against(X_S), Teacher(factor * X_T, y).against(factor * X_S)
    for name in ("transfer_loss", "scaled", "cka", "partial_ratio", "estimate", "expanded_estimate"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), rel=1e-10), name
    for name in ("norm_teacher", "norm_student", "partial_norm", "min_eigenvalue_teacher", "min_eigenvalue_student"):
        assert getattr(scaled, name) == pytest.approx(factor**2 * getattr(plain, name), rel=1e-10), name
    assert plain.theorem2 is not None
    assert scaled.theorem2 is not None
    for name, value in plain.theorem2.items():
        power = 2 if name in ("term_b", "bound") else 1
        assert scaled.theorem2[name] == pytest.approx(factor**power * value, rel=1e-10), name
    printed = {"corollary1_paper", "corollary2_paper"}
    assert set(plain.bounds) - set(scaled.bounds) == printed
    for name, value in scaled.bounds.items():
        assert value == pytest.approx(plain.bounds[name], rel=1e-9), name


@pytest.mark.parametrize("factor", [1e-90, 1e90])
def test_a_student_of_another_size_than_its_teacher_is_measured(factor):
    X_T, X_S, y = three_classes()
    found = Teacher(X_T, y).against(factor * X_S)
    assert found.transfer_loss == pytest.approx(1 if factor < 1 else factor**2 * norm(kernel(X_S)) / norm(kernel(X_T)))
    assert found.scaled == pytest.approx(dense(X_T, X_S, y)["scaled"], rel=1e-9)


def test_a_rotated_teacher_is_a_perfect_student():
    X_T, _, y = three_classes()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((7, 7)))[0]
    found = Teacher(X_T, y).against(X_T @ turn)
    assert found.transfer_loss < 1e-14
    assert found.estimate < 1e-14
    assert found.cka == pytest.approx(1, abs=1e-14)
    assert Teacher(X_T, y).against(X_T.copy()).transfer_loss == 0.0


def test_an_all_zero_student_has_loss_one_and_no_cka():
    X_T, X_S, y = three_classes()
    found = Teacher(X_T, y).against(0 * X_S)
    assert (found.transfer_loss, found.scaled, found.cka) == (1.0, 1.0, None)
    assert (found.norm_student, found.min_eigenvalue_student) == (0.0, 0.0)
    json.dumps(found.to_dict(), allow_nan=False)


def test_dependent_landmarks_have_a_smallest_eigenvalue_of_zero():
    X_T, X_S, y = three_classes()
    assert Teacher(X_T, y).against(X_S[:, :2]).min_eigenvalue_student == 0.0  # three landmarks in a plane


def test_an_all_zero_teacher_is_refused():
    X_T, X_S, y = three_classes()
    with pytest.raises(DegenerateKernel):
        Teacher(0 * X_T, y).against(X_S)


def test_nan_features_are_refused_with_their_row():
    X_T, X_S, y = three_classes()
    broken = X_S.copy()
    broken[11, 2] = np.nan
    with pytest.raises(NumericalError, match=r"student features hold 1 NaN .* row 11"):
        Teacher(X_T, y).against(broken)
    broken = X_T.copy()
    broken[4] = np.inf
    with pytest.raises(NumericalError, match="teacher features hold 7 NaN or infinite values, first in row 4"):
        Teacher(broken, y)


def test_another_number_of_rows_is_refused():
    X_T, X_S, y = three_classes()
    with pytest.raises(Mismatch, match="expected 40 rows"):
        Teacher(X_T, y).against(X_S[:-1])
