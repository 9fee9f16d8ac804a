"""Features of any size: the right number, or a refusal that names their size; never a warning, never NaN."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import DegenerateKernel, NumericalError
from tests.kernels.integer_oracle import exact_squares

RNG = np.random.default_rng(0)
N = 15
T = RNG.standard_normal((N, 4))
S = T[:, :3] + 0.3 * RNG.standard_normal((N, 3))
Y = np.arange(N) % 3


def rows_of_two_sizes(X, first, others):
    return X * np.where(np.arange(N) == 0, first, others)[:, None]


def with_nan(X):
    broken = X.copy()
    broken[3] = np.nan
    return broken


def float32(X, size):
    return (X / np.abs(X).max() * size).astype(np.float32)


SCALES = (1e-320, 1e-310, 1e-160, 1e-100, 1e-80, 1e-40, 1e40, 1e80, 1e140, 1e150, 1e154, 1e200, 5e307)
PAIRS = {f"both {s:g}": (T * s, S * s) for s in SCALES}
PAIRS |= {
    f"{a:g} and {b:g}": (T * a, S * b)
    for a, b in ((1e-310, 1), (1, 1e-310), (1e-160, 1), (1, 1e-160), (1e-70, 1), (1, 1e70), (1e300, 1e-300))
}
PAIRS |= {
    f"rows of {a:g} and {b:g}": (rows_of_two_sizes(T, a, b), rows_of_two_sizes(S, a, b))
    for a, b in ((1e300, 1e-300), (1e80, 1e-80), (1, 1e-300))
}
PAIRS["columns of 1e80"] = (T * [1e80, 1, 1, 1e-80], S * [1, 1e80, 1e-80])
PAIRS["subnormal float32"] = ((T * 1e-40).astype(np.float32), (S * 1e-44).astype(np.float32))
PAIRS["float32 of 3e38"] = (float32(T, 3e38), float32(S, 3e38))
PAIRS["float32 of 3e38 and 1e-44"] = (float32(T, 3e38), float32(S, 1e-44))
PAIRS["float16 of 6e4"] = (float32(T, 6e4).astype(np.float16), float32(S, 6e4).astype(np.float16))
PAIRS["float16 with NaN"] = (T.astype(np.float16), with_nan(S.astype(np.float16)))
PAIRS["NaN beside 1e300"] = (with_nan(T * 1e300), S * 1e300)
PAIRS["one infinite"] = (T, np.where(np.arange(3 * N).reshape(N, 3) == 7, -np.inf, S))

VARIANTS = {
    "plain": {},
    "pair": {"route": "pair"},
    "tsqr": {"route": "tsqr"},
    "blocked": {"route": "blocked", "rtol": 1e-2},
    "cosine": {"kernel": "cosine"},
    "ridge": {"kernel": "ridge"},
    "rbf": {"kernel": "rbf"},
    "rbf of a width": {"kernel": "rbf:0.5"},
    "poly": {"kernel": "poly"},
    "centred": {"centre": True, "normalize": True},
    "landmarks": {"labels": Y, "landmarks": "uniform:6"},
    "prefixes": {"dims": (2, 3), "references": {"other": T}},
}
GRIDS = {"grid": {}, "grid of rbf": {"kernel": "rbf"}, "grid of cosine": {"kernel": "cosine"}}


def right(X_T, X_S, interval):
    """Whether the interval holds the loss of exact arithmetic."""
    difference, teacher = exact_squares(X_S, X_T)
    low, high = Fraction(interval[0]), Fraction(interval[1])
    return low * low * teacher <= difference <= high * high * teacher


def number_or_refusal(measure):
    """What it gives; None if it is refused in one line."""
    try:
        return measure()
    except NumericalError as error:
        assert len(str(error)) < 180 and str(error).isprintable()
        return None


#: a pair of each kind, where all take too long
SHORT = ("both 1e-160", "1 and 1e-310", "1e-70 and 1")
EVERY = [pytest.param(pair, marks=[] if pair in SHORT else pytest.mark.long) for pair in PAIRS]


@pytest.mark.parametrize("pair", EVERY)
def test_features_of_any_size_have_the_right_number_or_none(pair):
    X_T, X_S = PAIRS[pair]
    for options in VARIANTS.values():
        report = number_or_refusal(lambda options=options: ks.measure(teacher=X_T, student=X_S, **options))
        if report is None:
            continue
        json.loads(report.to_json())  # which has no NaN
        if "kernel" not in options and "centre" not in options:
            assert right(X_T, X_S, report.rounding_interval), options
    two = {"teacher": {"a": X_T, "b": T}, "student": {"a": X_S, "b": S}}
    for options in GRIDS.values():
        report = number_or_refusal(lambda options=options: ks.measure(**two, pairs="all", **options))
        assert report is None or json.loads(report.to_json())
    audited = number_or_refusal(lambda: ks.audit(teacher=X_T, student=X_S, labels=Y))
    assert audited is None or (json.loads(audited.to_json()) and not audited.failures())


@pytest.mark.parametrize("pair", EVERY)
def test_so_have_plain_functions(pair):
    X_T, X_S = PAIRS[pair]
    for name in ks.metrics.__all__:
        more = (Y,) if name == "within_class_cka" else ()
        if name != "KernelDistance":
            found = number_or_refusal(lambda name=name, more=more: getattr(ks.metrics, name)(X_S, X_T, *more))
            assert found is None or math.isfinite(found)


@pytest.mark.parametrize("power", [pytest.param(-460, marks=pytest.mark.long), 120])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_common_power_of_two_changes_no_number(power, options):
    """A kernel's own width follows its features; one that is given has to follow them."""
    factor = 2.0**power
    ours, theirs = dict(options), dict(options)
    if options.get("kernel") == "rbf:0.5":
        theirs["kernel"] = f"rbf:{0.5 / factor / factor:.300f}"
    if "references" in options:
        theirs["references"] = {"other": T * factor}
    plain = ks.measure(teacher=T, student=S, **ours)
    found = ks.measure(teacher=T * factor, student=S * factor, **theirs)
    for name in ("transfer_loss", "alignment", "cka", "cka_debiased", "optimal_scale", "scale_ratio"):
        expected = getattr(plain, name)
        assert getattr(found, name) == (None if expected is None else pytest.approx(expected, rel=1e-9)), name
    assert (found.neighbours, found.null.p_value) == (plain.neighbours, plain.null.p_value)


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        (T * 1e200, S * 1e200, r"features reach 2\^666, whose kernel norms exceed float64; divide both by 2\^666"),
        (T * 1e-160, S * 1e-160, r"so small that their kernel norms fall below float64; multiply both by 2\^528"),
        (T, S * 1e-160, r"student features reach only 2\^-529 beside 2\^2, .* multiply the student's by 2\^531"),
        (T * 1e-310, S, r"teacher features reach only 2\^-1028 beside 2\^2, .* multiply the teacher's by 2\^1030"),
    ],
)
def test_what_is_refused_is_named_with_its_size_and_cure(teacher, student, said):
    with pytest.raises(DegenerateKernel, match=said):
        ks.measure(teacher=teacher, student=student)


@pytest.mark.long
def test_a_page_shows_numbers_of_any_size():
    for teacher, student in ((1e-140, 1e-140), (1, 1e-135)):
        report = ks.measure(teacher=T * teacher, student=S * student, labels=Y)
        assert "<svg" in report.to_html() and str(report)


def test_a_student_of_zeros_is_no_small_one():
    for teacher in (T, T * 1e-80, T * 1e80):
        assert ks.measure(teacher=teacher, student=0 * S).transfer_loss == pytest.approx(1, rel=1e-15)
    assert ks.measure(teacher={"a": T}, student={"a": 0 * S}, pairs="all").pairs[0].alignment is None


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.factor = nn.Linear(64, 5), factor

    def forward(self, x):
        return self.linear(x.flatten(1)) * self.factor


@pytest.mark.parametrize("factors", [(1e-40, 1e-40), (1e30, 1e30), (1, 1e-40), (1e38, 1e-44), (1e30, 1), (1, math.nan)])
@pytest.mark.parametrize("features", [True, False])
def test_so_are_networks_whose_outputs_are_of_any_size(factors, features, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path))
    teacher, student = map(Times, factors)
    options = {"data": "digits", "limit": 40, "layers": "logits", "features": features}
    report = number_or_refusal(lambda: ks.measure(teacher=teacher, student=student, **options))
    assert report is None or json.loads(report.to_json())
    if factors[0] == factors[1]:
        assert report.transfer_loss <= 1e-9
