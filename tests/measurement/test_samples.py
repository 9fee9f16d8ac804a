"""A sample is of the same examples on both sides, beside their own labels and groups, and the report says so."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.datasets.sampling import draw
from kernelscope.errors import Mismatch

RNG = np.random.default_rng(0)
N = 90
X = RNG.standard_normal((N, 7))
S = X[:, :4] + RNG.standard_normal((N, 4)) / 3
Y = np.repeat(np.arange(3), [60, 20, 10])
ROWS = draw(Y, N, 30, seed=2).rows
ASKED = {"sample": 30, "seed": 2}
NET, OTHER = nn.Sequential(nn.Linear(7, 6), nn.Linear(6, 3)), nn.Sequential(nn.Linear(7, 4), nn.Linear(4, 3))


def loss(rows, **given):
    return ks.measure(teacher=X[rows], student=S[rows], seed=2, **given).pairs[0]


def test_arrays_are_sampled_by_the_labels_given_beside_all_rows():
    groups = np.arange(N) // 2
    found = ks.measure(teacher=X, student=S, labels=Y, groups=groups, **ASKED).pairs[0]
    expected = loss(ROWS, labels=Y[ROWS], groups=groups[ROWS])
    assert found.transfer_loss == expected.transfer_loss
    assert found.classes.loss == expected.classes.loss
    assert found.sampling_interval == expected.sampling_interval
    assert "a sample: 30 of 90 examples by class, seed 2" in found.notes


def test_without_labels_all_rows_are_as_likely():
    found = ks.measure(teacher=X, student=S, **ASKED).pairs[0]
    assert found.transfer_loss == loss(draw(None, N, 30, seed=2).rows).transfer_loss
    assert "a sample: 30 of 90 examples, seed 2" in found.notes


def test_files_are_sampled_by_the_labels_they_hold(tmp_path):
    np.savez(tmp_path / "t.npz", features=X, labels=Y)
    np.save(tmp_path / "s.npy", S)
    for teacher, student in (("t.npz", "s.npy"), ("s.npy", "t.npz")):
        found = ks.measure(teacher=tmp_path / teacher, student=tmp_path / student, **ASKED)
        expected = ks.measure(teacher=X[ROWS], student=S[ROWS])
        if teacher == "s.npy":
            expected = ks.measure(teacher=S[ROWS], student=X[ROWS])
        assert found.transfer_loss == expected.transfer_loss


@pytest.mark.parametrize("align", [None, "ids"])
def test_rows_in_another_order_are_sampled_by_their_ids(align, tmp_path):
    order, ids = RNG.permutation(N), np.arange(N) + 1000
    np.savez(tmp_path / "t.npz", features=X, labels=Y, ids=ids)
    np.savez(tmp_path / "s.npz", features=S[order], labels=Y[order], ids=ids[order])
    given = {"teacher": tmp_path / "t.npz", "student": tmp_path / "s.npz", "align": align, **ASKED}
    if align is None:
        with pytest.raises(Mismatch, match="the same examples in another order"):
            ks.measure(**given)
    else:
        assert ks.measure(**given).transfer_loss == pytest.approx(loss(ROWS).transfer_loss, rel=1e-12)


def test_a_network_and_features_are_sampled_alike(tmp_path):
    x = torch.from_numpy(X).float()
    features = NET(x).detach().numpy()
    found = ks.measure(teacher=NET, student={"logits": features}, data=(x, Y), layers="logits", **ASKED)
    assert found.transfer_loss < 1e-6 and found.pairs[0].n == 30
    both = ks.measure(teacher=NET, student=OTHER, data=(x, Y), layers="logits", **ASKED)
    expected = ks.measure(teacher=NET, student=OTHER, data=(x[ROWS], Y[ROWS]), layers="logits")
    assert both.transfer_loss == expected.transfer_loss
    beside = ks.measure(teacher=NET, student=OTHER, data=x, labels=Y, layers="logits", **ASKED)
    assert beside.transfer_loss == expected.transfer_loss
    assert beside.pairs[0].classes.loss == expected.pairs[0].classes.loss
    streamed = ks.measure(teacher=NET, student=OTHER, data=(x, Y), layers="logits", features=False, **ASKED)
    assert streamed.transfer_loss == pytest.approx(expected.transfer_loss)


def test_features_of_another_number_than_the_data_are_refused():
    with pytest.raises(Mismatch, match="has 80 examples and the sample was drawn of 90"):
        ks.measure(teacher=NET, student=S[:80], data=torch.from_numpy(X).float(), pairs="logits=features", **ASKED)


def test_verbs_sample_alike_and_the_cache_keeps_samples_apart(run, little, tmp_path):
    networks = ("--teacher", little / "teacher.pt", "--student", little / "student.pt", "--layers", "logits")
    losses = []
    for seed in (0, 1, 0):
        code, out, _ = run("measure", *networks, "--sample", 50, "--seed", seed, "--json")
        (pair,) = json.loads(out)["pairs"]
        assert (code, pair["n"]) == (0, 50)
        assert f"a sample: 50 of 450 examples by class, seed {seed}" in pair["notes"]
        losses.append(pair["transfer_loss"])
    assert losses[0] == losses[2] != losses[1]
    code, _, err = run(
        "extract", little / "teacher.pt", "--sample", 50, "--seed", 1, "--layers", "logits", "--out", "t.h5"
    )
    assert code == 0, err
    given = ks.FeatureStore.open(tmp_path / "t.h5")
    assert given.n == 50
    found = ks.measure(teacher=given, student=little / "student.pt", sample=50, seed=1, layers="logits")
    assert found.pairs[0].n == 50
    for verb in ("audit", "gate"):
        code, out, _ = run(verb, *networks, "--sample", 50, *(["--max", "n=50"] if verb == "gate" else ["--json"]))
        assert code == 0 and ("n" in out)
