"""Self-check: closed forms and random pairs through every route, interval and corrected bound.

The truth is a closed form or whole-number arithmetic, so no float judges another. What a CI job, or a person with a
new GPU, runs first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ROUTES, transfer_loss, well_scaled_sums
from kernelscope.kernels.nystrom.bounds import TABLE, bounds
from kernelscope.kernels.nystrom.choosing import class_means, uniform
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.kernels.self_check.attacks import Check, attacks
from kernelscope.kernels.self_check.whole_numbers import contains
from kernelscope.kernels.similarity import ladder

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVED = {rule.name for rule in TABLE if rule.proved}


def checks(*, seed: int = 0, device: str = "cpu", pairs: int = 12) -> Iterator[Check]:
    """Every check, as it is done; ``pairs`` random pairs of each kind."""
    yield from _closed_forms(device)
    yield from _random_pairs(seed, device, pairs)
    yield _large_pair(seed, device)
    yield _ladder(seed)
    yield _corrected_bounds(seed, pairs)
    yield from attacks(seed=seed, device=device)


def _closed_forms(device: str) -> Iterator[Check]:
    """Losses known without arithmetic: Hadamard columns, a stretched copy, a scaled teacher, an offset."""
    H = np.array([[1.0]])
    for _ in range(7):
        H = np.block([[H, H], [H, -H]])
    S, T = [0, 1, 2, 5, 9], [1, 2, 3, 9, 17, 33, 40]
    X = np.random.default_rng(0).integers(-3, 4, (160, 6)).astype(float)
    centred = X - X.mean(axis=0)
    tall = np.hstack([centred, np.zeros((160, 1))])
    moved = tall + 3 * np.eye(7)[6]
    norm = np.linalg.norm(tall.T @ tall)
    cases: dict[str, tuple[np.ndarray, np.ndarray, float]] = {
        "Hadamard columns": (H[:, S], H[:, T], math.sqrt(len(set(S) ^ set(T)) / len(T))),
        "a copy stretched by 1 + 2^-10": ((1 + 2.0**-10) * X, X, 2.0**-9 + 2.0**-20),
        "a student three times the teacher": (3 * X, X, 8.0),
        "an offset orthogonal to the features": (moved, tall, 160 * 9 / float(norm)),
    }
    for name, (student, teacher, truth) in cases.items():
        for route in ROUTES:
            found = transfer_loss(teacher=teacher, student=student, route=route, device=device)
            inside = found.interval[0] - 1e-14 * truth <= truth <= found.interval[1] + 1e-14 * truth
            yield Check(f"{name}, route {route}", inside and found.resolved, f"{found.value:.12g} for {truth:.12g}")


def _random_pairs(seed: int, device: str, pairs: int) -> Iterator[Check]:
    """Every interval against whole numbers, for losses from about 1 down to 1e-8."""
    rng = np.random.default_rng(seed)
    for route in ROUTES:
        outside, certified = 0, 0
        for number in range(pairs):
            n, d_S, d_T = (int(v) for v in rng.integers((2, 1, 1), (40, 6, 6)))
            X_T, X_S = rng.standard_normal((n, d_T)), rng.standard_normal((n, d_S))
            if number % 2:
                X_S = X_T[:, ::-1] + 10.0 ** -(number % 8) * rng.standard_normal((n, d_T))
            found = transfer_loss(teacher=X_T, student=X_S, route=route, device=device)
            outside += not contains(found.interval, student=X_S, teacher=X_T)
            certified += found.certified
        detail = f"{pairs - outside} of {pairs} intervals contain the whole-number value, {certified} certified"
        yield Check(f"random pairs, route {route}", outside == 0, detail)


def _large_pair(seed: int, device: str) -> Check:
    """At a size where devices use other kernels: routes must meet within their intervals, TF32 would not."""
    rng = np.random.default_rng(seed)
    X_T = rng.standard_normal((3000, 96))
    X_S = X_T[:, :64] + 0.3 * rng.standard_normal((3000, 64))
    found = [transfer_loss(teacher=X_T, student=X_S, route=route, device=device) for route in ROUTES]
    found.append(transfer_loss(teacher=X_T, student=X_S, rtol=1e-3, route="blocked", device=device))
    found.append(transfer_loss(teacher=X_T, student=X_S, rtol=1e-3, route="gram", device=device))
    low, high = max(f.interval[0] for f in found), min(f.interval[1] for f in found)
    name = f"n = 3,000, d = 64 + 96, all routes, float64 and float32 on {device}"
    return Check(name, low <= high, f"they meet in [{low:.15g}, {high:.15g}]" if low <= high else "they do not meet")


def _ladder(seed: int) -> Check:
    """A scaled teacher is perfect after a scalar, a mixed one after a head."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((500, 12)) + 1
    rungs = []
    for student in (0.3 * X, X @ rng.standard_normal((12, 12))):
        scaled = well_scaled_sums(teacher=X, student=student)
        rungs.append(ladder.rungs(scaled, centre(scaled)))
    worst = max(rungs[0].scaled, rungs[1].head)
    return Check("a scalar and a linear head repair what they should", worst <= 1e-10, f"largest remainder {worst:.1e}")


def _corrected_bounds(seed: int, pairs: int) -> Check:
    """No corrected bound is ever broken."""
    rng = np.random.default_rng(seed)
    broken, tried = [], 0
    for _ in range(pairs):
        n, d = int(rng.integers(6, 60)), int(rng.integers(1, 8))
        X_T = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-2, 2)
        X_S = X_T + 10.0 ** rng.uniform(-4, 1) * rng.standard_normal((n, d))
        labels = rng.integers(0, 4, n)
        truth = transfer_loss(teacher=X_T, student=X_S)
        for landmarks in (class_means(labels), uniform(n, min(n, 5), seed)):
            sums = partial(teacher=X_T, student=X_S, landmarks=landmarks)
            for bound in bounds(sums, truth.norm_difference, truth.norm_student, truth.norm_teacher):
                if bound.name in PROVED:
                    tried += 1
                    broken += [] if bound.holds else [bound.name]
    return Check("corrected bounds", not broken, f"{tried} tried, broken: {', '.join(sorted(set(broken))) or 'none'}")
