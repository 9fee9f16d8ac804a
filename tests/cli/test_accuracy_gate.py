"""A network that does not score what its checkpoint states for the same examples is refused, unless told otherwise."""

import json

import pytest
import torch

from kernelscope.checkpoints.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def trained(little):
    return load_checkpoint(little / "teacher.pt")


@pytest.fixture
def written(trained, run):
    """Writes the trained network with other fields; gives the file's name."""

    def write(name="t.pt", **changes):
        fields = {**trained.__dict__, **changes}
        save_checkpoint(name, type(trained)(**fields), overwrite=True)
        return name

    return write


def measured(run, teacher, student, *more):
    return run("measure", "--teacher", teacher, "--student", student, "--layers", "embedding", "--json", *more)


def reordered(state_dict):
    """The same network for classes in another order."""
    return {key: value.flip(0) if key.startswith("fc.") else value for key, value in state_dict.items()}


def test_a_network_that_scores_what_its_file_states_passes(run, written):
    code, out, err = measured(run, written("t.pt"), written("s.pt"))
    assert code == 0, err
    assert not any("states" in note for note in json.loads(out)["pairs"][0]["notes"])


WRONG = {
    "normalisation": lambda c: {"preprocess": [*c.preprocess, {"op": "normalize", "mean": [3.0], "std": [0.2]}]},
    "class order": lambda c: {"state_dict": reordered(c.state_dict)},
    "weights": lambda c: {"state_dict": {k: v.roll(1) if k == "fc.weight" else v for k, v in c.state_dict.items()}},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_what_else_would_give_wrong_numbers_is_exit_4_with_both_scores(run, written, trained, wrong, role):
    assert trained.metrics["top1"] > 0.3, "the test needs a network that has learnt something"
    bad, good = written("bad.pt", **WRONG[wrong](trained)), written("good.pt")
    for _ in range(2):  # the second time, the features are found in the cache
        code, out, err = measured(run, *((bad, good) if role == "teacher" else (good, bad)))
        assert code == 4 and not out
        assert err.count("\n") == 1 and len(err) <= 201 and "bad.pt scores " in err
        assert f"but states {100 * trained.metrics['top1']:.1f} %; check" in err and "--no-accuracy-check" in err


@pytest.mark.parametrize(("points", "expected"), [(0.4, 0), (-0.4, 0), (0.6, 4), (-0.6, 4)])
def test_half_a_point_is_the_limit(run, written, trained, points, expected):
    stated = {**trained.metrics, "top1": trained.metrics["top1"] + points / 100}
    assert measured(run, written("t.pt"), written("s.pt", metrics=stated))[0] == expected


def test_asked_not_to_look_the_report_still_says_so(run, written, trained):
    bad = written("bad.pt", **WRONG["class order"](trained))
    code, out, err = measured(run, bad, written("s.pt"), "--no-accuracy-check")
    assert code == 0, err
    assert any("bad.pt scores" in note and "but states" in note for note in json.loads(out)["pairs"][0]["notes"])


def test_other_examples_are_no_reason_to_refuse(run, written, trained):
    bad = written("bad.pt", metrics={**trained.metrics, "top1": 0.0})
    assert measured(run, bad, bad, "--limit", "60")[0] == 0
    assert measured(run, bad, bad, "--split", "train", "--data", "digits")[0] == 0


def test_where_the_order_is_not_stated_name_split_and_number_decide(run, written, trained):
    told = {"metrics": {**trained.metrics, "top1": 0.0}, "data": {**trained.data, "order_sha256": None}}
    bad = written("bad.pt", **told)
    assert measured(run, bad, bad)[0] == 4
    assert measured(run, bad, bad, "--limit", "60")[0] == 0


def test_a_checkpoint_that_states_nothing_is_not_held_against_it(run, written):
    name = written("s.pt", metrics={})
    assert measured(run, name, name)[0] == 0


def test_an_untrained_copy_need_not_score_what_its_model_does(run, written):
    code, _, err = measured(run, written("t.pt"), written("s.pt"), "--untrained")
    assert code == 0, err


@pytest.mark.parametrize("verb", ["measure", "audit", "gate", "extract"])
def test_every_verb_that_runs_networks_looks(run, written, trained, verb, tmp_path):
    bad, good = written("bad.pt", **WRONG["class order"](trained)), written("good.pt")
    pair = ("--teacher", bad, "--student", good, "--layers", "embedding")
    words = {
        "measure": (*pair, "--no-features"),
        "audit": pair,
        "gate": (*pair, "--max", "transfer_loss=9"),
        "extract": (bad, "--out", "f.h5"),
    }[verb]
    code, out, err = run(verb, *words)
    assert code == 4 and not out and "bad.pt scores" in err
    assert not (tmp_path / "f.h5").exists()
    assert run(verb, *words, "--no-accuracy-check")[0] == 0
    assert (tmp_path / "f.h5").exists() == (verb == "extract")


@pytest.mark.parametrize("top1", ["high", 1.5, -0.1, float("nan"), [0.9], torch.ones(2)])
def test_a_score_that_is_none_is_refused(run, written, trained, top1):
    name = written("t.pt")
    document = torch.load(name, weights_only=True)
    torch.save({**document, "metrics": {"top1": top1}}, name)
    code, out, err = measured(run, name, name)
    assert code == 3 and not out and "states a top1 of" in err and err.count("\n") == 1
