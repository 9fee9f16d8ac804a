"""Answers, flips, calibration and the few likeliest against loops; the paired interval against the likelihood."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from kernelscope.errors import Mismatch
from kernelscope.kernels.similarity import outputs as module
from kernelscope.kernels.similarity.outputs import outputs, paired_interval

RNG = np.random.default_rng(0)


def softmax(Z):
    p = np.exp(Z - Z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_agreement_and_divergence_equal_their_plain_formulas():
    Z_T, Z_S = 30 * RNG.standard_normal((5000, 4)), 30 * RNG.standard_normal((5000, 4))
    p, q = softmax(Z_T), softmax(Z_S)
    found = outputs(teacher=Z_T, student=Z_S)
    assert found.agreement == np.mean(Z_T.argmax(1) == Z_S.argmax(1))
    assert found.changed == pytest.approx(1 - found.agreement)
    kept = p > 1e-300
    assert found.kl == pytest.approx(np.sum(p[kept] * np.log(p[kept] / q[kept])) / 5000, rel=1e-9)
    assert outputs(teacher=Z_T, student=Z_T + 5).kl == pytest.approx(0, abs=1e-12)
    assert outputs(teacher=np.zeros((3, 4)), student=np.eye(4)[:3]).agreement == 0.25
    with pytest.raises(Mismatch, match="classes"):
        outputs(teacher=Z_T, student=Z_S[:, :3])


def test_flips_are_counted_as_a_loop_counts_them_in_all_and_by_class():
    Z_T, y = RNG.standard_normal((700, 4)), RNG.integers(0, 3, 700)
    Z_T[np.arange(700), y] += 1.5
    Z_S = Z_T + RNG.standard_normal((700, 4))
    flips = outputs(teacher=Z_T, student=Z_S, labels=y).flips
    right_T, right_S = Z_T.argmax(1) == y, Z_S.argmax(1) == y
    assert flips.right_to_wrong == np.mean(right_T & ~right_S)
    assert flips.wrong_to_right == np.mean(~right_T & right_S)
    assert flips.accuracy_difference == pytest.approx(right_S.mean() - right_T.mean(), abs=1e-15)
    assert [each.name for each in flips.classes] == ["0", "1", "2"]
    for each in flips.classes:
        own = y == int(each.name)
        assert each.n == own.sum()
        assert each.changed == pytest.approx(np.mean((Z_T.argmax(1) != Z_S.argmax(1))[own]))
        lost, won = (right_T & ~right_S & own).sum(), (~right_T & right_S & own).sum()
        assert (each.right_to_wrong, each.wrong_to_right) == (lost / each.n, won / each.n)
        assert each.interval == paired_interval(each.n, lost, won)
    lost, won = (right_T & ~right_S).sum(), (~right_T & right_S).sum()
    assert flips.accuracy_interval == paired_interval(700, lost, won)


def test_a_tie_is_an_answer_drawn_among_the_tied_alike_by_both_where_they_can():
    Z_T, Z_S = np.array([[1.0, 1, 0], [2, 0, 0], [1, 1, 1]]), np.array([[0, 1.0, 1], [2, 2, 0], [0, 0, 3]])
    found = outputs(teacher=Z_T, student=Z_S, labels=np.array([0, 0, 2]))
    assert found.changed == pytest.approx((0.5 + 0.5 + 2 / 3) / 3)
    assert found.flips.right_to_wrong == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert found.flips.wrong_to_right == pytest.approx((0 + 0 + 2 / 3) / 3)


def test_right_and_wrong_cancel_in_accuracy_and_not_in_flips():
    y = np.zeros(100, int)
    Z_T, Z_S = np.eye(2)[np.repeat([0, 1], 50)], np.eye(2)[np.repeat([1, 0], 50)]
    found = outputs(teacher=Z_T, student=Z_S, labels=y)
    assert (found.flips.accuracy_difference, found.changed) == (0.0, 1.0)
    assert outputs(teacher=Z_T, student=Z_T, labels=y).changed == 0.0


def test_calibration_is_the_mean_gap_over_fifteen_bins_of_confidence():
    Z, y = 2 * RNG.standard_normal((900, 3)), RNG.integers(0, 3, 900)
    found = outputs(teacher=Z, student=3 * Z, labels=y).calibration
    for scale, value in ((1, found.teacher), (3, found.student)):
        p, total = softmax(scale * Z), 0.0
        for b in range(15):
            inside = (p.max(1) > b / 15) & (p.max(1) <= (b + 1) / 15)
            if inside.any():
                total += inside.mean() * abs(np.mean(p.argmax(1)[inside] == y[inside]) - p.max(1)[inside].mean())
        assert value == pytest.approx(total, abs=1e-12)
    assert found.bins == 15


def test_certain_answers_are_off_by_their_errors_and_honest_ones_by_nothing():
    y = np.repeat([0, 1], [75, 25])
    certain, honest = np.tile([900.0, 0], (100, 1)), np.tile([math.log(3), 0], (100, 1))
    found = outputs(teacher=certain, student=honest, labels=y).calibration
    assert (found.teacher, found.student) == (pytest.approx(0.25), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("ties", [False, True])
def test_the_few_likeliest_are_those_of_a_sort_and_ties_share_a_place(ties):
    Z_T, Z_S = (RNG.integers(0, 6, (80, 12)).astype(float) if ties else RNG.standard_normal((80, 12)) for _ in "TS")
    found = outputs(teacher=Z_T, student=Z_S).top_k

    def places(z):
        """Share of a place of every entry: the mean over all sets of five that a sort could give."""
        fifth = np.sort(z)[-5]
        sure, at = np.flatnonzero(z > fifth), np.flatnonzero(z == fifth)
        sets = list(combinations(at, 5 - len(sure)))
        share = np.zeros(12)
        share[sure] = 1
        for chosen in sets:
            share[list(chosen)] += 1 / len(sets)
        return share

    expected = np.mean([np.minimum(places(a), places(b)).sum() / 5 for a, b in zip(Z_T, Z_S)])
    assert found.overlap == pytest.approx(expected, abs=1e-12)
    assert (found.k, found.chance) == (5, 5 / 12)
    assert outputs(teacher=Z_T, student=Z_T).top_k.overlap == pytest.approx(1)
    assert outputs(teacher=Z_T[:, :9], student=Z_S[:, :9]).top_k is None


def test_scale_and_order_change_no_answer_and_a_shift_of_the_logits_may():
    Z_T, Z_S, y = RNG.standard_normal((200, 12)), RNG.standard_normal((200, 12)), RNG.integers(0, 12, 200)
    order = RNG.permutation(200)
    before = outputs(teacher=Z_T, student=Z_S, labels=y)
    after = outputs(teacher=Z_T[order], student=1.7 * Z_S[order], labels=y[order])
    assert (after.changed, after.top_k) == (pytest.approx(before.changed), before.top_k)
    assert (after.flips.right_to_wrong, after.flips.wrong_to_right) == pytest.approx(
        (before.flips.right_to_wrong, before.flips.wrong_to_right)
    )
    shifted = outputs(teacher=Z_T, student=Z_S + RNG.standard_normal(12), labels=y)
    assert (shifted.changed, shifted.top_k.overlap) != (before.changed, before.top_k.overlap)


def test_a_wide_vocabulary_is_read_in_blocks_that_change_nothing(monkeypatch):
    Z_T, Z_S, y = RNG.standard_normal((300, 20)), RNG.standard_normal((300, 20)), RNG.integers(0, 20, 300)
    whole = outputs(teacher=Z_T, student=Z_S, labels=y)
    monkeypatch.setattr(module, "MOST_NUMBERS", 400)
    by_blocks = outputs(teacher=Z_T, student=Z_S, labels=y)
    assert by_blocks.kl == pytest.approx(whole.kl, rel=1e-12)
    assert by_blocks.top_k.overlap == pytest.approx(whole.top_k.overlap)
    assert by_blocks.flips == whole.flips


@pytest.mark.parametrize(
    ("n", "lost", "won"), [(30, 7, 2), (50, 0, 3), (12, 5, 5), (200, 40, 61), (25, 1, 0), (9, 0, 9)]
)
def test_the_ends_of_the_paired_interval_are_where_a_score_test_rejects(n, lost, won):
    """The likeliest probability of ``lost`` given the difference is looked for numerically, not by Tango's formula."""
    for delta in paired_interval(n, lost, won):
        if abs(delta) == 1:
            continue

        def minus_log_likelihood(q, delta=delta):
            terms = ((won, q + delta), (lost, q), (n - won - lost, 1 - 2 * q - delta))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        least = max(0.0, -delta)
        q = minimize_scalar(
            minus_log_likelihood, bounds=(least, (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        deviation = math.sqrt(n * (2 * q + delta - delta**2))
        assert abs(won - lost - n * delta) == pytest.approx(1.959964 * deviation, rel=1e-4)


def test_the_paired_interval_holds_the_truth_nineteen_times_of_twenty():
    """Summed over all outcomes of 30 examples, for flips rare (where Wald's may hold it 3 times of 5) and common."""
    n = 30
    likely = [(b, c) for b in range(n + 1) for c in range(n + 1 - b) if b + c <= 24]
    intervals = {each: paired_interval(n, *each) for each in likely}

    def coverage(p_lost, p_won):
        chance = multinomial(n, [p_lost, p_won, 1 - p_lost - p_won]).pmf
        holds = [each for each, (low, high) in intervals.items() if low <= p_won - p_lost <= high]
        return sum(chance([lost, won, n - lost - won]) for lost, won in holds)

    assert min(coverage(*p) for p in ((0.03, 0.0), (0.1, 0.02), (0.02, 0.02))) > 0.95
    assert [coverage(*p) for p in ((0.2, 0.1), (0.3, 0.05), (0.25, 0.25))] == pytest.approx([0.95] * 3, abs=0.01)


def test_an_interval_has_a_width_where_nothing_changed_and_stays_in_range():
    for n in (1, 2, 10, 10**9):
        low, high = paired_interval(n, 0, 0)
        assert low == pytest.approx(-high) and 0 < high <= 1
        assert paired_interval(n, n, 0)[0] == -1 and paired_interval(n, 0, n)[1] == 1
    low, high = paired_interval(40, 3, 9)
    assert paired_interval(40, 9, 3) == pytest.approx((-high, -low))


@pytest.mark.parametrize("labels", [[0, 1, 3], [0, 1, -1], [0, 1], [0.0, 1.0, 2.0]])
def test_labels_that_are_no_classes_of_the_logits_are_refused(labels):
    with pytest.raises(Mismatch, match="labels are not 3 whole numbers from 0 to 2"):
        outputs(teacher=np.eye(3), student=np.eye(3), labels=np.array(labels))
