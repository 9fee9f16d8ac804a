"""Row by row numbers of both kernels and of the centred ones, against dense kernels."""

import numpy as np
import pytest

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.statistics.moments import both_moments
from kernelscope.kernels.statistics.row_forms import mean_taken_off, quadratic_forms, row_forms, symmetric_strips


def in_long_double(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X = X.astype(np.longdouble)
    C = X - X.mean(axis=0)
    return X @ X.T, C @ C.T


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e5])
def test_forms_are_those_of_dense_kernels_also_where_the_mean_dominates(offset):
    rng = np.random.default_rng(int(offset))
    X_T = rng.standard_normal((300, 150)) + offset
    X_S = X_T[:, :7] + 0.3 * rng.standard_normal((300, 7))
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    centred = centre(scaled)
    forms = row_forms(scaled, centred)
    (K_S, H_S), (K_T, H_T) = in_long_double(X_S), in_long_double(X_T)
    for own, K, H in ((forms.student, K_S, H_S), (forms.teacher, K_T, H_T)):
        np.testing.assert_allclose(own.diagonal, np.diag(K).astype(float), rtol=1e-12)
        np.testing.assert_allclose(own.squares, (K * K).sum(1).astype(float), rtol=1e-12)
        # rows were stored with the offset, of which double precision keeps 1e-16
        exact = max(1e-11, offset * 1e-14)
        np.testing.assert_allclose(own.centred_diagonal, np.diag(H).astype(float), rtol=exact)
        np.testing.assert_allclose(own.centred_squares, (H * H).sum(1).astype(float), rtol=exact)
    np.testing.assert_allclose(forms.cross, (K_S * K_T).sum(1).astype(float), rtol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_moments_are_the_same_whoever_read_the_rows(offset):
    rng = np.random.default_rng(1)
    X_T, X_S = rng.standard_normal((200, 9)) + offset, rng.standard_normal((200, 140))
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    centred = centre(scaled)
    for shared, own in zip(both_moments(centred, row_forms(scaled, centred)), both_moments(centred)):
        for name in ("entries", "diagonal", "diagonal_2", "diagonal_3", "cube", "mixed", "linked", "entries_3"):
            np.testing.assert_allclose(getattr(shared, name), getattr(own, name), rtol=1e-11)


def test_a_constant_network_is_all_mean():
    X_T, X_S = np.random.default_rng(2).standard_normal((40, 3)), np.full((40, 2), 0.1)
    scaled = well_scaled_sums(teacher=X_T, student=X_S)
    forms = row_forms(scaled, centre(scaled))
    np.testing.assert_allclose(forms.student.squares, ((X_S @ X_S.T) ** 2).sum(1), rtol=1e-12)
    np.testing.assert_allclose(forms.cross, ((X_S @ X_S.T) * (X_T @ X_T.T)).sum(1), rtol=1e-9, atol=1e-12)
    assert not forms.student.centred_squares.any()


def test_what_was_done_to_rows_before_is_no_mean_taken_off():
    X = np.random.default_rng(3).standard_normal((30, 4)) + 5
    prepared = Affine(X, shift=X.mean(axis=0) - 1)
    centred = Affine(prepared, shift=np.ones(4))
    np.testing.assert_array_equal(mean_taken_off(centred, prepared), np.ones(4))


@pytest.mark.parametrize("d", [1, 127, 128, 129, 300])
def test_strips_give_the_whole_form(d):
    rng = np.random.default_rng(d)
    A, c = rng.standard_normal((d, d)), rng.standard_normal((20, d))
    H = A + A.T
    np.testing.assert_allclose(quadratic_forms(c, symmetric_strips(H)), np.einsum("ij,jk,ik->i", c, H, c), rtol=1e-10)


def test_moments_of_a_tiny_student_are_those_of_its_own_rows():
    rng = np.random.default_rng(4)
    X_T, X_S = rng.standard_normal((60, 4)), rng.standard_normal((60, 5))
    scaled = well_scaled_sums(teacher=X_T, student=X_S * 1e-90)
    centred = centre(scaled)
    found, _ = both_moments(centred, row_forms(scaled, centred))
    whole = well_scaled_sums(teacher=X_T, student=X_S)
    expected, _ = both_moments(centre(whole))
    assert found.mixed == pytest.approx(expected.mixed, rel=1e-9)
    assert found.linked == pytest.approx(expected.linked, rel=1e-9)
