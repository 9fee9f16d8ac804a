"""A gate fails if any value in the interval violates its limit, and what is not known passes none."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import GateFailed, UsageError
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.report.document import flat_fields
from kernelscope.report.fields import Comparison
from kernelscope.report.gates import SAME_FILE, Gate, NoWorseThan, judge, remarks
from kernelscope.report.known_intervals import POINT, SMALL
from kernelscope.report.notes import NOT_SAMPLED, ONE_PASS, ROWS_TELL, STREAMED
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_report, with_pair

TEACHER, CE, KD, KDA = (network.name for network in full_report().networks)


def at_most(field, limit):
    return Gate(field, limit, at_most=True)


def at_least(field, limit):
    return Gate(field, limit, at_most=False)


def a_pair(**changes):
    return with_pair(full_report(), 0, **changes).pairs[0]


def numbers(pair):
    """Dotted numbers of a pair as its records have them."""
    flat = {name: value for name, value in flat_fields(pair).items() if not name.startswith("intervals.")}
    return {name: value for name, value in flat.items() if isinstance(value, (bool, int, float))}


def test_every_number_of_a_record_can_be_gated_at_its_value():
    pair = dataclasses.replace(full_report().pairs[1], intervals={})
    found = numbers(pair)
    assert len(found) > 90
    for name, value in found.items():
        if name in ("transfer_loss", "ladder.raw"):
            continue
        for sign, other in (("max", math.nextafter(value, -math.inf)), ("min", math.nextafter(value, math.inf))):
            text, strict = f"{name}={float(value)!r}", f"{name}={float(other)!r}"
            assert Gate.parse(text, at_most=sign == "max").judge(pair).failure is None, name
            assert Gate.parse(strict, at_most=sign == "max").judge(pair).failure is not None, name


@pytest.mark.parametrize("text", ["", "=", "=3", " =3", "cka", "cka=", "cka= ", "cka=x", "cka=1=2", "cka=nan", "=nan"])
def test_what_is_not_field_and_number_is_refused(text):
    with pytest.raises(UsageError, match=r"is not FIELD=NUMBER; write for example transfer_loss=0\.3"):
        Gate.parse(text, at_most=True)


@pytest.mark.parametrize("number", ["inf", "-inf", "Infinity", "1e999", "-1e999"])
def test_a_limit_that_is_not_finite_is_refused(number):
    for bound in (True, False):
        with pytest.raises(UsageError, match="is not finite"):
            Gate.parse(f"cka={number}", at_most=bound)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("kernel", "kernel is text, not a number"),
        ("landmarks.strategy", "landmarks.strategy is text, not a number"),
        ("difference_spectrum.eigenvalues", "is a list, not a number"),
        ("worst", "worst is a list, not a number"),
        ("intervals", "intervals is a list, not a number"),
        ("ladder", r"no number 'ladder'; nearest: ladder\."),
        ("transfer_los", "no number 'transfer_los'; nearest: transfer_loss"),
        ("paper.bounds.theorem3.value", r"nearest: paper\.bounds\.theorem2\.value"),
        ("rounding_interval", "nearest: rounding_interval_"),
    ],
)
def test_what_no_report_has_as_a_number_is_refused_unmeasured(field, said):
    with pytest.raises(UsageError, match=said):
        Gate.parse(f"{field}=1", at_most=True)


def test_blanks_around_field_and_number_are_no_matter():
    assert Gate.parse(" cka = 0.5 ", at_most=False) == at_least("cka", 0.5)


def test_yes_and_no_count_as_one_and_zero():
    gate = Gate.parse("resolved=1", at_most=False)
    assert gate.judge(a_pair()).failure is None
    assert "resolved >= 1: is 0" in gate.judge(a_pair(resolved=False)).failure
    assert Gate.parse("paper.bounds.corollary2_paper.holds=1", at_most=False).judge(a_pair()).failure is not None


@pytest.mark.parametrize("field", ["transfer_loss", "ladder.raw"])
def test_the_loss_is_judged_by_the_worse_end_of_its_rounding(field):
    pair = a_pair(rounding_interval=(0.25, 0.75))
    for gate, passes in [
        (at_most(field, 0.75), True),
        (at_most(field, 0.7499), False),
        (at_least(field, 0.25), True),
        (at_least(field, 0.2501), False),
    ]:
        judged = gate.judge(pair)
        assert (judged.failure is None) == passes
        assert judged.by == ""


def test_a_number_with_an_interval_is_judged_by_its_worse_end():
    pair = a_pair(intervals={"ladder.head": (0.125, 0.5)})
    assert at_most("ladder.head", 0.5).judge(pair).failure is None
    assert at_most("ladder.head", 0.5).judge(pair).by == ""
    assert at_most("ladder.head", 0.25).judge(pair).failure == (
        "FAILED ladder.head <= 0.25: is 0.5 in [0.125, 0.5] (out/ce.pt, embedding=embedding)"
    )
    assert "is 0.125 in [0.125, 0.5]" in at_least("ladder.head", 0.2).judge(pair).failure


def test_a_number_without_an_interval_is_called_a_point():
    pair = a_pair(cka=0.75)
    assert at_least("cka", 0.5).judge(pair).by == POINT
    assert at_least("cka", 0.8).judge(pair).failure == (
        "FAILED cka >= 0.8: is 0.75, judged at a point, no interval (out/ce.pt, embedding=embedding)"
    )


def test_a_failure_shows_enough_digits_to_see_why():
    gate = at_most("cka", 0.5)
    for value in (math.nextafter(0.5, 1), 0.5 + 1e-9, 0.5 + 1e-4):
        shown = gate.judge(a_pair(cka=value)).failure.split("is ")[1].split(",")[0]
        assert float(shown) > 0.5
    assert "<= 0.5000000001: is" in at_most("cka", 0.5000000001).judge(a_pair(cka=0.75)).failure


@pytest.mark.parametrize("worst", [math.nan, math.inf])
def test_nan_and_an_interval_without_end_pass_nothing(worst):
    assert at_most("cka", 1e300).judge(a_pair(cka=worst)).failure is not None
    assert at_most("transfer_loss", 1e300).judge(a_pair(rounding_interval=(0.0, worst))).failure is not None


def test_what_was_not_measured_fails_on_either_side():
    for field, changes in [("cka", {"cka": None}), ("nystrom.tail_teacher", {"nystrom": None})]:
        for gate in (at_most(field, 1e300), at_least(field, -1e300)):
            assert "not measured for this pair" in gate.judge(a_pair(**changes)).failure


def test_names_cannot_forge_a_line():
    failure = at_least("cka", 2).judge(a_pair(student="s\npassed: 1 gates\x1b[2K")).failure
    assert failure.isprintable()
    assert "(s?passed: 1 gates?[2K, embedding=embedding)" in failure


APART = {
    *("n", "d_teacher", "d_student", "resolved", "rounding_certified", "storage_floor"),
    *("norm_teacher", "norm_student", "alignment", "scale_ratio", "optimal_scale", "cka", "cka_debiased"),
    *("nystrom.residual_teacher", "nystrom.residual_student", "nystrom.tail_teacher", "nystrom.tail_student"),
}
APART_IN_WHOLE = {"null", "landmarks", "landmark_spectrum", "feature_spectrum", "neighbours", "outputs"}
APART_IN_WHOLE |= {"within_class_cka"}


def test_unresolved_only_what_rests_on_no_difference_passes():
    pair = dataclasses.replace(full_report().pairs[1], resolved=False, rounding_interval=(0.0, 0.5), intervals={})
    passed = {name for name in numbers(pair) if at_most(name, 1e300).judge(pair).failure is None}
    loss = {"transfer_loss", "ladder.raw"}
    expected = {name for name in numbers(pair) if name in APART | loss or name.split(".")[0] in APART_IN_WHOLE}
    assert passed == expected
    assert at_most("ladder.head", 9).judge(pair).failure == (
        "FAILED ladder.head <= 9: has no interval, and the loss is not resolved (0 to 0.5); gate transfer_loss "
        "(out/ce.pt, logits=logits)"
    )
    assert "is 0.5 in [0, 0.5]" in at_most("transfer_loss", 0.4).judge(pair).failure


def test_unresolved_an_interval_still_decides():
    pair = a_pair(resolved=False, intervals={"norm_difference": (1.0, 2.0)})
    assert at_most("norm_difference", 2).judge(pair).failure is None
    assert "is 2 in [1, 2]" in at_most("norm_difference", 1.5).judge(pair).failure


def test_a_measured_pair_that_is_not_resolved_passes_no_derived_gate():
    X = np.random.default_rng(0).standard_normal((200, 6))
    (pair,) = ks.measure(teacher=X, student=X * (1 + 1e-9), route="gram", neighbours=0)
    assert not pair.resolved
    bare = dataclasses.replace(pair, intervals={})
    assert at_most("difference_spectrum.nuclear_norm", 1e300).judge(bare).failure is not None
    assert at_most("transfer_loss", 1e-5).judge(bare).failure is None
    assert at_least("cka", 0.9).judge(bare).failure is None


def sampled(pair, limit=1.0, field="transfer_loss"):
    return at_most(field, limit).judge(pair, sampling=True)


def test_sampling_judges_the_loss_over_other_examples():
    pair = a_pair(rounding_interval=(0.25, 0.25), sampling_interval=(0.125, 0.5))
    for field in ("transfer_loss", "ladder.raw"):
        assert sampled(pair, 0.5, field).failure is None
        assert "is 0.5 in [0.125, 0.5]" in sampled(pair, 0.4, field).failure
    assert at_most("transfer_loss", 0.3).judge(pair).failure is None


def test_sampling_changes_nothing_for_other_numbers():
    pair = a_pair(cka=0.5, sampling_interval=None, intervals={"ladder.head": (0.1, 0.2)})
    for gate in (at_least("cka", 0.4), at_least("cka", 0.6), at_most("ladder.head", 0.15)):
        assert gate.judge(pair, sampling=True) == gate.judge(pair)


def test_unresolved_sampling_cannot_hide_what_rounding_leaves_open():
    pair = a_pair(resolved=False, rounding_interval=(0.0, 0.75), sampling_interval=(0.125, 0.5))
    assert sampled(pair, 0.75).failure is None
    assert "is 0.75 in [0, 0.75]" in sampled(pair, 0.6).failure


@pytest.mark.parametrize("high", [0.0, 1e-9, ROWS_TELL])
def test_a_loss_too_small_to_sample_is_judged_by_rounding(high):
    pair = a_pair(transfer_loss=high / 2, rounding_interval=(0.0, high), sampling_interval=None)
    assert sampled(pair, high) == dataclasses.replace(sampled(pair), failure=None, by=SMALL)
    failure = at_least("transfer_loss", 1).judge(pair, sampling=True).failure
    assert failure.endswith(f"{SMALL} (out/ce.pt, embedding=embedding)")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "too few examples or groups"),
        ({"notes": ("x", f"{NOT_SAMPLED}one carries it")}, "over examples: one carries it; measure more"),
        ({"notes": ("x", ONE_PASS)}, "one pass gives none"),
        ({"notes": (STREAMED,)}, "one pass gives none"),
        ({"route": "pairs-estimate"}, "pass --route blocked"),
        ({"transfer_loss": 1e-7, "rounding_interval": (0, 2e-5)}, "rounding alone may bring it to 2e-05"),
    ],
)
def test_a_loss_not_sampled_for_another_reason_fails_with_it(changes, said):
    failure = sampled(a_pair(**{"sampling_interval": None, **changes})).failure
    assert failure.startswith("FAILED transfer_loss <= 1: no interval over examples: ")
    assert said in failure


def compared(*comparisons, **pairs):
    """The logits of ce.pt, kd.pt and kda.pt, with changes to each by name."""
    report = full_report()
    kept = [pair for pair in report if pair.student_layer == "logits"]
    changed = [dataclasses.replace(p, **pairs.get(name, {})) for p, name in zip(kept, ("ce", "kd", "kda"))]
    found = [Comparison("logits", "logits", a, b, (low + high) / 2, (low, high)) for a, b, low, high in comparisons]
    return dataclasses.replace(report, pairs=tuple(changed), comparisons=tuple(found))


def against_kda(report, by=0.0, same=()):
    """By student, what holding it against kda.pt gives."""
    judged = judge(report, [], no_worse_than=NoWorseThan(KDA, by, same))
    return {each.where.split(",")[0]: each for each in judged}


def test_the_upper_end_of_loss_minus_others_loss_decides():
    report = compared((KDA, CE, -0.5, -0.25), (KD, KDA, -0.125, 0.0625))
    assert against_kda(report, 0.5)[CE].failure is None
    assert against_kda(report, 0.4)[CE].failure == (
        "FAILED no-worse-than out/kda.pt, difference <= 0.4: is 0.5 in [0.25, 0.5] (out/ce.pt, logits=logits)"
    )
    assert against_kda(report, 0.0625)[KD].failure is None
    assert "is 0.0625 in [-0.125, 0.0625]" in against_kda(report)[KD].failure


def test_the_other_student_itself_is_under_no_limit():
    report = compared((CE, KDA, -0.2, -0.1), (KD, KDA, -0.2, -0.1))
    judged = judge(report, [at_most("transfer_loss", 0.0)], no_worse_than=NoWorseThan(KDA))
    assert len(judged) == 4
    assert not any(each.where.startswith(KDA) for each in judged)


TINY = {"transfer_loss": 3e-6, "rounding_interval": (2e-6, 4e-6), "sampling_interval": None}
TINIER = {"transfer_loss": 1e-6, "rounding_interval": (0.0, 2e-6), "sampling_interval": None}


def test_two_losses_too_small_to_sample_are_compared_by_rounding():
    report = compared(ce=TINY, kd=TINIER, kda=TINIER)
    judged = against_kda(report, 4e-6)
    assert (judged[CE].failure, judged[CE].by) == (None, SMALL)
    assert f"is 4e-06 in [0, 4e-06], {SMALL}" in against_kda(report)[CE].failure
    assert against_kda(compared(ce=TINIER, kd=TINIER, kda=TINY))[CE].failure is None


def test_of_one_small_loss_the_larger_still_varies_with_examples():
    wide = {"rounding_interval": (0.25, 0.25), "sampling_interval": (0.2, 0.5)}
    report = compared(ce=wide, kd=wide, kda=TINY)
    assert against_kda(report, 0.3)[CE].failure is not None
    judged = against_kda(report, 0.5)[CE]
    assert judged.failure is None
    assert judged.by == "one too small to sample, judged by each one's own interval"
    assert against_kda(compared(ce=TINY, kd=wide, kda=wide))[CE].failure is None


def test_one_small_loss_does_not_excuse_one_that_was_not_sampled():
    not_sampled = {"sampling_interval": None, "notes": (ONE_PASS,)}
    for report in (compared(ce=TINY, kda=not_sampled), compared(ce=not_sampled, kda=TINY)):
        assert "one pass gives none" in against_kda(report, 1e300)[CE].failure


def test_students_that_were_not_resampled_alike_are_not_compared():
    assert "not resampled alike" in against_kda(compared(), 1e300)[CE].failure


@pytest.mark.parametrize("unresolved", ["ce", "kda"])
def test_a_comparison_on_an_unresolved_loss_allows_for_rounding(unresolved):
    interval = {"resolved": False, "rounding_interval": (0.0, 1.0)}
    report = compared((CE, KDA, -0.2, -0.1), (KD, KDA, -0.2, -0.1), **{unresolved: interval})
    assert against_kda(report)[CE].failure is not None
    assert against_kda(report, 1.0)[CE].failure is None


def test_rounding_of_both_losses_widens_an_unresolved_comparison():
    changes = {"ce": (0.5, 0.75), "kda": (0.125, 0.25)}
    unresolved = {name: {"resolved": False, "rounding_interval": interval} for name, interval in changes.items()}
    failure = against_kda(compared((CE, KDA, 0.375, 0.4375), (KD, KDA, 0, 0), **unresolved))[CE].failure
    assert "is 0.625 in [0.25, 0.625]" in failure


def test_every_pair_of_layers_has_a_difference_of_its_own():
    ends = {"embedding": (-0.5, -0.25), "logits": (0.25, 0.5)}
    comparisons = tuple(Comparison(at, at, s, KDA, 0.0, ends[at]) for s in (CE, KD) for at in ends)
    judged = judge(dataclasses.replace(full_report(), comparisons=comparisons), [], no_worse_than=NoWorseThan(KDA))
    assert [each.where.split("=")[1] for each in judged if each.failure] == ["logits", "logits"]
    assert len(judged) == 4


def test_a_student_held_against_its_own_file_passes():
    judged = against_kda(compared(ce=TINY, kda=TINY), same=(CE,))
    assert (judged[CE].failure, judged[CE].by) == (None, SAME_FILE)
    assert judged[KD].failure is not None


def test_layers_that_only_one_of_two_students_has_fail():
    lacking = ((KDA, "embedding"), (CE, "logits"))
    pairs = tuple(pair for pair in full_report() if (pair.student, pair.student_layer) not in lacking)
    report = dataclasses.replace(full_report(), pairs=pairs)
    failures = {each.where: each.failure for each in judge(report, [], no_worse_than=NoWorseThan(KDA, 1e300))}
    assert "out/kda.pt was not measured there" in failures[f"{CE}, embedding=embedding"]
    assert "the student was not measured there" in failures[f"{CE}, logits=logits"]


def test_two_students_of_one_name_are_not_guessed_at():
    report = full_report()
    names = (*report.networks[:2], report.networks[1])
    with pytest.raises(UsageError, match=r"two students are called out/ce\.pt"):
        NoWorseThan.last(dataclasses.replace(report, networks=names), by=0, same=[True])


def test_the_last_network_is_the_one_held_against():
    held = NoWorseThan.last(full_report(), by=0.5, same=[False, True])
    assert (held.other, held.by, held.same) == (KDA, 0.5, (KD,))


def test_of_groups_and_single_examples_no_difference_is_formed():
    class Tokens(ArrayFeatures):
        def pool(self, layer):
            return "token"

    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    ids = np.repeat(np.arange(20, dtype=np.uint8), 3)[:, None].repeat(16, axis=1)
    noisy = [X + 0.3 * rng.standard_normal(X.shape) for _ in range(2)]
    students = [Tokens("tokens", {"f": noisy[0]}, ids=ids), ArrayFeatures("rows", {"f": noisy[1]})]
    report = ks.measure(teacher=ArrayFeatures("t", {"f": X}), student=students, neighbours=0)
    assert all(pair.sampling_interval is not None for pair in report)
    assert report.comparisons == ()
    (judged,) = judge(report, [], no_worse_than=NoWorseThan.last(report, by=1e300, same=[False]))
    assert "not resampled alike" in judged.failure


def test_a_report_of_nothing_passes_no_gate():
    empty = TransferReport({}, full_report().networks, ())
    with pytest.raises(GateFailed, match="no pair of layers was measured"):
        judge(empty, [at_most("cka", 9)])


def test_remarks_name_the_gates_once_and_count_the_pairs():
    report = with_pair(full_report(), 0, **TINY)
    gates = [at_least("cka", -9), at_most("transfer_loss", 9), at_most("n", 1e9), at_most("cka", 9)]
    judged = judge(report, gates, sampling=True)
    assert all(each.failure is None for each in judged)
    assert remarks(judged) == (
        " (judged at a point, no interval: cka, n; too small to sample, judged by rounding: "
        "transfer_loss on 1 of 6 pairs)"
    )
    assert remarks(judge(report, [at_most("transfer_loss", 9)])) == ""


def test_every_gate_is_held_against_every_pair():
    judged = judge(full_report(), [at_most("n", 1), at_most("d_teacher", 1)])
    places = [f"{s}, {layer}={layer}" for s, layer in itertools.product((CE, KD, KDA), ("embedding", "logits"))]
    assert [(each.where, each.gate) for each in judged] == [(p, g) for p in places for g in ("n", "d_teacher")]
    assert all(each.failure for each in judged)
