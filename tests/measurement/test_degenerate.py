"""Features that are constant, equal or few: a number that is right, or none and a note."""

import json

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.cli.main import main
from kernelscope.errors import DegenerateKernel, NumericalError, UsageError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 5))
ROW = RNG.standard_normal((1, 7))


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (np.full((200, 5), 0.1), X),
        (X, np.full((200, 5), 0.1)),
        (np.full((200, 5), 0.1), np.full((200, 5), 0.3)),
        (np.tile(ROW, (200, 1)), X),
        (X, np.tile(ROW, (200, 1)).astype(np.float32)),
        (X, np.full((200, 2), 1e6) + np.spacing(1e6) * RNG.integers(-1, 2, (200, 2))),
    ],
)
@pytest.mark.parametrize("kernel", ["linear", "rbf:0.1", "poly:2"])
def test_constant_features_have_no_cka_and_no_chance(teacher, student, kernel):
    pair = ks.measure(teacher=teacher, student=student, kernel=kernel).pairs[0]
    assert (pair.cka, pair.cka_debiased, pair.null.p_value, pair.null.above_chance) == (None, None, None, None)


@pytest.mark.parametrize("pairs", [None, "all"])
def test_a_constant_layer_has_no_cka_in_a_grid_either(pairs):
    report = ks.measure(teacher={"a": X}, student={"a": np.full((200, 5), 0.1)}, pairs=pairs)
    assert report.pairs[0].cka is None
    assert report.pairs[0].ladder.centred == 1.0


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_an_offset_is_not_constancy(offset):
    pair = ks.measure(teacher=X + offset, student=X).pairs[0]
    assert pair.cka == pytest.approx(1, abs=1e-6)
    assert pair.null.p_value < 1e-6


def test_bounded_numbers_stay_inside_their_bounds():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        T = rng.standard_normal((60, 4)) * 10.0 ** rng.uniform(-3, 3)
        turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
        for student in (T @ turn * 3, T, T[:, ::-1]):
            pair = ks.measure(teacher=T, student=student).pairs[0]
            for value in (pair.alignment, pair.cka, pair.ladder.scaled, pair.ladder.centred, pair.ladder.head):
                assert 0 <= value <= 1
            assert pair.null.above_chance <= 1


def test_centring_leaves_nothing_of_a_constant_network():
    for teacher, student, who in ((np.full((200, 5), 0.1), X, "teacher"), (X, np.full((200, 5), 0.1), "student")):
        with pytest.raises(DegenerateKernel, match=f"{who} features are the same for all examples"):
            ks.measure(teacher=teacher, student=student, centre=True)


@pytest.mark.parametrize("kernel", ["rbf", "rbf:0.1", "poly", "poly:2,1"])
def test_centring_of_features_is_refused_where_it_would_not_centre_the_kernel(kernel, tmp_path, capsys):
    with pytest.raises(UsageError, match="takes off the mean of features"):
        ks.measure(teacher=X, student=X[:, :3], kernel=kernel, centre=True)
    np.save(tmp_path / "x.npy", X)
    path = str(tmp_path / "x.npy")
    with pytest.raises(SystemExit) as stop:
        main(["measure", "--teacher", path, "--student", path, "--kernel", kernel, "--centre"])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_centred_features_with_a_large_offset_are_those_without_it():
    T = X + 0.0
    S = X @ np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0] + 1e-3 * RNG.standard_normal(X.shape)
    plain = ks.measure(teacher=T, student=S, centre=True).pairs[0]
    grid = 2.0**-20  # so that the offset rounds nothing away
    moved = ks.measure(teacher=np.rint(T / grid) * grid + 2.0**20, student=S, centre=True).pairs[0]
    assert moved.transfer_loss == pytest.approx(plain.transfer_loss, rel=1e-2)
    assert moved.resolved


def test_every_number_that_rests_on_a_difference_has_an_interval_that_holds_it():
    pair = ks.measure(teacher=X, student=X[:, :3] + 0.1 * RNG.standard_normal((200, 3)), untrained=False).pairs[0]
    flat = {
        "norm_difference": pair.norm_difference,
        **{f"ladder.{name}": getattr(pair.ladder, name) for name in pair.ladder.__dataclass_fields__},
        "difference_spectrum.spectral_norm": pair.difference_spectrum.spectral_norm,
        "difference_spectrum.nuclear_norm": pair.difference_spectrum.nuclear_norm,
    }
    for name, value in flat.items():
        low, high = pair.intervals[name]
        assert low <= value <= high, name
        assert high - low <= 1e-6 * max(1, value), name
    reloaded = ks.TransferReport.from_dict(json.loads(ks.measure(teacher=X, student=X[:, :3]).to_json())).pairs[0]
    assert reloaded.intervals["ladder.head"][0] <= reloaded.ladder.head


def test_references_and_comparisons_carry_rounding_intervals():
    students = {"one": X[:, :3], "two": X[:, :4]}
    report = ks.measure(
        teacher={"features": X},
        student=[{"features": S} for S in students.values()],
        references={"turned": {"features": X @ np.linalg.qr(RNG.standard_normal((5, 5)))[0]}},
    )
    reference = report.pairs[0].references[0]
    for name in ("transfer_loss", "scaled", "head"):
        low, high = reference.intervals[name]
        assert low <= getattr(reference, name) <= high
    for each in report.comparisons:
        low, high = each.rounding_interval
        assert low < 0
        assert high - low < 1e-6


@pytest.mark.parametrize(("n", "warned"), [(49, True), (50, False)])
def test_a_head_fitted_on_few_examples_is_warned_of(n, warned):
    pair = ks.measure(teacher=X[:n], student=X[:n] + 0.3 * RNG.standard_normal((n, 5))).pairs[0]
    assert ("few-examples-for-head" in {w.code for w in pair.warnings}) == warned


def test_a_rank_that_was_cut_is_warned_of_with_its_tolerance():
    dead = np.hstack([X[:, :2], X[:, :2] @ RNG.standard_normal((2, 2))]).astype(np.float32)
    texts = {w.code: w.text for w in ks.measure(teacher=X, student=dead).pairs[0].warnings}
    assert "2 of 4 directions" in texts["rank-cut"]
    assert f"{2.0**-24:.1g}" in texts["rank-cut"]
    assert "rank-cut" not in {w.code for w in ks.measure(teacher=X, student=X[:, :4]).pairs[0].warnings}


def test_features_that_are_not_finite_are_not_called_constant():
    for bad in (np.nan, np.inf):
        broken = X.copy()
        broken[3, 1] = bad
        with pytest.raises(NumericalError, match="first in row 3"):
            ks.measure(teacher=broken, student=X, centre=True)
