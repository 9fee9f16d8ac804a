"""``weight=auto``: a term's gradient is brought to half of cross-entropy's, and what is far too heavy is said."""

import numpy as np
import pytest

from kernelscope.distill import balance
from kernelscope.distill.balance import RATIO, STEPS, Balance
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.methods import described, losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.errors import UsageError


def test_the_scale_is_over_the_geometric_mean_of_the_first_steps():
    found, rng = Balance(), np.random.default_rng(0)
    norms = np.exp(rng.standard_normal((STEPS + 5, 2)))
    for of_ce, of_term in norms:
        found.observe(of_ce, of_term)
    ratios = norms[:STEPS, 1] / norms[:STEPS, 0]
    assert found.frozen and found.scale == pytest.approx(RATIO / np.exp(np.log(ratios).mean()), rel=1e-12)


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
        each.observe(1.0, 9.0)
    assert found.frozen and found.scale == again.scale == pytest.approx(RATIO / 30 ** (1 / 3))


def test_a_weight_that_drowns_cross_entropy_is_said_when_it_begins(few, taught):
    said = []
    recipe = Recipe(arch="resnet8x0.25", method="kda(weight=500)", epochs=3, batch_size=32, lr=1e-4)
    trained = train(recipe, data=few, teacher=taught, announce=said.append, accuracy_check=False).last.training
    assert len(said) == 1 and "times cross-entropy's as it begins; lower its weight, or write weight=auto" in said[0]
    assert trained["notes"] == said
    light = Recipe(arch="resnet8x0.25", method="kda(weight=0.01)", epochs=3, batch_size=32, lr=1e-4)
    assert train(light, data=few, teacher=taught, accuracy_check=False).last.training["notes"] == []
