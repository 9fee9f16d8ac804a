"""Every route's interval against exact arithmetic at realistic sizes, on data that was not chosen to please it."""

import numpy as np
import pytest

from kernelscope.kernels.distance.exact import ROUTES, transfer_loss
from kernelscope.kernels.self_check.attacks import CHANGES, DTYPES, KINDS, pair_of_kind, stored_as
from kernelscope.kernels.self_check.whole_numbers import contains, exact_squares, lies_between

SHAPES = [(500, 40), (700, 16), (1000, 64), (3000, 24), (5000, 32), (20_000, 8), (600, 160), (4000, 1), (9000, 2)]


def misses(numbers: range) -> tuple[list[str], int]:
    """What was missed by the pairs of these numbers, and how many intervals were held against the truth."""
    missed, tried = [], 0
    for number in numbers:
        rng = np.random.default_rng(number)
        n, d = SHAPES[rng.integers(len(SHAPES))]
        kind, dtype = KINDS[number % len(KINDS)], DTYPES[rng.integers(len(DTYPES))]
        change, noise = CHANGES[rng.integers(len(CHANGES))], 10.0 ** rng.uniform(-9, 0)
        student, teacher = (stored_as(X, dtype) for X in pair_of_kind(kind, change, n, d, noise, rng))
        full = {"student": student.double().numpy(), "teacher": teacher.double().numpy()}
        truth = exact_squares(**full)
        for route in ROUTES:
            if route == "blocked" and n > 1000:
                continue
            found = transfer_loss(teacher=teacher, student=student, route=route, rtol=1e-3 if number % 5 == 4 else 1e-6)
            tried += 1
            equal = np.array_equal(full["student"], full["teacher"])
            if not lies_between(found.interval, truth) or (found.interval == (0.0, 0.0) and not equal):
                missed.append(f"{number}: {kind}, {change}, n={n}, d={d}, {dtype}, {route}: {found}")
            if route == "auto" and not (found.certified and found.resolved):
                missed.append(f"{number}: {kind}, n={n}, d={d}, {dtype} is not resolved: {found}")
    return missed, tried


@pytest.mark.parametrize("start", range(0, 150, 10))
def test_no_interval_misses_the_exact_loss(start):
    missed, tried = misses(range(start, start + 10))
    assert tried >= 40
    assert missed == []


@pytest.mark.long
@pytest.mark.parametrize("start", range(150, 2000, 50))
def test_no_interval_misses_the_exact_loss_in_two_thousand_pairs(start):
    assert misses(range(start, start + 50))[0] == []


def test_the_oracle_is_the_kernel_difference_in_whole_numbers():
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-30, 1e20):
        S, T = (np.rint(100 * rng.standard_normal((30, d))) * 2.0**-3 * scale for d in (3, 5))
        whole_S, whole_T = (np.rint(X / (2.0**-3 * scale)).astype(np.int64).astype(object) for X in (S, T))
        D, K = whole_S.dot(whole_S.T) - whole_T.dot(whole_T.T), whole_T.dot(whole_T.T)
        difference, teacher = exact_squares(student=S, teacher=T)
        assert difference / teacher == pytest.approx(int((D * D).sum()) / int((K * K).sum()), rel=1e-12)
    loss = float(difference / teacher) ** 0.5
    assert contains((loss * (1 - 1e-12), loss * (1 + 1e-12)), student=S, teacher=T)
    assert not contains((loss * (1 + 1e-12), loss * 2), student=S, teacher=T)
