"""Corrected bounds hold for all data and all landmarks; printed ones say which assumption failed."""

import math

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.bounds import NAMES, Bound, bounds
from kernelscope.kernels.nystrom.choosing import class_means, given, kmeans, uniform
from kernelscope.kernels.nystrom.intervals import class_centre_interval, nystrom_interval, quadratic_interval, theorem2
from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
from kernelscope.kernels.nystrom.nystrom import partial, partial_with
from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
from kernelscope.kernels.nystrom.statements import lemma1, theorem1
from tests.kernels.kernel_oracles import DATA, LANDMARKS, Case, features, kernel, means, nystrom, one_hot, truth
from tests.kernels.kernel_oracles import with_landmarks as landmarks_for

norm = np.linalg.norm
PRINTED = ("corollary1_paper", "corollary2_paper")


def sums_of(case: Case, rank: int | None = None) -> NystromSums:
    return partial_with(
        teacher=case.X_T,
        student=case.X_S,
        landmarks=LandmarkVectors(
            teacher=case.D_T, student=case.D_S, assignment=case.y, exact_centres=case.exact, strategy=case.strategy
        ),
        rank=rank,
    )


def bounds_by_name(sums: NystromSums, X_S: np.ndarray, X_T: np.ndarray) -> dict[str, Bound]:
    found = bounds(sums, truth(X_S, X_T), float(norm(kernel(X_S))), float(norm(kernel(X_T))))
    return {bound.name: bound for bound in found}


def violations(data: str, landmarks: str, seeds: range) -> tuple[int, list]:
    """How many corrected bounds were checked, and those that fail: full rank or cut at random, both ends."""
    checked, failed = 0, []
    for seed in seeds:
        rng = np.random.default_rng([DATA.index(data), LANDMARKS.index(landmarks), seed])
        case = landmarks_for(landmarks, *features(data, rng), rng)
        sums = sums_of(case, rank=None if seed % 2 else int(rng.integers(0, 5)))
        f, scale = truth(case.X_S, case.X_T), float(norm(kernel(case.X_S)) + norm(kernel(case.X_T)))
        found = bounds_by_name(sums, case.X_S, case.X_T)
        assert set(found) <= set(NAMES)
        assert ("class_centres_upper" in found) == case.exact
        for bound in found.values():
            if bound.name not in PRINTED:
                checked += 1
                failed += [] if bound.holds and bound.assumption is None else [(data, landmarks, seed, bound, f)]
        lower = [nystrom_interval(sums)[0]]
        quadratic = quadratic_interval(sums)
        if quadratic is not None:
            lower.append(
                quadratic[0] - 1e-12 * float(np.max(sums.counts)) * (sums.student.W_norm + sums.teacher.W_norm)
            )
        for low in lower:
            checked += 1
            failed += [] if low <= f + 1e-9 * scale else [(data, landmarks, seed, "lower", low, f)]
    return checked, failed


@pytest.mark.parametrize("landmarks", LANDMARKS)
@pytest.mark.parametrize("data", DATA)
def test_no_corrected_bound_fails_on_any_data_with_any_landmarks(data: str, landmarks: str) -> None:
    checked, failed = violations(data, landmarks, range(6))
    assert checked >= 6 * 8
    assert failed == []


@pytest.mark.long
@pytest.mark.parametrize("landmarks", LANDMARKS)
@pytest.mark.parametrize("data", DATA)
def test_no_corrected_bound_fails_in_sixteen_thousand_cases(data: str, landmarks: str) -> None:
    assert violations(data, landmarks, range(300))[1] == []


@drawn(seed=st.integers(0, 2**20), L=st.integers(1, 6))
def test_every_value_is_that_of_its_formula(seed: int, L: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T = rng.standard_normal((15, 4)), rng.standard_normal((15, 5))
    y = np.concatenate([np.arange(L), rng.integers(0, L, 15 - L)])
    D_S, D_T, Y = means(X_S, y, L), means(X_T, y, L), one_hot(y, L)
    found = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=class_means(y)), X_S, X_T)
    f, C_S, C_T = truth(X_S, X_T), X_S @ D_S.T, X_T @ D_T.T
    dC, dW = C_S - C_T, D_S @ D_S.T - D_T @ D_T.T
    rests = [norm(kernel(X) - nystrom(X, D)) for X, D in ((X_S, D_S), (X_T, D_T))]
    A_S, A_T = (_A(X, D) for X, D in ((X_S, D_S), (X_T, D_T)))
    y_S, y_T = (norm(X @ np.linalg.pinv(D, rcond=1e-12), 2) for X, D in ((X_S, D_S), (X_T, D_T)))
    F_S, F_T = X_S - Y @ D_S, X_T - Y @ D_T
    e = max(norm(X, axis=1).max() for X in (X_S, X_T))
    distances = norm(F_S, axis=1).sum() + norm(F_T, axis=1).sum()
    M = dC @ Y.T + Y @ dC.T - Y @ dW @ Y.T
    g = math.hypot(norm(kernel(F_S)), norm(kernel(F_T)))
    n_l, c = Y.sum(axis=0), max(norm(C_S), norm(C_T))
    seen = 2 * (n_l * (dC**2).sum(axis=0)).sum() - (np.outer(n_l, n_l) * dW**2).sum()
    expected = {
        "theorem2": 15 * e * distances + abs(Y @ dC.T).sum(),
        "theorem2_frobenius": norm(F_S @ X_S.T) + norm(F_T @ X_T.T) + norm(Y @ dC.T),
        "theorem2_quadratic": norm(M) + g,
        "corollary1": math.hypot(*rests) + (norm(A_S, 2) + norm(A_T, 2)) * norm(A_S - A_T),
        "corollary2": math.hypot(*rests) + (y_S + y_T) * norm(dC) + y_S * y_T * norm(dW),
        "corollary1_paper": 2 * max(rests) + 2 * c**2 * norm(A_S - A_T),
        "corollary2_paper": 2 * max(rests) + 3 * c**2 * norm(dC),
        "nystrom_exact": math.hypot(*rests) + norm(nystrom(X_S, D_S) - nystrom(X_T, D_T)),
        "class_centres_lower": math.sqrt(seen),
        "class_centres_upper": math.sqrt(seen + g**2),
    }
    assert tuple(found) == NAMES
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-7), name
        assert found[name].over_truth == pytest.approx(value / f, rel=1e-7)
        assert found[name].kind == ("lower" if name.endswith("lower") else "upper")
        trivial = math.hypot(norm(kernel(X_S)), norm(kernel(X_T))), abs(norm(kernel(X_S)) - norm(kernel(X_T)))
        vacuous = value <= trivial[1] if name.endswith("lower") else value >= trivial[0]
        assert found[name].vacuous == vacuous


def _A(X: np.ndarray, D: np.ndarray) -> np.ndarray:
    """``C W^{+½}`` as the polar factor of D, by an SVD of W's symmetric half inverse."""
    values, vectors = np.linalg.eigh(D @ D.T)
    kept = values > 1e-10 * values[-1]
    return X @ D.T @ (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def test_only_what_exists_for_the_landmarks_is_there() -> None:
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((30, 4)), rng.standard_normal((30, 4))
    sampled = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=uniform(30, 3)), X_S, X_T)
    assert tuple(sampled) == ("corollary1", "corollary2", "corollary1_paper", "corollary2_paper", "nystrom_exact")
    assert theorem2(partial(teacher=X_T, student=X_S, landmarks=uniform(30, 3))) is None
    cells = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=kmeans(X_T, 3)), X_S, X_T)
    assert tuple(cells) == NAMES


def test_stale_centres_are_refused_where_the_identity_needs_fresh_ones() -> None:
    rng = np.random.default_rng(1)
    case = landmarks_for("stale", *features("gaussian", rng), rng)
    sums = sums_of(case)
    with pytest.raises(Mismatch, match="external landmarks are not the exact means of groups of these examples"):
        class_centre_interval(sums)
    found = bounds_by_name(sums, case.X_S, case.X_T)
    assert "class_centres_lower" not in found
    assert found["theorem2_quadratic"].holds


@drawn(seed=st.integers(0, 2**20), power=st.integers(-8, 8))
def test_corrected_bounds_scale_with_the_kernel_and_printed_corollaries_do_not(seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 3)), np.arange(20) % 3
    s = 2.0**power
    plain = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=class_means(y)), X_S, X_T)
    scaled = bounds_by_name(partial(teacher=s * X_T, student=s * X_S, landmarks=class_means(y)), s * X_S, s * X_T)
    for name, bound in plain.items():
        if name not in PRINTED:
            assert scaled[name].value == pytest.approx(s * s * bound.value, rel=1e-12)
            assert scaled[name].vacuous == bound.vacuous
    if power > 2:
        assert scaled["corollary2_paper"].value > s**4 * plain["corollary2_paper"].value


@drawn(seed=st.integers(0, 2**20), L=st.integers(1, 3))
def test_printed_corollaries_hold_where_their_assumptions_do(seed: int, L: int) -> None:
    rng = np.random.default_rng(seed)
    X_S, X_T = (20 * rng.standard_normal((25, 4)) for _ in range(2))
    for landmarks in (class_means(np.arange(25) % L), uniform(25, L, seed), given(np.arange(L), 25)):
        found = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=landmarks), X_S, X_T)
        for name in PRINTED:
            assert found[name].holds or found[name].assumption is not None
        if landmarks.strategy == "uniform":
            assert found["corollary2_paper"].assumption is None


def test_the_assumption_that_failed_is_named() -> None:
    X = np.diag([3.0, 2.0, 0.5])

    def failed(X_S: np.ndarray, X_T: np.ndarray, rows: list[int]) -> str | None:
        sums = partial(teacher=X_T, student=X_S, landmarks=given(rows, 3))
        return bounds_by_name(sums, X_S, X_T)["corollary2_paper"].assumption

    assert failed(X, X, [0, 1]) is None
    assert failed(X, X, [0, 2]) == "the smallest nonzero eigenvalue of W_S is 0.25, not above 1"
    assert failed(X, 0.3 * X, [0, 1]) == "the smallest nonzero eigenvalue of W_T is 0.36, not above 1"
    assert failed(np.zeros((3, 2)), X, [0]) == "all landmarks vanish, so W_S has no eigenvalue above 1"
    assert failed(X[[0, 0, 2]], X, [0, 1]) == "W_S has rank 1 and W_T 2, but both are cut at one k"
    assert failed(X, X, [0, 0]) == "a row serves as a landmark 2 times, so W is not a part of C"
    sums = partial_with(teacher=X, student=X, landmarks=LandmarkVectors(teacher=X[:1], student=X[:1]))
    found = bounds_by_name(sums, X, X)["corollary1_paper"]
    assert found.assumption == "the landmarks are not made from these examples, so nothing ties W and C together"
    assert found.over_truth is None  # the two networks are equal
    assert found.holds


def test_corollary_2_pays_for_what_cutting_the_landmarks_took() -> None:
    rng = np.random.default_rng(4)
    X_S, X_T = rng.standard_normal((20, 4)), rng.standard_normal((20, 4))
    sums = partial_with(teacher=X_T, student=X_S, landmarks=LandmarkVectors(teacher=X_T[:3], student=X_S[:3]), rank=1)
    dC, dW, y, r = sums.partial_norm, sums.dW, [], []
    for X in (X_S, X_T):
        _, sigma, Vt = np.linalg.svd(X[:3])
        rest = X - np.outer(X @ Vt[0], Vt[0])
        dC += sigma[1] * norm(rest)  # at least ‖X D_restᵀ‖
        dW += norm(sigma[1:] ** 2)
        y.append(norm(X @ Vt[0]) / sigma[0])
        r.append(norm(rest.T @ rest))
        assert norm(rest @ X[:3].T) <= sigma[1] * norm(rest)
    value = bounds_by_name(sums, X_S, X_T)["corollary2"].value
    assert value == pytest.approx(math.hypot(*r) + sum(y) * dC + y[0] * y[1] * dW, rel=1e-12)


def test_a_value_beyond_float64_is_left_out() -> None:
    X = 1e70 * np.diag([1.0, 2, 3])
    found = bounds_by_name(partial(teacher=X, student=X[::-1], landmarks=given([0], 3)), X[::-1], X)
    assert set(PRINTED).isdisjoint(found)
    assert found["corollary1"].holds


def test_block_classes_are_seen_whole_by_their_centres() -> None:
    n_l = np.array([3, 4, 5, 6, 7])
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 2, 1, 4, 6])
    y = np.repeat(np.arange(5), n_l)
    X_S, X_T = one_hot(y, 5) * b, one_hot(y, 5) * a
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    f = math.sqrt((n_l**2 * (a**2 - b**2) ** 2).sum())
    assert sums.partial_norm == pytest.approx(math.sqrt((n_l * (a**2 - b**2) ** 2).sum()), rel=1e-14)
    assert sums.teacher.residual == sums.student.residual == 0
    found = bounds_by_name(sums, X_S, X_T)
    for name in ("class_centres_lower", "class_centres_upper", "theorem2_quadratic", "nystrom_exact"):
        assert found[name].value == pytest.approx(f, rel=1e-13), name


def test_a_class_for_each_example_bounds_the_loss_by_itself() -> None:
    rng = np.random.default_rng(2)
    X_S, X_T = rng.standard_normal((12, 3)), rng.standard_normal((12, 4))
    low, high = class_centre_interval(partial(teacher=X_T, student=X_S, landmarks=class_means(np.arange(12))))
    assert low == pytest.approx(truth(X_S, X_T), rel=1e-13)
    assert high == pytest.approx(low, rel=1e-13)


def test_a_loose_bound_is_vacuous_and_the_class_centres_sandwich_is_not() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(200) % 5
    X_T = 3 * rng.standard_normal((5, 8))[y] + 0.1 * rng.standard_normal((200, 8))
    X_S = X_T[:, :6] + 0.3 * rng.standard_normal((5, 6))[y]
    found = bounds_by_name(partial(teacher=X_T, student=X_S, landmarks=class_means(y)), X_S, X_T)
    assert found["theorem2"].vacuous
    assert found["corollary2_paper"].vacuous
    assert not found["class_centres_upper"].vacuous
    assert not found["class_centres_lower"].vacuous
    assert 0.97 <= (found["class_centres_lower"].over_truth or 0) <= 1 <= (found["class_centres_upper"].over_truth or 0)
    assert (found["class_centres_upper"].over_truth or 9) <= 1.03


@drawn(data=st.sampled_from(DATA), seed=st.integers(0, 2**20))
def test_theorem_2_and_lemma_1_are_true_as_printed(data: str, seed: int) -> None:
    X_S, X_T, y = features(data, np.random.default_rng(seed))
    landmarks = class_means(y)
    found = lemma1(teacher=X_T, student=X_S, landmarks=landmarks, seed=seed)
    assert found.pairs == len(y) ** 2
    assert found.violations == 0
    assert found.worst <= found.worst_own <= 1 + 1e-9
    sums = partial(teacher=X_T, student=X_S, landmarks=landmarks)
    terms = theorem2(sums)
    assert terms is not None
    assert terms.bound == pytest.approx(len(y) * terms.e * (terms.term_a_student + terms.term_a_teacher) + terms.term_b)
    assert bounds_by_name(sums, X_S, X_T)["theorem2"].holds


def test_lemma_1_is_attained_when_a_landmark_is_far_along_the_other_row() -> None:
    X_S, X_T = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.zeros((4, 1))
    found = lemma1(teacher=X_T, student=X_S, landmarks=class_means([0, 0, 0, 0]))  # centre 0: nothing but distance
    assert (found.pairs, found.violations, found.worst) == (16, 0, 1.0)
    with pytest.raises(Mismatch, match="uniform landmarks assign no landmark to an example"):
        lemma1(teacher=X_T, student=X_S, landmarks=uniform(4, 2))


@drawn(seed=st.integers(0, 2**20), m=st.integers(1, 5))
def test_inverses_move_no_more_than_matrices_with_eigenvalues_above_one(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    W, inverse, half = zip(*(_psd(rng, m) for _ in range(2)))
    gap = norm(W[0] - W[1])
    assert norm(inverse[0] - inverse[1]) <= gap * (1 + 1e-9) + 1e-12  # Lemma P, any two ranks
    assert norm(half[0] - half[1]) <= gap * (1 + 1e-9) + 1e-12


def _psd(rng: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rank = int(rng.integers(0, m + 1))
    Q = np.linalg.qr(rng.standard_normal((m, m)))[0][:, :rank]
    values = 1 + rng.exponential(1, rank) * (rng.random(rank) < 0.5)
    return (Q * values) @ Q.T, (Q / values) @ Q.T, (Q / np.sqrt(values)) @ Q.T


def test_theorem_1_holds_with_room_on_a_gaussian_pair_and_names_its_assumption() -> None:
    rng = np.random.default_rng(5)
    X_S, X_T = rng.standard_normal((300, 8)), np.zeros((300, 5))
    for choose, assumption in ((uniform(300, 4), None), (class_means(np.arange(300) % 4), "class-means landmarks are")):
        teacher, student = theorem1(partial(teacher=X_T, student=X_S, landmarks=choose))
        assert student.holds
        assert student.quotient == pytest.approx((student.residual - student.tail) / student.epsilon)
        assert student.epsilon == pytest.approx(4**-0.25 * norm(kernel(X_S)))
        assert teacher.quotient is None
        assert (student.assumption or "").startswith(assumption or "")
        assert (student.assumption is None) == (assumption is None)
