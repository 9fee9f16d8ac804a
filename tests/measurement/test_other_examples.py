"""What a report says of other examples: an interval, its centre, what it rests on, and why there is none."""

import json
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.examples import Examples
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.extraction import extract
from kernelscope.rendering import page
from kernelscope.rendering import table as tables
from tests.report.sample_reports import bare_report, full_report, with_pair

ALIKE = {"neighbours": 0}


def a_pair(n=60, d=8, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((n, d))
    return {"teacher": X_T, "student": X_T + noise * rng.standard_normal((n, d))}


def unrelated(n, d=64, seed=0):
    rng = np.random.default_rng(seed)
    return {"teacher": rng.standard_normal((n, d)), "student": rng.standard_normal((n, d))}


def warned(pair, code):
    return [warning.text for warning in pair.warnings if warning.code == code]


def noted(pair, words):
    return [note for note in pair.notes if words in note]


def of_kernels(K_S, K_T, groups):
    """docs/theory.md 8.1 from kernels, each group deleted in turn."""
    different = groups[:, None] != groups

    def sums(keep):
        mask = different & keep[:, None] & keep
        return np.sum(np.square(K_S - K_T)[mask]), np.sum(np.square(K_T)[mask])

    names = np.unique(groups)
    theta = [0.5 * math.log(a / b) for a, b in (sums(groups != g) for g in (-1, *names))]
    v = len(names) * theta[0] - (len(names) - 1) * np.array(theta[1:])
    whole = sums(groups != -1)
    influence = [
        (whole[0] - a) / (2 * whole[0]) - (whole[1] - b) / (2 * whole[1]) for a, b in (sums(groups != g) for g in names)
    ]
    rests = np.sum(np.square(influence)) ** 2 / np.sum(np.power(influence, 4))
    half = stats.t.ppf(0.975, max(1, min(len(v) - 1, rests))) * np.std(v, ddof=1) / math.sqrt(len(v))
    return math.exp(v.mean()), (math.exp(v.mean() - half), math.exp(v.mean() + half))


def test_the_centre_stands_beside_the_interval_in_the_json():
    report = ks.measure(**unrelated(100), **ALIKE)
    (saved,) = json.loads(report.to_json())["pairs"]
    low, high = saved["sampling_interval"]
    assert low < saved["population_loss"] < high
    assert saved["population_loss"] == pytest.approx(math.sqrt(2), rel=0.1)
    assert saved["transfer_loss"] < low
    del saved["population_loss"]
    older = json.loads(report.to_json()) | {"pairs": [saved]}
    assert ks.TransferReport.from_dict(older).population_loss is None


def test_a_loss_outside_its_interval_is_noted_and_one_inside_is_not():
    (pair,) = ks.measure(**unrelated(100), **ALIKE)
    (note,) = noted(pair, "its sampling interval")
    assert note.startswith("the loss lies below") and f"give {pair.population_loss:.3g} (population_loss)" in note
    (pair,) = ks.measure(**a_pair(), **ALIKE)
    assert pair.sampling_interval[0] < pair.transfer_loss < pair.sampling_interval[1]
    assert not noted(pair, "its sampling interval")
    for scale in (0.3, 1.7):
        X = a_pair()["teacher"]
        report = ks.measure(teacher=X, student=scale * X, **ALIKE)  # an interval of no width around the loss
        assert not noted(report.pairs[0], "its sampling interval") and "among many" not in tables.text(report)


@pytest.mark.parametrize(
    "change",
    [{"population_loss": 0.7931}, {"population_loss": 0.755, "sampling_interval": (0.754, 0.8)}],
    ids=["a twentieth off", "the loss outside"],
)
def test_the_table_has_a_column_for_it_where_it_tells_more(change):
    text = tables.text(with_pair(full_report(), 0, **change), 120, explain=True)
    cells = [line.split() for line in text.splitlines()]
    rows = [row for row in cells if row[1:2] == ["embedding"] and len(row) > 8]
    assert rows[0][2:4] == ["0.753", f"{change['population_loss']:.3f}"]
    assert rows[1][2:4] == ["0.855", f"{0.8553 * 1.002:.3f}"]
    assert "among many: the loss that many more such examples would have" in " ".join(text.split())


@pytest.mark.parametrize(
    "change",
    [{}, {"population_loss": 0.7528 * 1.04}, {"population_loss": None}, {"population_loss": 0.9, "resolved": False}],
    ids=["near", "not yet a twentieth off", "an older report", "not resolved"],
)
def test_the_table_has_no_column_for_it_where_it_does_not(change):
    assert "among many" not in tables.text(with_pair(full_report(), 0, **change), 120)


def test_the_page_puts_it_before_the_range_only_where_it_differs():
    report = with_pair(bare_report(), 0, population_loss=0.25, sampling_interval=(0.2, 0.3))
    assert ">0.250: 0.200 to 0.300<" in page.render(report)
    assert ">0.250: 0.200 to 0.300<" in page.notebook(report)
    report = with_pair(report, 0, population_loss=0.19, sampling_interval=(0.17, 0.2))
    assert ">0.170 to 0.200<" in page.render(report)


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_few_examples_give_a_loss_no_interval_and_the_reason(n):
    (pair,) = ks.measure(**a_pair(n), labels=np.zeros(n, int))
    assert pair.transfer_loss > 0 and pair.sampling_interval is None and pair.population_loss is None
    assert noted(pair, f"no sampling interval: too few examples or groups: it takes 10 examples, here are {n}")


BAD = {
    "groups of one": ({"groups": np.arange(60)}, True),
    "four groups": ({"groups": np.arange(60) % 4}, "it takes 5 groups, here are 4"),
    "one group": ({"groups": np.zeros(60, int)}, "it takes 5 groups, here are 1"),
    "half in one group": ({"groups": np.maximum(np.arange(60) - 30, 0)}, True),
    "classes of one": ({"labels": np.arange(60)}, True),
    "one class": ({"labels": np.zeros(60, int)}, True),
}


@pytest.mark.parametrize("name", BAD)
def test_odd_groups_and_classes_give_a_right_number_or_a_reason(name):
    given, expected = BAD[name]
    arrays = a_pair()
    (pair,) = ks.measure(**arrays, **given, **ALIKE)
    K_S, K_T = (X @ X.T for X in (arrays["student"], arrays["teacher"]))
    assert pair.transfer_loss == pytest.approx(np.linalg.norm(K_S - K_T) / np.linalg.norm(K_T), rel=1e-10)
    if expected is True:
        value, interval = of_kernels(K_S, K_T, given.get("groups", np.arange(60)))
        assert (pair.population_loss, *pair.sampling_interval) == pytest.approx((value, *interval), rel=1e-8)
    else:
        assert pair.sampling_interval is None and noted(pair, expected)


def test_one_example_that_carries_everything_is_said():
    arrays = a_pair(noise=0)
    arrays["student"] = arrays["teacher"].copy()
    arrays["student"][7] *= 3
    (pair,) = ks.measure(**arrays, **ALIKE)
    assert pair.sampling_interval is None
    assert noted(pair, "no sampling interval: without one example nothing would be left of the difference")


def test_an_interval_that_few_examples_decide_is_warned_of():
    arrays = a_pair(200)
    assert not warned(ks.measure(**arrays, **ALIKE).pairs[0], "few-decide-the-interval")
    arrays["teacher"][:2] *= 20
    (pair,) = ks.measure(**arrays, **ALIKE)
    (text,) = warned(pair, "few-decide-the-interval")
    assert re.match("the sampling interval rests on [1-9] of 200 examples, which outweigh the rest", text)
    (pair,) = ks.measure(**arrays, groups=np.arange(200) // 2, **ALIKE)
    (text,) = warned(pair, "few-decide-the-interval")
    assert "of 100 groups" in text


def test_a_class_that_was_hardly_sampled_is_warned_of():
    labels = np.arange(60) % 3
    assert not warned(ks.measure(**a_pair(), labels=labels, **ALIKE).pairs[0], "few-of-a-class")
    labels[labels == 2] = np.r_[np.full(9, 2), np.zeros(11, int)]
    (text,) = warned(ks.measure(**a_pair(), labels=labels, **ALIKE).pairs[0], "few-of-a-class")
    assert text.startswith("fewer than 10 examples of class 2: 9 examples;")
    (text,) = warned(ks.measure(**a_pair(), labels=np.arange(60) % 20, **ALIKE).pairs[0], "few-of-a-class")
    assert text.startswith("fewer than 10 examples of 20 of 20 classes (least 0: 3)")


def test_of_a_class_in_groups_the_groups_are_counted():
    labels, groups = np.arange(60) // 30, np.arange(60) // 3
    assert not warned(ks.measure(**a_pair(), labels=labels, groups=groups, **ALIKE).pairs[0], "few-of-a-class")
    (text,) = warned(
        ks.measure(**a_pair(), labels=labels, groups=np.arange(60) // 5, **ALIKE).pairs[0], "few-of-a-class"
    )
    assert text.startswith("fewer than 10 groups of 2 of 2 classes (least 0: 6)")


def kernel_of(X, kernel):
    if kernel.startswith("rbf"):
        return np.exp(-0.05 * (np.sum(X**2, 1)[:, None] + np.sum(X**2, 1) - 2 * X @ X.T))
    return np.square(X @ X.T / np.mean(np.sum(X**2, 1)) + 1)


@pytest.mark.parametrize("kernel", ["rbf:0.05", "poly:2,1"])
@pytest.mark.parametrize("n", [60, 1100])
def test_kernels_without_features_leave_whole_groups_out_too(kernel, n):
    """1,100 examples are more than a block of the kernel holds."""
    arrays, groups = a_pair(n), np.random.default_rng(1).integers(0, 12, n)
    K_S, K_T = (kernel_of(arrays[role], kernel) for role in ("student", "teacher"))
    (pair,) = ks.measure(**arrays, groups=groups, kernel=kernel)
    value, interval = of_kernels(K_S, K_T, groups)
    assert (pair.population_loss, *pair.sampling_interval) == pytest.approx((value, *interval), rel=1e-8)
    assert noted(pair, "12 whole groups of examples")
    if n == 60:
        alone = ks.measure(**arrays, kernel=kernel).population_loss
        assert alone == pytest.approx(of_kernels(K_S, K_T, np.arange(n))[0], rel=1e-8)


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


@pytest.fixture
def pixels(tmp_path):
    """A layer of maps whose 16 pixels are rows, of 30 images: the networks, the data, and feature files."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    data = Examples(
        name="x",
        split="test",
        inputs=rng.standard_normal((30, 3, 6, 6)).astype(np.float32),
        labels=np.arange(30) % 3,
        ids=rng.integers(0, 256, (30, 16), dtype=np.uint8),
        classes=("a", "b", "c"),
        preprocess=(),
    )
    return {"teacher": Maps(), "student": Maps(), "data": data, "layers": "conv", "pool": "patch", "cache": False}


def test_pixels_of_one_image_are_a_group_without_being_asked_for(pixels):
    (pair,) = ks.measure(**pixels, **ALIKE)
    (told,) = ks.measure(**pixels, groups=np.repeat(np.arange(30), 16), **ALIKE)
    assert pair.n == 480 and pair.unit == "patch"
    assert (pair.sampling_interval, pair.population_loss) == (told.sampling_interval, told.population_loss)
    assert noted(pair, "30 whole groups") and not noted(pair, "by jackknife over single")


def test_feature_files_of_pixels_keep_their_groups(pixels, tmp_path):
    files = {}
    for role in ("teacher", "student"):
        files[role] = tmp_path / f"{role}.h5"
        extract(loaded_module(pixels[role], name=role), pixels["data"], out=files[role], layers="conv", pooling="patch")
    (pair,) = ks.measure(**files, **ALIKE)
    (told,) = ks.measure(**pixels, **ALIKE)
    assert pair.sampling_interval == told.sampling_interval and noted(pair, "30 whole groups")


class Positions(ArrayFeatures):
    """Arrays that say that their rows are tokens."""

    def pool(self, layer):
        return "token"


@pytest.mark.parametrize("teacher_knows", [True, False])
def test_one_side_that_knows_of_positions_is_enough(teacher_knows):
    arrays = a_pair()
    ids = np.repeat(np.arange(20, dtype=np.uint8), 3)[:, None].repeat(16, axis=1)
    ids[:, 12] = np.tile(np.arange(3), 20)
    kinds = (Positions, ArrayFeatures) if teacher_knows else (ArrayFeatures, Positions)
    sides = {role: kind(role, {"f": arrays[role]}, ids=ids) for role, kind in zip(("teacher", "student"), kinds)}
    (pair,) = ks.measure(**sides, **ALIKE)
    assert pair.unit == "token" and noted(pair, "20 whole groups")


def test_rows_of_an_array_that_share_an_id_are_one_input(tmp_path):
    arrays = a_pair()
    names = np.repeat([f"text {i}" for i in range(12)], 5)
    for role, X in arrays.items():
        np.savez(tmp_path / f"{role}.npz", f=X, ids=names)
    (pair,) = ks.measure(teacher=tmp_path / "teacher.npz", student=tmp_path / "student.npz", **ALIKE)
    (told,) = ks.measure(**arrays, groups=np.repeat(np.arange(12), 5), **ALIKE)
    assert noted(pair, "12 whole groups") and pair.sampling_interval == told.sampling_interval


def test_rows_without_ids_are_taken_one_by_one_and_that_is_said():
    (pair,) = ks.measure(**a_pair(), **ALIKE)
    assert noted(pair, "over single rows; where several come of one input (tokens, patches, frames), give groups")
    ids = np.arange(60, dtype=np.uint8)[:, None].repeat(16, axis=1)
    sides = {role: ArrayFeatures(role, {"f": X}, ids=ids) for role, X in a_pair().items()}
    assert noted(ks.measure(**sides, **ALIKE).pairs[0], "over single examples")


def test_a_comparison_is_of_the_population_losses():
    arrays = unrelated(80)
    students = [arrays["student"], arrays["teacher"] + 0.3 * arrays["student"]]
    report = ks.measure(teacher=arrays["teacher"], student=students, **ALIKE)
    by_name = {pair.student: pair.population_loss for pair in report}
    (found,) = report.comparisons
    assert found.difference == pytest.approx(by_name[found.first] - by_name[found.second], rel=1e-12)
    low, high = found.interval
    assert low < found.difference < high and (low + high) / 2 == pytest.approx(found.difference)
