"""Four routes, one answer, and every interval against whole-number arithmetic."""

import math
from dataclasses import replace
from fractions import Fraction

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

from kernelscope.errors import DegenerateKernel, Mismatch, NumericalError, UsageError
from kernelscope.kernels.distance.exact import ROUTES, loss_from_sums, transfer_loss, well_scaled_sums
from kernelscope.kernels.distance.plan import plan
from kernelscope.kernels.rounding import square_root_interval
from kernelscope.kernels.row_views import Affine
from kernelscope.kernels.self_check.whole_numbers import contains, lies_between
from tests.kernels.integer_oracle import exact_loss, lies_in

FORCED = [route for route in ROUTES if route != "auto"]
KINDS = [
    "gaussian",
    "near",
    "relu offset",
    "rank one",
    "zero student",
    "spikes",
    "scaled",
    "ill conditioned",
    "collapsed",
]


def pair_of(kind: str, n: int, d_S: int, d_T: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``(X_S, X_T)`` of one of the kinds of data features come in."""
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((n, d_T))
    X_S = rng.standard_normal((n, d_S))
    match kind:
        case "near":
            d = max(d_S, d_T)
            X_T = rng.standard_normal((n, d))
            X_S = X_T @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 10.0 ** -rng.integers(1, 9) * X_T[:, ::-1]
        case "relu offset":
            X_S, X_T = np.maximum(X_S, 0) + 30, np.maximum(X_T, 0) + 20
        case "rank one":
            X_S, X_T = np.outer(X_S[:, 0], np.ones(d_S)), np.outer(X_T[:, 0], np.ones(d_T))
        case "zero student":
            X_S = np.zeros((n, d_S))
        case "spikes":
            X_S[0] *= 1e3
            X_T[-1] *= 1e3
        case "scaled":
            X_S, X_T = X_S * 1e-6, X_T * 1e6
        case "ill conditioned":
            X_T = X_T * np.logspace(0, -8, d_T)
            X_S = X_S * np.logspace(-8, 0, d_S)
        case "collapsed":
            X_S, X_T = np.repeat(X_S[:1], n, axis=0), np.repeat(X_T[:1], n, axis=0)
    return X_S, X_T


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ROUTES)
def test_every_interval_contains_the_whole_number_value(kind: str, route: str) -> None:
    for seed, (n, d_S, d_T) in enumerate([(1, 1, 1), (2, 3, 2), (3, 2, 5), (7, 7, 7), (40, 5, 3), (60, 4, 4)]):
        X_S, X_T = pair_of(kind, n, d_S, d_T, seed)
        loss = transfer_loss(teacher=X_T, student=X_S, route=route)
        assert lies_in(X_S, X_T, loss.interval), (n, d_S, d_T, loss)
        low, high = loss.interval
        assert 0 <= low <= loss.value <= high
        assert loss.resolved == ((high - low) / 2 <= max(1e-6 * loss.value, 1e-9))
        assert loss.certified or route in ("tsqr", "auto", "gram", "pair")


@given(
    n=st.integers(1, 24),
    d_S=st.integers(1, 6),
    d_T=st.integers(1, 6),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**20),
)
def test_routes_agree_within_the_sum_of_their_intervals(n: int, d_S: int, d_T: int, kind: str, seed: int) -> None:
    X_S, X_T = pair_of(kind, n, d_S, d_T, seed)
    losses = [transfer_loss(teacher=X_T, student=X_S, route=route) for route in ROUTES]
    assert max(loss.interval[0] for loss in losses) <= min(loss.interval[1] for loss in losses)


@pytest.mark.parametrize("exponent", range(1, 11))
def test_the_automatic_route_resolves_losses_from_a_tenth_to_1e_minus_10(exponent: int) -> None:
    rng = np.random.default_rng(exponent)
    X_T = rng.standard_normal((160, 12))
    X_S = X_T @ np.linalg.qr(rng.standard_normal((12, 12)))[0] + 0.4 * 10.0**-exponent * rng.standard_normal((160, 12))
    loss = transfer_loss(teacher=X_T, student=X_S)
    truth = exact_loss(X_S, X_T)
    assert loss.resolved
    assert loss.value == pytest.approx(truth, rel=1e-6, abs=1e-9)
    assert abs(loss.value - truth) <= max(1e-6 * truth, 1e-9)


@pytest.mark.parametrize("k", [4, 20, 40])
def test_a_copy_stretched_by_a_power_of_two_is_measured_to_the_last_digits(k: int) -> None:
    X = np.random.default_rng(0).integers(-3, 4, (40, 6)).astype(float)
    stretch = 2.0**-k
    loss = transfer_loss(teacher=X, student=(1 + stretch) * X, route="pair")
    assert loss.value == pytest.approx(2 * stretch + stretch**2, rel=1e-13)
    assert loss.certified


def test_the_gram_route_says_when_it_cannot_resolve() -> None:
    X = np.random.default_rng(0).integers(-3, 4, (40, 6)).astype(float)
    loss = transfer_loss(teacher=X, student=(1 + 2.0**-40) * X, route="gram")
    assert not loss.resolved
    assert loss.interval[0] == 0.0
    assert loss.interval[1] > 1e-9


@pytest.mark.parametrize("route", ["auto", "pair", "blocked"])
@pytest.mark.parametrize("n", [5, 500])
def test_identical_features_have_loss_exactly_zero(route: str, n: int) -> None:
    X = np.random.default_rng(1).standard_normal((n, 8)) + 3
    loss = transfer_loss(teacher=X, student=X.copy(), route=route)
    assert loss.value == 0.0
    assert loss.interval == (0.0, 0.0)
    assert loss.resolved
    assert loss.certified


@pytest.mark.parametrize("route", ROUTES)
def test_hadamard_columns_give_the_closed_form(route: str) -> None:
    H = hadamard(64).astype(float)
    S, T = [0, 1, 2, 5, 9], [1, 2, 3, 9, 17, 33, 40]
    loss = transfer_loss(teacher=H[:, T], student=H[:, S], route=route)
    assert loss.value == pytest.approx(math.sqrt(len(set(S) ^ set(T)) / len(T)), rel=1e-13)
    assert loss.norm_difference == pytest.approx(64 * math.sqrt(len(set(S) ^ set(T))), rel=1e-13)


@pytest.mark.parametrize("route", ROUTES)
def test_a_student_three_times_the_teacher_has_loss_eight(route: str) -> None:
    X = np.random.default_rng(0).standard_normal((300, 4))
    assert transfer_loss(teacher=X, student=3 * X, route=route).value == pytest.approx(8, rel=1e-12)


@pytest.mark.parametrize("route", ROUTES)
def test_a_rotated_teacher_is_a_perfect_student(route: str) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 6))
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    loss = transfer_loss(teacher=X, student=X @ Q, route=route)
    assert loss.interval[0] < 1e-12
    assert loss.value < 1e-7  # the Gram route cannot see further; the others see 1e-14
    assert route == "gram" or loss.value < 1e-12


@given(exponent=st.integers(-30, 30), seed=st.integers(0, 1000))
def test_a_common_power_of_two_changes_no_bit(exponent: int, seed: int) -> None:
    X_S, X_T = pair_of("gaussian", 30, 3, 4, seed)
    plain = transfer_loss(teacher=X_T, student=X_S)
    scaled = transfer_loss(teacher=X_T * 2.0**exponent, student=X_S * 2.0**exponent)
    assert scaled.value == plain.value
    assert scaled.norm_difference == plain.norm_difference * 4.0**exponent


@pytest.mark.parametrize("route", ["gram", "pair", "tsqr", "blocked", "auto"])
@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-300, 2.0**300])
def test_extreme_scales_neither_overflow_nor_vanish(route: str, scale: float) -> None:
    X_S, X_T = pair_of("gaussian", 40, 3, 4, 0)
    loss = transfer_loss(teacher=X_T * scale, student=X_S * scale, route=route)
    assert loss.value == pytest.approx(exact_loss(X_S, X_T), rel=1e-12)
    assert all(math.isfinite(v) for v in (loss.norm_teacher, loss.norm_student, loss.norm_difference))


def test_features_whose_norms_exceed_float64_are_refused_in_words() -> None:
    X_S, X_T = pair_of("gaussian", 40, 3, 4, 0)
    with pytest.raises(DegenerateKernel, match="divide both by"):
        transfer_loss(teacher=X_T * 1e200, student=X_S * 1e200)


@given(seed=st.integers(0, 2**16), n=st.integers(2, 30))
def test_invariances_hold(seed: int, n: int) -> None:
    X_S, X_T = pair_of("gaussian", n, 4, 3, seed)
    rng = np.random.default_rng(seed)
    loss = transfer_loss(teacher=X_T, student=X_S)
    order = rng.permutation(n)
    shared = rng.standard_normal((n, 2))
    assert transfer_loss(teacher=X_T[order], student=X_S[order]).value == pytest.approx(loss.value, rel=1e-10)
    padded = transfer_loss(teacher=np.hstack([X_T, np.zeros((n, 2))]), student=X_S[:, [2, 0, 3, 1]])
    assert padded.value == pytest.approx(loss.value, rel=1e-10)
    together = transfer_loss(teacher=np.hstack([X_T, shared]), student=np.hstack([X_S, shared]))
    assert together.norm_difference == pytest.approx(loss.norm_difference, rel=1e-9)
    repeated = transfer_loss(teacher=np.repeat(X_T, 3, axis=0), student=np.repeat(X_S, 3, axis=0))
    assert repeated.norm_difference == pytest.approx(3 * loss.norm_difference, rel=1e-10)
    swapped = transfer_loss(teacher=X_S, student=X_T)
    assert swapped.norm_difference == pytest.approx(loss.norm_difference, rel=1e-10)
    a, b, f = loss.norm_student, loss.norm_teacher, loss.norm_difference
    assert abs(a - b) * (1 - 1e-12) <= f <= math.hypot(a, b) * (1 + 1e-12)


@pytest.mark.parametrize("route", ["gram", "pair", "tsqr", "blocked"])
def test_inputs_of_every_kind_give_the_same_number(route: str, tmp_path) -> None:
    rng = np.random.default_rng(0)
    X_S, X_T = rng.standard_normal((150, 5)).astype(np.float32), rng.standard_normal((150, 6)).astype(np.float32)
    expected = exact_loss(X_S, X_T)
    np.save(tmp_path / "t.npy", X_T)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        stored = file.create_dataset("x", data=X_S)
        inputs = [
            (X_S, X_T),
            (torch.from_numpy(X_S), torch.from_numpy(X_T)),
            (torch.from_numpy(X_S).requires_grad_(), X_T.astype(np.float64)),
            (stored, np.load(tmp_path / "t.npy", mmap_mode="r")),
            (np.asfortranarray(X_S), np.vstack([X_T, X_T])[:150]),
            (np.repeat(X_S, 2, axis=1)[:, ::2], X_T[::-1][::-1]),
            (X_S.tolist(), X_T.tolist()),
        ]
        for student, teacher in inputs:
            loss = transfer_loss(teacher=teacher, student=student, route=route)
            assert loss.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("dtype", "u"), [(torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8), (torch.float64, 0.0)])
def test_narrow_storage_sets_the_floor_and_is_measured_as_stored(dtype: torch.dtype, u: float) -> None:
    rng = np.random.default_rng(0)
    X_S, X_T = (torch.from_numpy(rng.standard_normal((200, 5))).to(dtype) for _ in range(2))
    loss = transfer_loss(teacher=X_T, student=X_S)
    wide = [X.double().numpy() for X in (X_S, X_T)]
    assert loss.value == pytest.approx(exact_loss(*wide), rel=1e-12)
    size = sum(np.linalg.norm(X) * np.linalg.norm(X, 2) for X in wide) / np.linalg.norm(wide[1] @ wide[1].T)
    assert loss.storage_floor >= 2 * u * size * (1 - 1e-12)
    assert loss.storage_floor <= 2 * u * size * 2


def test_a_wide_tolerance_may_use_float32_blocks_and_still_contains_the_truth() -> None:
    for seed in range(5):
        X_S, X_T = pair_of("gaussian", 3000, 6, 8, seed)
        loss = transfer_loss(teacher=X_T, student=X_S, rtol=1e-3, route="blocked")
        sharp = transfer_loss(teacher=X_T, student=X_S)
        assert loss.resolved
        assert loss.certified
        assert loss.interval[0] <= sharp.value <= loss.interval[1]
        assert loss.interval[1] - loss.interval[0] > 1e-8  # it says that it was coarse


def test_a_wide_tolerance_falls_back_to_double_where_float32_does_not_suffice() -> None:
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((2000, 8))
    X_S = X_T + 1e-4 * rng.standard_normal((2000, 8))
    loss = transfer_loss(teacher=X_T, student=X_S, rtol=1e-3, route="blocked")
    assert loss.resolved
    assert loss.certified
    assert loss.value == pytest.approx(transfer_loss(teacher=X_T, student=X_S).value, rel=1e-9)


def test_features_that_nearly_agree_are_never_called_equal() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        T = np.maximum(rng.standard_normal((10, 40))[rng.integers(10, size=700)] + rng.standard_normal((700, 40)), 0)
        noise = 10.0 ** rng.uniform(-9, -6.5) * rng.standard_normal(T.shape)
        S = T @ np.linalg.qr(rng.standard_normal((40, 40)))[0] + noise
        loss = transfer_loss(teacher=T, student=S)
        assert loss.certified
        assert loss.interval[1] > 0
        assert contains(loss.interval, student=S, teacher=T)


@pytest.mark.parametrize("change", [1e-200, 1e-300, 5e-324])
@pytest.mark.parametrize("route", ["auto", "pair", "blocked"])
def test_a_change_too_small_to_square_is_not_called_none(route: str, change: float) -> None:
    X_T = np.random.default_rng(0).standard_normal((300, 4))
    X_T[7, 2] = 0
    X_S = X_T.copy()
    X_S[7, 2] = change
    low, high = transfer_loss(teacher=X_T, student=X_S, route=route).interval
    assert low <= change
    assert high > change


def test_every_automatic_answer_is_certified() -> None:
    for seed, exponent in enumerate(range(-9, 1)):
        rng = np.random.default_rng(seed)
        X_T = rng.standard_normal((1500, 20))
        X_S = X_T @ np.linalg.qr(rng.standard_normal((20, 20)))[0] + 10.0**exponent * rng.standard_normal((1500, 20))
        for rtol in (1e-6, 1e-3):
            loss = transfer_loss(teacher=X_T, student=X_S, rtol=rtol)
            assert (loss.certified, loss.resolved) == (True, True)


def test_a_square_below_minus_its_bar_resolves_nothing() -> None:
    assert square_root_interval(-2.0, 1.0) is None
    assert square_root_interval(-1.0, 1.0) == (0.0, 0.0)
    assert square_root_interval(3.0, 1.0) == (math.sqrt(2.0), 2.0)
    assert square_root_interval(math.nan, 1.0) is None


def test_a_gram_that_contradicts_its_own_bar_is_not_answered() -> None:
    X = np.random.default_rng(0).standard_normal((900, 6))
    scaled = well_scaled_sums(teacher=X, student=1.5 * X)
    broken = replace(scaled.sums, gram=scaled.sums.gram + np.kron([[0, 1], [1, 0]], np.eye(6)) * 1e4)
    with pytest.raises(NumericalError, match="contradict"):
        loss_from_sums(replace(scaled, sums=broken), route="gram")


@pytest.mark.parametrize("route", ["auto", "gram", "pair", "blocked"])
def test_the_teachers_own_error_widens_the_upper_end(route: str) -> None:
    """The exact ratio lies above what the difference's own upper end over the rounded norm says, for some teachers."""
    X_T = np.random.default_rng(0).standard_normal((500, 3))
    loss = transfer_loss(teacher=X_T, student=0.5 * X_T, route=route)
    low, high = loss.norm_difference_interval
    assert loss.interval[1] > high / loss.norm_teacher * (1 + 2.0**-49)
    assert loss.interval[0] < low / loss.norm_teacher * (1 - 2.0**-49)


@pytest.mark.parametrize("scales", [(1 / 3, 1.0), (1 / 3, 1 / 3)])
@pytest.mark.parametrize("shift", [0.0, 3.0, 1e4])
def test_rows_that_are_formed_on_the_way_carry_their_own_rounding(shift: float, scales: tuple[float, float]) -> None:
    """Features shifted and scaled as they are read, against whole numbers of what is meant."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X_T = rng.standard_normal((800, 5)) + shift
        X_S = X_T + 10.0 ** rng.uniform(-8, -1) * rng.standard_normal(X_T.shape)
        X_S, X_T = (np.ldexp(np.rint(np.ldexp(X, 40)), -40) for X in (X_S, X_T))
        off = np.full(5, shift * 0.7)
        unit = 2**60  # multiples of 1 / unit: Python integers
        S, T = (
            np.array([[int((Fraction(float(v)) - Fraction(off[0])) * unit) for v in row] for row in X], dtype=object)
            for X in (X_S, X_T)
        )
        a, b, c = (int((A.T.dot(B) ** 2).sum()) for A, B in ((S, S), (T, T), (S, T)))
        by_S, by_T = (Fraction(scale) ** 2 for scale in scales)
        squares = by_S**2 * a + by_T**2 * b - 2 * by_S * by_T * c, by_T**2 * b
        rows_S, rows_T = (Affine(Affine(X, shift=off), scale=scale) for X, scale in zip((X_S, X_T), scales))
        for route in ("auto", "pair", "blocked"):
            loss = transfer_loss(teacher=rows_T, student=rows_S, route=route, atol=0)
            assert lies_between(loss.interval, squares)


@pytest.mark.parametrize("route", ROUTES)
def test_a_nan_is_refused_with_its_count_and_first_row(route: str) -> None:
    X_S, X_T = pair_of("gaussian", 50, 3, 3, 0)
    X_S[17, 1] = np.nan
    X_S[30, 0] = np.inf
    with pytest.raises(NumericalError, match="student features hold 2 NaN or infinite values, first in row 17"):
        transfer_loss(teacher=X_T, student=X_S, route=route)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("n", [3, 300])
def test_an_all_zero_teacher_is_refused(route: str, n: int) -> None:
    with pytest.raises(DegenerateKernel, match="all zero"):
        transfer_loss(teacher=np.zeros((n, 2)), student=np.ones((n, 2)), route=route)


def test_an_all_zero_student_has_loss_one() -> None:
    for n in (3, 300):
        X = np.random.default_rng(0).standard_normal((n, 3))
        assert transfer_loss(teacher=X, student=np.zeros((n, 2))).value == pytest.approx(1, rel=1e-14)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(Mismatch, match="teacher has 3 rows and student 4"):
        transfer_loss(teacher=np.ones((3, 2)), student=np.ones((4, 2)))
    with pytest.raises(Mismatch, match="examples as rows"):
        transfer_loss(teacher=np.ones((3, 2, 2)), student=np.ones((3, 2)))
    with pytest.raises(Mismatch, match="empty"):
        transfer_loss(teacher=np.ones((0, 2)), student=np.ones((0, 2)))
    with pytest.raises(Mismatch, match="complex"):
        transfer_loss(teacher=np.ones((3, 2), complex), student=np.ones((3, 2)))
    with pytest.raises(UsageError, match="choose one of auto, gram"):
        transfer_loss(teacher=np.ones((3, 2)), student=np.ones((3, 2)), route="fast")


def test_the_plan_names_the_route_before_anything_is_read() -> None:
    assert plan(n=100, d_student=64, d_teacher=64).route == "blocked"
    assert plan(n=129, d_student=64, d_teacher=64).route == "gram"
    text = str(plan(n=50_000, d_student=512, d_teacher=512))
    assert "route gram" in text
    assert "2.6e+10 multiply-adds" in text
    assert "205 MB read" in text


def test_blocks_of_any_size_agree_on_the_blocked_route() -> None:
    X_S, X_T = pair_of("relu offset", 130, 4, 6, 0)
    losses = [transfer_loss(teacher=X_T, student=X_S, route="blocked", memory_bytes=m) for m in (2_000, 30_000, 2**29)]
    assert max(loss.interval[0] for loss in losses) <= min(loss.interval[1] for loss in losses)
    assert losses[0].value == pytest.approx(losses[2].value, rel=1e-13)


@pytest.mark.parametrize("route", ["auto", "gram", "pair", "blocked"])
def test_rows_that_are_formed_equal_to_others_are_not_thereby_meant_equal(route: str) -> None:
    X = np.random.default_rng(0).integers(-50, 50, (400, 3)).astype(float)
    formed, stored, third = Affine(X, scale=1 / 3), Affine(X, scale=1 / 3)[0:400], Fraction(1 / 3)
    meant = np.array([[int(v * third * 2**80) for v in map(Fraction, row)] for row in X.tolist()], dtype=object)
    given = np.array([[int(v * 2**80) for v in map(Fraction, row)] for row in stored.tolist()], dtype=object)
    own, other, both = (int((A.T.dot(B) ** 2).sum()) for A, B in ((meant, meant), (given, given), (meant, given)))
    difference = Fraction(own + other - 2 * both)
    assert difference > 0
    for S, T, teacher in ((formed, stored, other), (stored, formed, own)):
        loss = transfer_loss(teacher=T, student=S, route=route)
        assert lies_between(loss.interval, (difference, Fraction(teacher)))
    assert transfer_loss(teacher=formed, student=Affine(X.copy(), scale=1 / 3)).interval == (0.0, 0.0)
