"""``weight=auto``: a term's gradient is brought to half of cross-entropy's, and what is far too heavy is said."""

import numpy as np
import pytest

from kernelscope.distill import balance
from kernelscope.distill.balance import MOST, RATIO, STEPS, Balance, begins
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.methods import described, losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.errors import UsageError


def test_the_scale_is_over_the_geometric_mean_of_the_steps_taken():
    found, rng = Balance(), np.random.default_rng(0)
    norms = np.exp(rng.standard_normal((STEPS, 2)))
    for of_ce, of_term in norms:
        found.observe(of_ce, of_term)
    scale = RATIO / np.exp(np.log(norms[:, 1] / norms[:, 0]).mean())
    assert found.found and found.scale == pytest.approx(scale, rel=1e-12)
    found.observe(1.0, 0.9 * MOST * RATIO / scale)
    assert found.scale == pytest.approx(scale), "later steps leave it, unless the gradient has grown"
    found.observe(1.0, 8.0 / scale)
    assert found.scale == pytest.approx(scale * RATIO / 8)
    found.observe(1.0, 1e-9)
    assert found.scale == pytest.approx(scale * RATIO / 8), "and never raise it"


def test_before_the_ratio_is_taken_a_term_is_only_weakened():
    found = Balance()
    found.observe(1.0, 1e-6, early=True)
    assert (found.scale, found.logs) == (1.0, [])
    found.observe(1.0, 50.0, early=True)
    assert (found.scale, found.logs) == (RATIO / 50, [])


@pytest.mark.parametrize(
    ("epochs", "warm_up", "expected"), [(16, 2, 4), (120, 5, 5), (120, 20, 20), (8, 2, 2), (3, 2, 0), (16, 10, 4)]
)
def test_the_ratio_is_taken_after_the_rates_warm_up_and_in_the_first_quarter(epochs, warm_up, expected):
    assert begins(epochs, warm_up) == expected
    found = Balance()
    assert found.looks(expected, epochs, warm_up, first=False)
    assert expected == 0 or not found.looks(expected - 1, epochs, warm_up, first=False)
    assert found.looks(0, epochs, warm_up, first=True)


def test_terms_of_a_sum_share_what_is_aimed_at():
    placed = losses_of("kda(weight=auto)+kda@logits(weight=auto)+kd").values()
    assert [p.balance and p.balance.aim for p in placed] == [RATIO / 2, RATIO / 2, None]


@pytest.mark.parametrize("norms", [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_steps_without_a_gradient_do_not_count(norms):
    found = Balance()
    found.observe(*norms)
    assert (found.scale, found.logs) == (1.0, [])


@pytest.mark.parametrize("name", LOSSES)
def test_every_method_takes_the_weight_that_its_gradients_ask_for(name, few, taught):
    recipe = Recipe(arch="resnet8x0.25", method=f"{name}(weight=auto)", epochs=9, batch_size=32)
    trained = train(recipe, data=few, teacher=taught, accuracy_check=False).last.training
    ((term, scale),) = trained["scales"].items()
    assert term == recipe.method and scale > 0
    active = [r["gradient"]["distill"] / r["gradient"]["ce"] for r in trained["history"] if r["gradient"]["distill"]]
    assert RATIO / 4 < np.exp(np.mean(np.log(active[1:6]))) < RATIO * 4


def test_the_weight_is_told_as_auto_and_others_stay_as_they_were(few, taught):
    assert ("kd.weight", "auto", "given") in described("kd(weight=auto)")
    assert ("rkd.weight", "auto", "given") in described("rkd(weight=auto,angle=0)")
    (placed,) = losses_of("rkd(weight=auto,angle=0)").values()
    assert placed.loss.angle == 0 and placed.balance is not None
    with pytest.raises(UsageError, match="no option 'weight'"):
        losses_of("rkd(weight=2)")
    with pytest.raises(UsageError, match="give another value"):
        losses_of("kd(weight=automatic)")
    plain = train(Recipe(arch="resnet8x0.25", method="kd", epochs=1), data=few, teacher=taught).last.training
    assert plain["scales"] is None


def test_a_run_with_auto_weights_resumes_in_the_same_bits(few, taught, monkeypatch):
    monkeypatch.setattr(balance, "STEPS", 3)
    found = Balance()
    for step in range(2):
        found.observe(1.0, 2.0 + step)
    again = Balance()
    again.load_state_dict(found.state_dict())
    for each in (found, again):
        each.observe(1.0, 5.0)
    assert found.found and found.scale == again.scale == pytest.approx(RATIO / 30 ** (1 / 3))
    for each in (found, again):
        each.observe(1.0, 9.0)
    assert found.scale == again.scale == pytest.approx(RATIO / 9)


def test_a_weight_that_drowns_cross_entropy_is_said_when_it_begins(few, taught):
    said = []
    recipe = Recipe(arch="resnet8x0.25", method="kda(weight=500)", epochs=3, batch_size=32, lr=1e-4)
    trained = train(recipe, data=few, teacher=taught, announce=said.append, accuracy_check=False).last.training
    assert len(said) == 1 and "times cross-entropy's as it begins; lower its weight, or write weight=auto" in said[0]
    assert trained["notes"] == said
    light = Recipe(arch="resnet8x0.25", method="kda(weight=0.01)", epochs=3, batch_size=32, lr=1e-4)
    assert train(light, data=few, teacher=taught, accuracy_check=False).last.training["notes"] == []
