"""Maps of queries against least squares and Procrustes by hand, and what is chosen on rows held out."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from kernelscope.errors import Mismatch
from kernelscope.kernels.similarity.query_maps import QueryMap, _Sums, fitted

RNG = np.random.default_rng(0)
N, D_S, D_T = 3_000, 12, 9
X_S = RNG.standard_normal((N, D_S)) * 3 + 40
NOISE = 0.05 * RNG.standard_normal((N, D_T))
X_T = X_S @ RNG.standard_normal((D_S, D_T)) - 7 + NOISE
ROWS = np.arange(0, N, 2)


def by_kind(student=X_S, teacher=X_T, rows=ROWS, **options):
    return {each.kind: each for each in fitted(student, teacher, rows, **options)}


def test_the_linear_map_is_least_squares_with_an_offset():
    Z = np.hstack([X_S[ROWS], np.ones((len(ROWS), 1))])
    W = np.linalg.lstsq(Z, X_T[ROWS], rcond=None)[0]
    queries = X_S[1:20:2]
    np.testing.assert_allclose(by_kind()["linear"](queries), queries @ W[:-1] + W[-1], rtol=1e-6)
    np.testing.assert_array_equal(by_kind()["linear"](queries[0]), by_kind()["linear"](queries)[0])


@pytest.mark.parametrize(("d_S", "d_T"), [(9, 9), (12, 9), (9, 12)])
def test_the_rotation_is_procrustes_with_its_scale(d_S, d_T):
    S, T = RNG.standard_normal((200, d_S)), RNG.standard_normal((200, d_T))
    centred = S - S.mean(0), T - T.mean(0)
    wide = max(d_S, d_T)
    padded = [np.hstack([X, np.zeros((200, wide - X.shape[1]))]) for X in centred]
    Q, scale = orthogonal_procrustes(*padded)
    found = by_kind(S, T, np.arange(200))["rotation"]
    np.testing.assert_allclose(found.A @ found.A.T, found.A @ found.A.T, atol=0)
    singular = np.linalg.svd(found.A, compute_uv=False)
    np.testing.assert_allclose(singular[: min(d_S, d_T)], scale / np.sum(centred[0] ** 2), rtol=1e-9)
    if d_S == d_T:
        np.testing.assert_allclose(found.A, Q * scale / np.sum(centred[0] ** 2), rtol=1e-8, atol=1e-10)


def test_equal_widths_may_stay_as_they_are():
    assert list(by_kind(X_T, X_T)) == ["as they are", "rotation", "linear", "low rank"]
    np.testing.assert_array_equal(by_kind(X_T, X_T)["as they are"](X_T), X_T)
    assert "as they are" not in by_kind()


def test_the_least_rank_that_does_is_chosen():
    U, V = RNG.standard_normal((D_S, 3)), RNG.standard_normal((3, D_T))
    found = by_kind(X_S, X_S @ U @ V + 0.5 * RNG.standard_normal((N, D_T)))["low rank"]
    assert found.rank == 3 and found.B.shape == (3, D_T)
    assert by_kind(rank=2)["low rank"].rank == 2
    whole, full = by_kind(rank=D_T)["low rank"], by_kind()["linear"]
    np.testing.assert_allclose(whole(X_S[:5]), full(X_S[:5]), rtol=1e-9)


def test_few_rows_of_many_features_get_a_ridge():
    S = RNG.standard_normal((60, 200))
    T = S[:, :4] + 0.1 * RNG.standard_normal((60, 4))
    linear = by_kind(S, T, np.arange(0, 60))["linear"]
    fresh = RNG.standard_normal((500, 200))
    assert np.linalg.norm(linear.A) < np.linalg.norm(np.linalg.lstsq(S, T, rcond=None)[0]) * 1.0001
    assert np.mean((linear(fresh) - fresh[:, :4]) ** 2) < 1.2


def test_sums_of_two_parts_are_those_of_all():
    parts = [_Sums.of(X_S, X_T, rows) for rows in (np.arange(0, 1000), np.arange(1000, N))]
    both, whole = parts[0].merged(parts[1]), _Sums.of(X_S, X_T, np.arange(N))
    for name in ("mean_S", "mean_T", "G_SS", "G_ST", "G_TT"):
        np.testing.assert_allclose(getattr(both, name), getattr(whole, name), rtol=1e-9, atol=1e-7)
    W = RNG.standard_normal((D_S, D_T))
    left = (X_T - X_T.mean(0)) - (X_S - X_S.mean(0)) @ W
    assert whole.left_by(W) == pytest.approx(np.sum(left**2), rel=1e-10)


def test_what_no_map_can_be_of_is_refused():
    with pytest.raises(Mismatch, match="rank 10 of a map of 12 to 9"):
        fitted(X_S, X_T, ROWS, rank=10)
    with pytest.raises(Mismatch, match="1 rows to fit"):
        fitted(X_S, X_T, ROWS[:1])
    with pytest.raises(Mismatch, match="takes 3 features and the queries have 2"):
        QueryMap("linear", np.eye(3), np.zeros(3), np.zeros(3))(np.zeros((4, 2)))
