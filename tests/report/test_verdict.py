"""The sentence: every rule at both sides of its limit, the order of the rules, and known injuries by name."""

from dataclasses import replace

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.report import fields
from kernelscope.report.verdict import FINDINGS, sentence, verdict
from kernelscope.report.verdict_limits import Limit
from tests.report.injuries import ACCUSATIONS, INJURIES, injured, shams
from tests.report.sample_reports import full_report

SPECTRUM = fields.FeatureSpectrum(64, 20.0, 0.1, mean_share=0.1, centred_effective_rank=20.0)


def pair(**changes):
    """A pair of which no rule has anything to say; ``a__b`` changes field b of field a."""
    plain = replace(
        full_report().pairs[0],
        transfer_loss=0.6,
        rounding_interval=(0.6, 0.6),
        resolved=True,
        storage_floor=0.0,
        kernel="linear",
        route="gram",
        norm_student=1.0,
        optimal_scale=4.0,
        scale_ratio=1.0,
        centred_scale_ratio=1.0,
        cka=0.8,
        ladder=fields.Ladder(0.6, 0.55, 0.5, 0.4, 0.45, 0.0),
        null=fields.Null(1.4, 0.02, 0.01, 0.0, 1e-9, 0.75),
        feature_spectrum=fields.FeatureSpectra(SPECTRUM, SPECTRUM),
        classes=None,
        within_class_cka=None,
        outliers=None,
        verdict=None,
    )
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        value = replace(getattr(plain, outer), **{inner: value}) if inner else value
        plain = replace(plain, **{outer: value})
    return plain


def spectra(teacher=(), student=()):
    return fields.FeatureSpectra(*(replace(SPECTRUM, **dict(changes)) for changes in (teacher, student)))


def test_where_nothing_is_found_no_cheap_repair_is_promised():
    assert verdict(pair()) == (
        "most of the teacher's kernel is there (loss 0.60); no cheap repair: a factor leaves 0.55, a linear head 0.45 "
        "on examples it has not seen; train longer, or on the kernel itself"
    )


@pytest.mark.parametrize(
    ("interval", "resolved", "floor", "said"),
    [
        ((0.0, 0.0), True, 0.0, "exactly"),
        ((0.0, 3e-9), False, 0.0, "between 0 and 3e-09: too close"),
        ((0.1, 0.2), True, 0.3, "equal within storage"),
        ((0.1, 0.31), True, 0.3, "is there"),
    ],
)
def test_precision_speaks_first(interval, resolved, floor, said):
    found = pair(
        rounding_interval=interval, resolved=resolved, storage_floor=floor, null__p_value=0.9 if floor == 0 else 0
    )
    assert said in verdict(found)


def test_an_estimate_from_drawn_pairs_is_not_called_too_close_to_tell():
    said = verdict(pair(rounding_interval=(0.3, 0.7), resolved=False, route="pairs-estimate"))
    assert "too close" not in said
    assert "0.3 and 0.7" in said


@pytest.mark.parametrize(("p", "chance"), [(0.0, False), (0.04, False), (0.06, True), (0.1, True), (None, False)])
def test_chance_does_as_well_only_from_a_level_of_five_percent_on(p, chance):
    assert verdict(pair(null__p_value=p)).startswith("no better than chance") == chance


@pytest.mark.parametrize(
    ("above", "said"), [(0.04, "hardly better"), (0.052, "between hardly"), (0.056, "hardly anything of")]
)
def test_what_many_examples_prove_to_be_next_to_nothing_is_called_that(above, said):
    assert verdict(pair(null__above_chance=above, ladder__centred=0.99)).startswith(said)


def test_a_constant_network_has_collapsed_and_nothing_else_is_said():
    for which in ("teacher", "student"):
        said = verdict(pair(feature_spectrum=spectra(**{which: {"centred_effective_rank": 0.0}}), null__p_value=None))
        assert said.startswith(f"the {which}'s features are constant")
    assert "all zero" in verdict(pair(norm_student=0.0, null__p_value=None))


@pytest.mark.parametrize(("without", "named"), [(0.25, True), (0.35, False), (1.1, False), (1.3, True), (None, False)])
def test_few_examples_speak_where_the_loss_without_them_is_another(without, named):
    said = verdict(pair(outliers=fields.Outliers(4, 8, without)))
    assert said.startswith("4 of 450 examples carry half") == named
    assert (without is not None and f"{without:.2f} without the heaviest 8" in said) == named


@pytest.mark.parametrize(
    ("shares", "above", "named"),
    [((0.6, 0.6), 0.2, "little"), ((0.6, 0.6), 0.25, "between little"), ((0.6, 0.6), 0.3, None),
                             ((0.6, 0.4), 0.2, None), ((0.4, 0.6), 0.2, None)],
)  # fmt: skip
def test_a_shared_mean_is_not_taken_for_a_shared_kernel(shares, above, named):
    found = spectra(*({"mean_share": share} for share in shares))
    said = verdict(pair(feature_spectrum=found, null__above_chance=above, ladder__centred=0.97))
    assert ("mostly the mean direction" in said) == (named is not None)
    assert named is None or f"beyond the mean {named}" in said


@pytest.mark.parametrize(
    ("above", "centred", "said"),
    [
        (0.95, 0.3, "nearly all"), (0.95, 0.5, "most"), (0.85, 0.3, "most"), (0.55, 0.3, "a good part"),
        (0.61, 0.81, "a good part"), (0.25, 0.9, "a little"), (0.31, 0.97, "a little"), (0.09, 0.9, "hardly anything"),
        (None, 0.5, "loss 0.60, where 0"),
    ],
)  # fmt: skip
def test_a_verdict_opens_with_chance_and_the_centred_rung(above, centred, said):
    assert verdict(pair(null__above_chance=above, ladder__centred=centred)).startswith(said)


@pytest.mark.parametrize(
    ("loss", "centred", "ratio", "said"),
    [
        (0.049, 0.1, 1.0, "little is left to repair"),
        (0.051, 0.1, 1.0, "no cheap repair"),
        (0.049, 0.16, 1.0, "no cheap repair"),
        (0.049, 0.1, 0.4, "no cheap repair"),
    ],
)
def test_a_small_loss_leaves_nothing_to_repair_if_the_centred_kernels_agree(loss, centred, ratio, said):
    small = {"transfer_loss": loss, "ladder__scaled": loss, "ladder__head_held_out": loss}
    assert said in verdict(pair(**small, ladder__centred=centred, centred_scale_ratio=ratio))


@pytest.mark.parametrize(
    ("loss", "scaled", "centred", "said"),
    [
        (1.2, 0.4, 0.4, "a matter of scale; multiply the student's features by 2"),
        (0.8, 0.39, 0.4, "between a matter of scale and more"),
        (0.8, 0.45, 0.4, None),
        (2.0, 0.55, 0.4, None),
        (1.2, 0.4, 0.55, None),
    ],
)
def test_scale_is_named_only_where_a_factor_repairs_both_kernels(loss, scaled, centred, said):
    found = pair(transfer_loss=loss, ladder__scaled=scaled, ladder__centred=centred, ladder__head_held_out=None)
    assert ("rescaling alone" in verdict(found)) == (said is not None)
    assert said is None or said in verdict(found)


def test_scale_is_never_named_under_cosine_or_between_rows_of_one_length():
    scaled = {"transfer_loss": 1.2, "ladder__scaled": 0.3, "ladder__centred": 0.3, "ladder__head_held_out": None}
    assert "scale" in verdict(pair(**scaled))
    assert "scale" not in verdict(pair(**scaled, kernel="cosine"))
    one = spectra({"row_length": 1.0}, {"row_length": 1.0})
    assert "scale" not in verdict(pair(**scaled, feature_spectrum=one))
    three = spectra({"row_length": 1.0}, {"row_length": 3.0})
    assert "scale" in verdict(pair(**scaled, feature_spectrum=three))


@pytest.mark.parametrize(("ratio", "named"), [(0.0025, True), (0.45, True), (0.55, False), (1.9, False), (2.1, True)])
def test_amplitude_is_named_where_the_mean_fits_and_deviations_do_not(ratio, named):
    found = spectra({"mean_share": 0.7}, {"mean_share": 0.9})
    said = verdict(pair(feature_spectrum=found, centred_scale_ratio=ratio, ladder__centred=0.1))
    assert ("amplitude" in said) == named
    assert not named or f"multiply the deviations by {ratio**-0.5:.3g}" in said


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (0.24, "add a linear layer"),
        (0.28, "between a matter of geometry"),
        (0.31, "no cheap repair"),
        (None, "no cheap"),
    ],
)
def test_only_the_held_out_head_is_put_into_words(held_out, said):
    assert said in verdict(pair(ladder__head=0.01, ladder__head_held_out=held_out))


def classes(*rows, sizes=(10, 10, 10, 70)):
    return fields.Classes(("a", "b", "c", "d"), rows, sizes)


def test_a_class_is_named_where_it_carries_the_loss():
    def of(share):
        rest = (1 - share) / 3
        return classes((share, 0, 0, 0), (0, rest, 0, 0), (0, 0, rest, 0), (0, 0, 0, rest))

    assert "class a carries 40% of the loss with 10% of the examples: look" in verdict(pair(classes=of(0.4)))
    assert "between a matter of one class and of all" in verdict(pair(classes=of(0.31)))
    assert "class" not in verdict(pair(classes=of(0.26)))
    assert "class" not in verdict(pair(classes=replace(of(0.4), sizes=(25, 25, 25, 25))))
    none = (0, 0, 0, 0)
    alone = classes((0.5, 0.25, 0, 0), (0.25, 0, 0, 0), none, none, sizes=(40, 20, 20, 20))
    assert "class a carries 75% of the loss with 40% of the examples" in verdict(pair(classes=alone))
    assert "class" not in verdict(pair(classes=replace(of(0.4), sizes=None)))


@pytest.mark.parametrize(
    ("within", "said"), [(0.1, "within classes little"), (0.18, "between some and little"), (0.3, None)]
)
def test_agreement_between_classes_only_is_not_called_most_of_the_kernel(within, said):
    found = type("Within", (), {"value": within, "chance": 0.02})()
    text = verdict(pair(within_class_cka=found))
    assert ("within classes" in text) == (said is not None)
    if said is not None:
        assert said in text
        assert text.startswith("loss 0.60; ")


@pytest.mark.parametrize(("floor", "said"), [(0.55, "widen it"), (0.48, "between the width"), (0.4, "no cheap repair")])
def test_the_width_is_named_where_it_allows_no_less(floor, said):
    assert said in verdict(pair(ladder__width_floor=floor))


@pytest.mark.parametrize(
    ("rank", "effective", "said"),
    [
        (64, 5.0, "most of them are lost"),
        (64, 6.5, "between some and most"),
        (64, 8.0, "no cheap"),
        (32, 20.0, "spans 32"),
    ],
)
def test_lost_directions_are_counted(rank, effective, said):
    found = spectra(student={"rank": rank, "centred_effective_rank": effective})
    assert said in verdict(pair(feature_spectrum=found))


def test_a_width_of_its_own_is_no_lost_direction_and_a_mean_hides_none():
    half = spectra(student={"rank": 32})
    assert "no cheap" in verdict(pair(feature_spectrum=half, d_student=32))
    means = spectra({"mean_share": 0.8}, {"mean_share": 0.9, "rank": 3})
    assert "it spans 3 directions" in verdict(
        pair(feature_spectrum=means, null__above_chance=0.1, ladder__centred=0.97)
    )


def test_a_limit_says_between_within_its_margin_only():
    limit = Limit(0.5, 0.1)
    assert [limit.clearly_below(x) for x in (0.44, 0.46)] == [True, False]
    assert [limit.near(x) for x in (0.44, 0.46, 0.54, 0.56)] == [False, True, True, False]


def test_a_saved_verdict_is_printed_as_it_was_saved():
    assert sentence(pair(verdict="as saved")) == "as saved"
    assert sentence(pair()) == verdict(pair())


def test_a_report_saves_its_verdict():
    X = np.random.default_rng(0).standard_normal((100, 4))
    report = ks.measure(teacher=X, student=3 * X)
    assert "a matter of scale" in report.pairs[0].verdict
    assert ks.TransferReport.from_json(report.to_json()).pairs[0].verdict == report.pairs[0].verdict


def test_pairs_with_hardly_any_numbers_still_have_a_sentence():
    X = np.random.default_rng(0).standard_normal((100, 4))
    for changes in ({"kernel": "rbf"}, {"kernel": "poly"}, {"pairs": "all"}):
        assert ks.measure(teacher={"a": X}, student={"a": X[:, :2]}, **changes).pairs[0].verdict
    assert len(FINDINGS) == len(set(FINDINGS))


def told(case):
    return ks.measure(teacher=case.teacher, student=case.student, labels=case.labels, neighbours=0).pairs[0].verdict


def misses(name, seeds):
    """Which seeds and kinds of features were not named, or were with a word that must not stand there."""
    named, forbidden, tried = [], [], 0
    for kind in INJURIES[name][3]:
        for seed in seeds:
            case, tried = injured(name, kind, seed), tried + 1
            said = told(case)
            named += [] if any(word in said for word in case.says) else [(kind, seed, said)]
            forbidden += [(kind, seed, said)] if any(word in said for word in case.never) else []
    return named, forbidden, tried


@pytest.mark.parametrize("name", INJURIES)
def test_an_injury_is_named_and_no_other_is(name):
    named, forbidden, _ = misses(name, range(2))
    assert (named, forbidden) == ([], [])


@pytest.mark.long
@pytest.mark.parametrize("name", INJURIES)
def test_an_injury_is_named_for_nineteen_of_twenty_seeds(name):
    named, forbidden, tried = misses(name, range(25))
    assert len(named) <= 0.05 * tried, named
    assert forbidden == []


def test_shams_are_not_accused():
    for name, case in shams(0):
        said = told(case)
        assert any(word in said for word in case.says), (name, said)
        assert not any(word in said for word in ACCUSATIONS), (name, said)


@pytest.mark.long
def test_of_two_hundred_shams_none_is_accused():
    accused = [(name, told(case)) for seed in range(13) for name, case in shams(seed)]
    assert len(accused) >= 200
    assert [each for each in accused if any(word in each[1] for word in ACCUSATIONS)] == []
