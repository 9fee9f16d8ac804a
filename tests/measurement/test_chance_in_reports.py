"""Chance as a report tells it: where p is from, and what the best of a grid is worth."""

import json

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.statistics.best_of_many import Searched, best_of_many
from kernelscope.kernels.statistics.permutations import Shuffled, drawn_examples, shuffled
from kernelscope.measurement.chance_numbers import null_fields

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((90, 5))


def heavy(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(2 * rng.standard_normal((n, 1))) * rng.standard_normal((n, d))


TEACHER = {"a": heavy(90, 3, 1), "b": NORMAL}
STUDENT = {"c": heavy(90, 4, 2), "d": heavy(90, 3, 3), "e": NORMAL[:, :2] + 0.1}


def grid(**options):
    return ks.measure(teacher=TEACHER, student=STUDENT, pairs="all", neighbours=0, **options)


def on_chance(pair):
    return [note for note in pair.notes if "permutations" in note or "Cantelli" in note]


def test_a_small_skewness_needs_no_permutations():
    pair = ks.measure(teacher=NORMAL, student=NORMAL[:, :3] + 1).pairs[0]
    assert abs(pair.null.cka_skewness) < 1 and pair.null.p_value < 1e-6
    assert pair.null.p_corrected is None and on_chance(pair) == []


def test_a_large_skewness_is_answered_by_permutations_and_told():
    X_T, X_S = heavy(90, 3, 1), heavy(90, 4, 2)
    pair = ks.measure(teacher=X_T, student=X_S, seed=5).pairs[0]
    assert pair.null.cka_skewness > 1
    assert pair.null.p_value == shuffled(teacher=X_T, student=X_S, seed=5).p_value
    (note,) = on_chance(pair)
    assert "1,079 permutations of 90 examples" in note and f"skewness {pair.null.cka_skewness:.1f}" in note


def test_of_many_examples_those_drawn_are_told():
    X_T, X_S = heavy(2300, 2, 1), heavy(2300, 2, 2)
    pair = ks.measure(teacher=X_T, student=X_S, neighbours=0).pairs[0]
    assert pair.null.p_value == shuffled(teacher=X_T, student=X_S, seed=0).p_value
    assert "1,999 permutations of 2,000 drawn examples" in on_chance(pair)[0]


@pytest.mark.parametrize("n", [4, 5])
def test_of_a_handful_of_examples_all_permutations_count(n):
    pair = ks.measure(teacher=NORMAL[:n, :2], student=heavy(n, 2), neighbours=0).pairs[0]
    assert f"{ {4: 23, 5: 119}[n] } permutations of {n} examples" in on_chance(pair)[0]


def test_an_example_that_was_not_drawn_leaves_an_upper_limit():
    """All but one example are alike; the p-value of its place is 1/n, and Cantelli's limit is nearly that."""
    n = 2500
    apart = next(i for i in range(n) if i not in set(drawn_examples(n, 0).tolist()))
    X = np.ones((n, 2))
    X[apart] = (3, 4)
    pair = ks.measure(teacher=X, student=2 * X, neighbours=0).pairs[0]
    assert pair.null.p_value == pytest.approx(1 / n, rel=1e-2)
    assert "Cantelli" in on_chance(pair)[0]


@pytest.mark.parametrize("kernel", ["rbf", "poly:2"])
def test_kernels_without_features_have_p_from_permutations(kernel):
    X_T, X_S = NORMAL, NORMAL[:, :3] + 0.3 * heavy(90, 3)
    pair = ks.measure(teacher=X_T, student=X_S, kernel=kernel).pairs[0]
    assert pair.null.cka_skewness is None and pair.null.p_value < 0.02
    assert "1,079 permutations of 90 examples" in on_chance(pair)[0]
    unrelated = ks.measure(teacher=X_T, student=RNG.permutation(X_S), kernel=kernel).pairs[0]
    assert unrelated.null.p_value > 0.01


@pytest.mark.parametrize("options", [{}, {"kernel": "cosine"}, {"centre": True}, {"kernel": "rbf"}])
def test_every_pair_of_a_grid_has_a_corrected_p_and_the_best_says_so(options):
    report = grid(**options)
    assert len(report) == 6
    for pair in report:
        assert pair.null.p_corrected is not None
        assert 1 / 2000 < pair.null.p_corrected <= 1
    told = [pair for pair in report if any("best of 6 pairs: corrected p" in note for note in pair.notes)]
    assert [(pair.teacher_layer, pair.student_layer) for pair in told] == [("b", "e")]
    assert told[0].null.p_corrected == min(pair.null.p_corrected for pair in report) < 0.01


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_a_pair_of_a_grid_has_the_p_it_has_alone(kernel):
    report = grid(kernel=kernel)
    for pair in report:
        X_T, X_S = TEACHER[pair.teacher_layer], STUDENT[pair.student_layer]
        alone = ks.measure(teacher=X_T, student=X_S, neighbours=0, kernel=kernel).pairs[0]
        assert pair.null.p_value == pytest.approx(alone.null.p_value, rel=1e-6)
        assert alone.null.p_corrected is None
    assert kernel != "linear" or sum(pair.null.cka_skewness > 1 for pair in report) >= 2


def test_named_pairs_and_shared_layers_are_no_search():
    layers = {"a": NORMAL, "b": NORMAL[:, :3]}
    for pairs in (None, "a=b,b=a"):
        for pair in ks.measure(teacher=layers, student=layers, pairs=pairs):
            assert pair.null.p_corrected is None


def test_a_constant_layer_of_a_grid_has_no_chance_and_is_not_counted():
    teacher, student = {"a": NORMAL, "dead": np.full((90, 2), 0.3)}, {"c": NORMAL[:, :2], "d": heavy(90, 3)}
    report = ks.measure(teacher=teacher, student=student, pairs="all")
    for pair in report:
        null = pair.null
        dead = pair.teacher_layer == "dead"
        assert (null.p_value is None, null.p_corrected is None, null.cka_mean is None) == (dead, dead, dead)
    assert any("best of 2 pairs" in note for pair in report for note in pair.notes)


def test_no_p_has_no_corrected_p_either():
    scaled = well_scaled_sums(teacher=NORMAL, student=NORMAL[:, :2])
    searched = Searched(Shuffled(0.2, 999, 90, 0.3, 0.1, 0.1), 0.4, best=True, among=6)
    null, notes = null_fields(scaled, centre(scaled), None, 0, searched)
    assert (null.p_value, null.p_corrected, notes) == (None, None, ())


def test_a_report_without_the_corrected_p_is_read():
    document = json.loads(grid().to_json())
    for pair in document["pairs"]:
        del pair["null"]["p_corrected"]
    assert {pair.null.p_corrected for pair in ks.TransferReport.from_dict(document)} == {None}


def in_groups(rng, groups, size, *, related):
    """Rows that are nearly alike within groups, of two networks that share nothing but the groups, or all."""
    codes = np.repeat(np.arange(groups), size)
    T = rng.standard_normal((groups, 5))
    S = T @ rng.standard_normal((5, 5)) if related else rng.standard_normal((groups, 5))
    noise = 0.1 * rng.standard_normal((2, groups * size, 5))
    return {"teacher": T[codes] + noise[0], "student": S[codes] + noise[1], "groups": codes, "neighbours": 0}


def rejected(draws, groups, size, **how):
    drawn = (in_groups(np.random.default_rng(seed), groups, size, related=False) for seed in range(draws))
    return sum(ks.measure(**rows, **how).null.p_value < 0.05 for rows in drawn)


@pytest.mark.parametrize("how", [{}, {"kernel": "rbf:0.1"}], ids=["linear", "rbf"])
def test_rows_that_are_alike_within_groups_show_no_relation_of_networks(how):
    assert rejected(12, 30, 6, **how) <= 3  # at 5 %, more than 3 of 12 has p = .002; single rows rejected all


@pytest.mark.long
def test_five_percent_of_unrelated_networks_are_rejected_in_groups():
    assert 2 <= rejected(200, 300, 10) <= 19  # 3,000 rows; outside with p = .01


def test_related_networks_are_found_in_groups_and_what_was_shuffled_is_said():
    (pair,) = ks.measure(**in_groups(np.random.default_rng(0), 30, 6, related=True))
    assert pair.null.p_value < 0.01 and pair.null.above_chance > 0.5
    assert any("of 30 rows, one of each group" in note for note in pair.notes)


def test_a_grid_of_grouped_rows_is_corrected_over_one_row_of_each_group():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = [in_groups(rng, 30, 6, related=False) for _ in range(3)]
        sides = {side: {f"{side[0]}{i}": each[side] for i, each in enumerate(rows)} for side in ("teacher", "student")}
        searched = best_of_many(**sides, seed=0, groups=rows[0]["groups"])
        found += min(pair.p_corrected for pair in searched.values()) < 0.05
    assert found <= 4  # at 5 %, more than 4 of 20 has p = .003
    report = ks.measure(**sides, groups=rows[0]["groups"], pairs="all")
    assert {pair.null.p_corrected for pair in report} == {pair.p_corrected for pair in searched.values()}
    assert all("30 rows, one of each group" in " ".join(pair.notes) for pair in report)
