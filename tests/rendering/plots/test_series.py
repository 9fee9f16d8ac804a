"""Checkpoints of one run are points of a trajectory."""

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import UsageError
from kernelscope.rendering.plots.series import series_of


def report_of(*names):
    rng = np.random.default_rng(0)
    T = rng.standard_normal((40, 4)) + 1
    students = {name: {"a": T + rng.standard_normal(T.shape), "b": 2 * T} for name in names}
    return ks.measure(teacher={"a": T, "b": T}, student=students)


@pytest.mark.parametrize(
    ("names", "run", "unit", "counts"),
    [
        (("run_epoch10.pt", "run_epoch2.pt"), "run_epoch*.pt", "epoch", [2, 10]),
        (("o/checkpoint-500", "o/checkpoint-1000"), "o/checkpoint*", "step", [500, 1000]),
        (("epoch=1-step=90-v=0.5.ckpt", "epoch=3-step=270-v=0.41.ckpt"), "epoch*-step*-v=*.ckpt", "epoch", [1, 3]),
        (("net_e5.pt", "net_e20.pt"), "net_e*.pt", "epoch", [5, 20]),
        (("EP01", "final"), None, None, None),
    ],
)
def test_runs_are_found_by_the_counts_in_their_names(names, run, unit, counts):
    found = series_of(report_of(*names))
    if run is None:
        assert found == []
        return
    (series,) = found
    assert (series.network.name, series.unit) == (run, unit)
    assert [point["epoch"] for point in series.network.trajectory] == counts


@pytest.mark.parametrize(
    "names", [("w8.pt", "w16.pt"), ("seed_1", "seed_2"), ("deep5", "deep6"), ("a_epoch1", "b_epoch2")]
)
def test_numbers_that_count_no_training_make_no_trajectory(names):
    report = report_of(*names)
    assert series_of(report) == []
    with pytest.raises(UsageError, match="no student's file holds its loss by epoch"):
        report.plot("trajectory")


def test_a_trajectory_shows_the_measured_losses_with_their_intervals():
    report = report_of(*(f"run/epoch_{i}.pt" for i in (3, 1, 20)))
    axes = report.plot("trajectory", student_layer="b")
    (line, *_) = axes.get_lines()
    expected = [report.sel(student=f"run/epoch_{i}.pt", student_layer="b").transfer_loss for i in (1, 3, 20)]
    np.testing.assert_allclose(line.get_xdata(), [1, 3, 20])
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert axes.get_xlabel() == "epoch"
    assert len(report.plot("trajectory").collections) == 1  # the band of the sampling interval
    for quantity in ("estimate", "eigenvalues", "bounds", "cka", "neighbours"):
        assert report.plot("trajectory", quantity=quantity).get_lines()
    assert "Transfer loss while training" in report.to_html()
