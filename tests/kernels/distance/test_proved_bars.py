"""Proved bounds against the worst perturbation they allow for: never exceeded, and not generous either."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from kernelscope.kernels.distance.aligned_pair import pair_difference, procrustes_rotation, row_allowance
from kernelscope.kernels.distance.blocked import blocked_norms
from kernelscope.kernels.distance.centring import without_mean
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.distance.gram_errors import BlockErrors, summation_errors
from kernelscope.kernels.full_precision import full_precision
from kernelscope.kernels.nystrom.spectrum import feature_spectrum
from kernelscope.kernels.rounding import UNIT_ROUNDOFF, gamma
from kernelscope.kernels.row_views import Affine, Normalised
from kernelscope.kernels.rows import entry_error
from kernelscope.kernels.self_check.whole_numbers import contains, exact_squares


def sums_with(gram: np.ndarray, errors: BlockErrors) -> GramSums:
    return GramSums(1000, len(gram) // 2, gram, None, errors)


def worst_perturbation(gram: np.ndarray, e: BlockErrors) -> np.ndarray:
    """The change of a Gram, as large as ``e`` allows, that moves ‖K_S − K_T‖² most."""
    d, moved = len(gram) // 2, gram.copy()
    for rows, columns, size, sign in (
        (slice(0, d), slice(0, d), e.student, 1),
        (slice(d, None), slice(d, None), e.teacher, 1),
        (slice(0, d), slice(d, None), e.cross, -1),
    ):
        block = gram[rows, columns]
        moved[rows, columns] += sign * size * block / np.linalg.norm(block)
    moved[d:, :d] = moved[:d, d:].T
    return moved


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_the_gram_bar_is_the_worst_that_its_errors_can_do(size):
    Z = np.random.default_rng(0).standard_normal((300, 8))
    gram, errors = Z.T @ Z, BlockErrors(300 * size, 200 * size, 100 * size)
    found = sums_with(gram, errors)
    moved = sums_with(worst_perturbation(gram, errors), errors)
    change = abs(moved.difference_squared - found.difference_squared)
    assert change <= found.certified_bar() <= 1.02 * change


def test_the_teachers_norm_error_is_what_its_gram_may_be_off_by():
    Z = np.random.default_rng(0).standard_normal((300, 8))
    errors = BlockErrors(1.0, 0.5, 0.25)
    found = sums_with(Z.T @ Z, errors)
    for which, size in (("student", 1.0), ("teacher", 0.5), ("cross", 0.25)):
        assert size < found.norm_error(which) <= 1.02 * size


@pytest.mark.parametrize(("n", "chain"), [(100, 100 + 1 + 2), (9000, 4096 + 3 + 2), (10**6, 4096 + 64 + 2)])
def test_entries_of_a_gram_are_bounded_by_their_chain(n, chain):
    X = np.ones((n, 1), np.float32)
    sums = gram_sums(teacher=X, student=2 * X)
    assert sums.errors.teacher == pytest.approx(1.01 * gamma(chain + 2) * n, rel=1e-12)
    assert sums.errors.student == pytest.approx(1.01 * gamma(chain + 2) * 4 * n, rel=1e-12)
    assert sums.errors.cross == pytest.approx(1.01 * gamma(chain + 2) * 2 * n, rel=1e-12)


def test_errors_of_a_rescaled_and_of_a_centred_gram_cover_the_exact_one():
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((700, 3)) + 50, rng.standard_normal((700, 4)) - 20
    sums = gram_sums(teacher=X_T, student=X_S)
    scaled, by = sums.times(student=1 / 3, teacher=7.0), (Fraction(1 / 3), Fraction(7))
    centred = sums.centred()
    Z = [[Fraction(float(v)) for v in row] for row in np.hstack([X_S, X_T])]
    exact = [[sum(z[i] * z[j] for z in Z) for j in range(7)] for i in range(7)]
    total = [sum(z[i] for z in Z) for i in range(7)]
    for found, entry in (
        (scaled, lambda i, j: exact[i][j] * by[i >= 3] * by[j >= 3]),
        (centred, lambda i, j: exact[i][j] - total[i] * total[j] / 700),
    ):
        for rows, columns, error in (
            (range(3), range(3), found.errors.student),
            (range(3, 7), range(3, 7), found.errors.teacher),
            (range(3), range(3, 7), found.errors.cross),
        ):
            off = sum((Fraction(float(found.gram[i, j])) - entry(i, j)) ** 2 for i in rows for j in columns)
            assert off <= Fraction(error) ** 2


def test_the_pair_bar_covers_a_rotation_that_is_none():
    """Q = (1 + 1e-9) of a rotation: the kernel difference is then not that of E and P, and the interval says so."""
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((500, 6))
    X_S = X_T @ np.linalg.qr(rng.standard_normal((6, 6)))[0] + 1e-11 * rng.standard_normal((500, 6))
    sums = well_scaled_sums(teacher=X_T, student=X_S).sums
    rotation = procrustes_rotation(sums) * (1 + 1e-9)
    found = pair_difference(teacher=X_T, student=X_S, sums=sums, rotation=rotation)
    norm = sums.norm_teacher
    assert contains((found.low / norm * (1 - 1e-12), found.high / norm * (1 + 1e-12)), student=X_S, teacher=X_T)
    assert found.difference > 1e-9 * norm  # E and P alone are far off


@pytest.mark.parametrize("noise", [1e-3, 1e-7])
def test_the_pair_bar_is_at_least_what_its_sums_may_lose(noise):
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((3000, 6))
    E = noise * rng.standard_normal((3000, 6))
    sums = well_scaled_sums(teacher=X_T, student=X_T + E).sums
    found = pair_difference(teacher=X_T, student=X_T + E, sums=sums, rotation=None)
    P = 2 * X_T + E
    sizes = [np.linalg.norm(A) for A in (E.T @ E, P.T @ P)]
    lost = 0.5 * gamma(3000) * (np.sum(E * E) * sizes[1] + np.sum(P * P) * sizes[0])  # on the square
    assert found.high - found.difference >= 0.45 * lost / found.difference
    assert found.high - found.difference <= 4 * lost / found.difference


@pytest.mark.parametrize("single", [False, True])
def test_the_blocked_bar_is_at_least_one_chain_of_products(single):
    rng = np.random.default_rng(0)
    X_T, X_S = (rng.standard_normal((200, d)).astype(np.float32) for d in (40, 30))
    norms = blocked_norms(teacher=X_T, student=X_S, single=single)
    u = 2.0**-24 if single else UNIT_ROUNDOFF
    chain = gamma(70, u) * (np.sum(X_T.astype(float) ** 2) + np.sum(X_S.astype(float) ** 2))
    assert chain <= norms.bar <= 2 * chain + 500 * u * norms.difference


def test_float32_products_are_formed_in_full_precision():
    before = torch.get_float32_matmul_precision()
    with full_precision():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_rows_formed_on_the_way_are_off_by_no_more_than_they_say(shift):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)) + shift
    mean = X.mean(axis=0)
    for rows, meant in (
        (Affine(X, scale=1 / 3), lambda v, j: v * Fraction(1 / 3)),
        (Affine(X, shift=mean, scale=0.7), lambda v, j: (v - Fraction(mean[j])) * Fraction(0.7)),
        (Affine(Affine(X, shift=mean), scale=0.7), lambda v, j: (v - Fraction(mean[j])) * Fraction(0.7)),
    ):
        formed = rows[0:300]
        off = sum(
            (Fraction(float(formed[i, j])) - meant(Fraction(float(X[i, j])), j)) ** 2
            for i in range(300)
            for j in range(4)
        )
        bound = entry_error(rows, float(np.linalg.norm(formed)))
        assert 0 < off <= Fraction(bound) ** 2
        assert bound <= 8 * UNIT_ROUNDOFF * np.linalg.norm(formed)


def test_rows_without_their_mean_have_none():
    X = np.random.default_rng(0).standard_normal((900, 3)) * 1e-3 + 1e6
    rows = without_mean(X)
    exact = [sum(Fraction(float(v)) for v in X[:, j]) / 900 for j in range(3)]
    formed = rows[0:900]
    off = sum(
        (Fraction(float(formed[i, j])) - Fraction(float(X[i, j])) + exact[j]) ** 2 for i in range(900) for j in range(3)
    )
    assert off <= Fraction(entry_error(rows, float(np.linalg.norm(formed)))) ** 2
    assert off <= Fraction(1e-11 * float(np.linalg.norm(formed))) ** 2


def test_rows_of_unit_length_are_off_by_no_more_than_they_say():
    X = np.random.default_rng(0).standard_normal((50, 7))
    rows = Normalised(X)
    formed = rows[0:50]
    off = Fraction(0)
    for x, y in zip(X, formed):
        square = sum(Fraction(float(v)) ** 2 for v in x)
        length = Fraction(math.isqrt(int(square * 10**60)), 10**30)
        off += sum((Fraction(float(b)) - Fraction(float(a)) / length) ** 2 for a, b in zip(x, y))
    assert 0 < off <= Fraction(entry_error(rows, math.sqrt(50))) ** 2


def test_the_rounding_of_rows_widens_an_interval():
    X = np.random.default_rng(0).standard_normal((900, 4))
    assert row_allowance(X, 1.0, 1.0) == 0
    assert row_allowance(Affine(X, scale=0.7), 1.0, 1.0) >= 2 * UNIT_ROUNDOFF
    plain, formed = (gram_sums(teacher=X, student=S).errors for S in (X, Affine(X, scale=0.7)))
    assert formed.student > 0.49 * plain.student + UNIT_ROUNDOFF * exact_squares(student=X, teacher=X)[1] ** 0.5 * 0.49


@pytest.mark.parametrize(("dtype", "roundoff"), [(np.float64, 0.0), (np.float32, 2.0**-24), (np.float16, 2.0**-11)])
def test_a_rank_is_not_raised_by_the_rounding_of_storage(dtype, roundoff):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((400, 5)) @ rng.standard_normal((5, 20))).astype(dtype).astype(float)
    assert feature_spectrum(X.T @ X, 400, roundoff).rank == 5


def test_errors_follow_the_two_networks_own_sizes():
    gram = np.diag([1.0, 2.0, 30.0])
    e = summation_errors(gram, 2, 10)
    g = 1.01 * gamma(12)
    assert (e.student, e.teacher, e.cross) == pytest.approx((3 * g, 30 * g, math.sqrt(90) * g), rel=1e-12)
