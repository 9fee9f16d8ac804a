"""The paper's statements where they fail (CE1 to CE8): the printed side breaks, the corrected one holds."""

import math

import numpy as np
import pytest

from kernelscope.kernels.nystrom.anova import anova
from kernelscope.kernels.nystrom.bounds import Bound, bounds
from kernelscope.kernels.nystrom.choosing import class_means, given, uniform
from kernelscope.kernels.nystrom.intervals import class_centre_interval, nystrom_interval, theorem2
from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
from kernelscope.kernels.nystrom.nystrom import partial, partial_with
from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
from kernelscope.kernels.nystrom.spectrum import landmark_basis
from kernelscope.kernels.nystrom.statements import theorem1
from tests.kernels.kernel_oracles import means, nystrom, truth

norm = np.linalg.norm


def judged(sums: NystromSums, X_S: np.ndarray, X_T: np.ndarray) -> dict[str, Bound]:
    found = bounds(sums, truth(X_S, X_T), sums.student.K_norm, sums.teacher.K_norm)
    assert all(b.holds for b in found if not b.name.endswith("_paper"))
    return {b.name: b for b in found}


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_ce1_half_of_all_uniform_draws_leave_everything_however_many_landmarks(n: int) -> None:
    X = np.zeros((n, 1))
    X[0] = 1
    verdicts = []
    for seed in range(100):
        teacher, _ = theorem1(partial(teacher=X, student=X, landmarks=uniform(n, n // 2, seed)))
        assert teacher.tail == 0
        assert teacher.residual in (0, 1)
        assert teacher.assumption is None
        verdicts.append(teacher.holds)
    assert 35 <= verdicts.count(False) <= 65


def test_ce1b_classes_symmetric_about_zero_blind_their_centres() -> None:
    half = np.random.default_rng(0).standard_normal((10, 4))
    X, y = np.vstack([half, -half]), np.tile(np.repeat([0, 1], 5), 2)
    sums = partial(teacher=X, student=2 * X, landmarks=class_means(y))
    assert sums.partial_norm <= 1e-14
    assert sums.dK <= 1e-14
    assert sums.teacher.residual == pytest.approx(sums.teacher.K_norm, rel=1e-14)
    assert sums.teacher.rank == sums.student.rank == 0
    shares = anova(sums)
    assert shares is not None
    assert shares.within_within == pytest.approx(1)


def test_ce2_equal_partial_matrices_and_tails_yet_another_kernel() -> None:
    X_S, X_T = np.diag([10.0, 2, 2]), np.array([[10.0, 0, 0], [0, 2, 0], [0, 2, 0]])
    sums = partial(teacher=X_T, student=X_S, landmarks=given([0], 3))
    assert sums.partial_norm == 0
    for side, tail in ((sums.student, math.sqrt(32)), (sums.teacher, 8.0)):
        assert side.W_min == pytest.approx(100)
        assert side.residual == pytest.approx(tail, rel=1e-13)
        assert side.tail == pytest.approx(tail, rel=1e-13)
    assert truth(X_S, X_T) == pytest.approx(math.sqrt(32))
    # with Theorem 1's ε, the excess over the tail, both Corollaries read 5.66 <= 0
    assert 2 * max(sums.student.residual - sums.student.tail, sums.teacher.residual - sums.teacher.tail) < 1e-12
    found = judged(sums, X_S, X_T)
    assert found["corollary2_paper"].holds  # with the residual itself for ε


@pytest.mark.parametrize(("x", "broken"), [(0.1, "corollary1_paper"), (0.04, "corollary2_paper")])
def test_ce3_foreign_landmarks_break_the_printed_constants(x: float, broken: str) -> None:
    X_S, X_T, D = np.array([[x]]), np.array([[0.0]]), np.array([[2.0]])
    sums = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=D, student=D))
    found = judged(sums, X_S, X_T)
    assert sums.student.W_min == 4
    assert not found[broken].holds
    assert found[broken].assumption is not None
    expected = {"corollary1_paper": 0.008, "corollary2_paper": 0.001536}[broken]
    assert found[broken].value == pytest.approx(expected)
    assert found["corollary1"].value >= x * x


def test_ce4_eigenvalues_below_one_break_the_printed_corollary() -> None:
    X_S, X_T = 0.1 * np.array([[1.0], [1.0]]), 0.1 * np.array([[1.0], [0.5]])
    found = judged(partial(teacher=X_T, student=X_S, landmarks=given([0], 2)), X_S, X_T)
    assert truth(X_S, X_T) == pytest.approx(0.0103, rel=1e-2)
    assert found["corollary1_paper"].value == pytest.approx(2.0e-5, rel=1e-2)
    assert not found["corollary1_paper"].holds
    assert found["corollary1_paper"].assumption == "the smallest nonzero eigenvalue of W_S is 0.01, not above 1"
    assert found["corollary1"].value == pytest.approx(0.0127, rel=1e-2)


@pytest.mark.parametrize("delta", [1e-1, 1e-2, 1e-4])
def test_ce5_truncated_W_jumps_where_C_hardly_moves(delta: float) -> None:
    X_S, X_T = (np.diag(np.sqrt([2, 2 - delta])), np.diag(np.sqrt([2 - delta, 2])))
    first = [landmark_basis(X).at_most(1) for X in (X_S, X_T)]
    W_S, W_T = ((b.U * b.sigma**2) @ b.U.T for b in first)
    assert norm(W_S - W_T) == pytest.approx(2 * math.sqrt(2))
    sums = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=X_T, student=X_S), rank=1)
    assert sums.partial_norm == pytest.approx(math.sqrt(2) * delta)
    assert sums.dK == pytest.approx(2 * math.sqrt(2))
    c = max(sums.student.C_norm, sums.teacher.C_norm)
    if delta < 1e-2:
        assert 3 * c * c * sums.partial_norm < sums.dK  # ‖K~_S − K~_T‖ <= 3c² ‖dC‖ is what the appendix would need
    judged(sums, X_S, X_T)


def test_ce6_foreign_landmarks_part_W_from_C() -> None:
    X, D_S, D_T = 0.01 * np.eye(2), 2 * np.eye(2), np.diag([2.0, 3.0])
    sums = partial_with(teacher=X, student=X, landmarks=LandmarkVectors(teacher=D_T, student=D_S))
    assert sums.dW == pytest.approx(5)
    assert sums.partial_norm == pytest.approx(0.01)
    judged(sums, X, X)


def test_ce7_within_class_differences_are_invisible_and_attain_the_sandwich() -> None:
    base = np.repeat([[3.0, 0, 0, 0], [0, 3.0, 0, 0]], 2, axis=0)
    X_S, X_T, y = base.copy(), base.copy(), np.array([0, 0, 1, 1])
    X_S[:2, 2] = 1, -1
    X_T[2:, 3] = 1, -1
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    assert sums.partial_norm == 0
    f = truth(X_S, X_T)
    assert f == pytest.approx(math.sqrt(8))
    assert class_centre_interval(sums) == (0.0, pytest.approx(f, rel=1e-14))
    shares = anova(sums)
    assert shares is not None
    assert (shares.mean_mean, shares.mean_within, shares.within_within) == (0, 0, 1)
    same = partial(teacher=X_T, student=X_T, landmarks=class_means(y))
    assert class_centre_interval(same) == (0.0, pytest.approx(f, rel=1e-14))  # equal kernels look just the same


@pytest.mark.parametrize("t", [1e-1, 1e-3, 1e-6])
def test_ce8_separate_assignments_jump_at_ties_and_a_common_one_does_not(t: float) -> None:
    X_S = np.array([[1.0], [1], [-1], [-1], [t], [-t]])
    X_T, y = X_S * [[1], [1], [1], [1], [-1], [-1]], np.array([0, 0, 1, 1, 0, 1])
    D_S, D_T = means(X_S, y, 2), means(X_T, y, 2)
    nearest_S, nearest_T = (np.abs(X - D.T).argmin(axis=1) for X, D in ((X_S, D_S), (X_T, D_T)))
    C_S, C_T = X_S @ D_S.T, X_T @ D_T.T
    separate = sum(np.abs(C_S[:, a] - C_T[:, b]).sum() for a, b in zip(nearest_S, nearest_T))
    assert separate == pytest.approx(32 / 3, rel=0.25)
    for assignment in (y, nearest_T):
        sums = partial_with(
            teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=D_T, student=D_S, assignment=assignment)
        )
        terms = theorem2(sums)
        assert terms is not None
        assert terms.term_b <= 40 * t
        judged(sums, X_S, X_T)


def test_one_hot_landmarks_leave_no_residual_but_do_not_know_a_rotation() -> None:
    X = np.random.default_rng(1).standard_normal((6, 3))
    rotated = X @ np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    sums = partial_with(teacher=rotated, student=X, landmarks=LandmarkVectors(teacher=np.eye(3), student=np.eye(3)))
    assert truth(X, rotated) <= 1e-14
    assert sums.partial_norm > 1
    assert sums.student.residual <= 1e-14
    assert nystrom_interval(sums)[1] <= 1e-13
    assert sums.student.spectrum.eigenvalues == pytest.approx((1, 1, 1))


def test_a_pseudo_inverse_jumps_but_the_approximation_it_makes_need_not() -> None:
    X = np.eye(2)
    for t in (1e-1, 1e-4):
        D = np.diag([1.0, math.sqrt(t)])
        assert norm(np.linalg.pinv(np.diag([1.0, 0])) - np.linalg.pinv(D @ D.T)) == pytest.approx(1 / t)
        assert norm(nystrom(X, D) - np.eye(2)) <= 1e-10
