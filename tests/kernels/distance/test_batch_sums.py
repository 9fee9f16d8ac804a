"""Sums of batches against whole numbers, whatever the batches, and merged as if they had come in one piece."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError
from kernelscope.kernels.distance import batch_sums as module
from kernelscope.kernels.distance.batch_sums import BatchSums, begun
from kernelscope.kernels.distance.exact import transfer_loss
from tests.kernels.integer_oracle import lies_in


def some_pair(n=600, d_S=4, d_T=5, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((n, d_T)) + 0.5
    return np.hstack([X_T, X_T])[:, :d_S] + noise * rng.standard_normal((n, d_S)), X_T


def summed(X_S, X_T, cuts=()):
    sums = begun(X_S, X_T)
    for S, T in zip(np.split(X_S, cuts), np.split(X_T, cuts)):
        sums.add(S, T)
    return sums


@settings(max_examples=12)
@given(
    cuts=st.lists(st.integers(0, 150), max_size=12),
    noise=st.sampled_from([1.0, 1e-3, 1e-6, 1e-8]),
    rotated=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_the_interval_holds_the_exact_loss_and_batches_change_no_bit(cuts, noise, rotated, seed):
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((150, 3)) * [1, 0.1, 0.01] + 0.3
    X_S = X_T + noise * rng.standard_normal((150, 3))
    X_S = X_S @ np.linalg.qr(rng.standard_normal((3, 3)))[0] if rotated else X_S
    rows = module.MOST_ROWS
    module.MOST_ROWS = 32  # so that 150 rows are several blocks
    try:
        whole, cut = summed(X_S, X_T).loss(), summed(X_S, X_T, sorted(cuts)).loss()
    finally:
        module.MOST_ROWS = rows
    assert whole == cut
    assert lies_in(X_S, X_T, whole.interval)
    assert whole.certified and whole.route == "gram" and whole.resolved


@pytest.mark.parametrize("cuts", [(40,), (5, 60), (0, 1, 99)])
def test_merged_sums_hold_the_exact_loss_of_all_rows_in_any_order(cuts):
    X_S, X_T = some_pair(n=100, noise=1e-5, d_S=5)
    parts = [summed(S, T) for S, T in zip(np.split(X_S, cuts), np.split(X_T, cuts)) if len(S)]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward.merged(part)
    for part in parts[-2::-1]:
        backward = backward.merged(part)
    for merged in (forward, backward, forward.merged(BatchSums(5, 5))):
        assert merged.n == 100 and lies_in(X_S, X_T, merged.loss().interval)
        assert merged.loss().value == pytest.approx(summed(X_S, X_T).loss().value, rel=1e-9)


def test_merging_and_asking_leave_the_sums_as_they_were():
    X_S, X_T = some_pair()
    one, two = summed(X_S[:250], X_T[:250]), summed(X_S[250:], X_T[250:])
    before = one.loss()
    one.merged(two)
    assert one.loss() == before and one.held == 250 and not one.lengths[0]
    one.add(X_S[250:], X_T[250:])
    assert one.loss() == summed(X_S, X_T).loss()


@pytest.mark.parametrize("scale", [1e-150, 1e-60, 1e40, 1e140])
def test_features_of_any_size_have_the_loss_of_ordinary_ones(scale):
    X_S, X_T = some_pair(noise=1e-4)
    factor = 2.0 ** round(np.log2(scale))
    plain, scaled = summed(X_S, X_T).loss(), summed(factor * X_S, factor * X_T, [7]).loss()
    assert scaled.value == pytest.approx(plain.value, rel=1e-12)
    parts = summed(factor * X_S[:50], factor * X_T[:50]).merged(summed(factor * X_S[50:], factor * X_T[50:]))
    assert parts.loss().value == pytest.approx(plain.value, rel=1e-9)
    if 1e-100 < scale < 1e100:
        assert scaled.norm_teacher == pytest.approx(plain.norm_teacher * factor**2)


def test_a_merged_sum_of_small_and_large_features_weighs_them_as_they_are():
    X_S, X_T = some_pair(n=40)
    parts = [(2.0**-58 * X_S, 2.0**-58 * X_T), (2.0**-63 * X_T[:, :4], 2.0**-63 * X_T)]  # either side of a limit
    one, two = (summed(*part) for part in parts)
    assert one.settled().exponent != two.settled().exponent
    whole = transfer_loss(student=np.vstack([parts[0][0], parts[1][0]]), teacher=np.vstack([parts[0][1], parts[1][1]]))
    assert whole.value != pytest.approx(one.loss().value, rel=1e-4)
    for merged in (one.merged(two), two.merged(one)):
        assert merged.loss().value == pytest.approx(whole.value, rel=1e-12)
        assert merged.loss().norm_teacher == pytest.approx(whole.norm_teacher, rel=1e-12)


def test_equal_rows_are_at_zero_and_one_other_number_is_not():
    _, X = some_pair()
    assert summed(X, X, [3, 99]).loss().interval == (0.0, 0.0)
    other = X.copy()
    other[500, 0] = np.nextafter(other[500, 0], 9)
    assert summed(other, X).loss().interval[1] > 0


def test_coarse_storage_counts_though_the_rows_are_gone():
    X_S, X_T = some_pair()
    half = [X.astype(np.float16) for X in (X_S, X_T)]
    assert summed(X_S, X_T).loss().storage_floor == 0
    assert summed(*half).merged(summed(X_S, X_T)).loss().storage_floor > 1e-4


def test_sums_come_back_from_a_pickle_with_what_was_waiting():
    X_S, X_T = some_pair()
    sums = pickle.loads(pickle.dumps(summed(X_S[:321], X_T[:321])))
    sums.add(X_S[321:], X_T[321:])
    assert sums.loss() == summed(X_S, X_T).loss()


def test_what_does_not_belong_together_is_refused_and_changes_nothing():
    X_S, X_T = some_pair()
    sums = summed(X_S, X_T)
    before = sums.loss()
    bad = X_T[:9].copy()
    bad[6, 2] = np.inf
    for batch, kind, words in (
        ((X_S[:9, :3], X_T[:9]), Mismatch, r"a batch of \(9, 3\) and \(9, 5\) after rows of 4 and 5 features"),
        ((X_S[:9], X_T[:8]), Mismatch, r"a batch of \(9, 4\) and \(8, 5\)"),
        ((X_S[:9], bad), NumericalError, "x_t of a batch after 600 rows hold 1 NaN or infinite values, first in row 6"),
    ):
        with pytest.raises(kind, match=words):
            sums.add(*batch)
    assert sums.loss() == before
    with pytest.raises(Mismatch, match=r"4 \+ 5 features and of 5 \+ 4 do not add"):
        sums.merged(BatchSums(5, 4))
    with pytest.raises(UsageError, match="no rows were added yet"):
        BatchSums(2, 3).loss()
    with pytest.raises(DegenerateKernel, match="teacher features are all zero"):
        summed(X_S, 0 * X_T).loss()
    with pytest.raises(Mismatch, match="have no features"):
        begun(X_S[:, :0], X_T)
    with pytest.raises(DegenerateKernel, match=r"features reach 2.* kernel norms exceed float64"):
        summed(1e200 * X_S, 1e200 * X_T).loss()
    grown = 1e-150 * np.ones((module.MOST_ROWS, 1))
    grown = np.vstack([grown, [[1e150]]])
    with pytest.raises(NumericalError, match="grew or shrank beyond"):
        summed(2 * grown, grown).loss()
