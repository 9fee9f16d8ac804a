"""Adversarial data at realistic sizes: every interval, rung and measure against exact arithmetic.

Part of :mod:`kernelscope.kernels.self_check.checks`, and run at length by the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import ROUTES, transfer_loss, well_scaled_sums
from kernelscope.kernels.self_check.whole_numbers import exact_squares, lies_between
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.head import best_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

KINDS = (
    "rectified",
    "centred",
    "offset",
    "heavy rows",
    "channel scales",
    "low rank",
    "sparse",
    "whole numbers",
    "unit rows",
    "repeated rows",
)
CHANGES = ("relative noise", "rotation and noise", "noise", "wider, with noise")
DTYPES = ("float64", "float32", "float16", "bfloat16")
PANELS = (64, 96, 128, 192, 256, 320, 384, 512, 768, 1024, 2048)


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what was seen."""

    name: str
    passed: bool
    detail: str


def attacks(*, seed: int = 0, device: str = "cpu") -> Iterator[Check]:
    """Every attack, short."""
    yield from _at_size(seed, device)
    yield _many_rows(device)
    yield _ill_conditioned_head(seed)
    yield _constant_features(seed)


def pair_of_kind(
    kind: str, change: str, n: int, d: int, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``(student, teacher)`` in float64: a teacher of this kind, and a student that departs from it by ``noise``."""
    base = rng.standard_normal((10, d))[rng.integers(10, size=n)] + rng.standard_normal((n, d))
    teachers: dict[str, Callable[[], np.ndarray]] = {
        "rectified": lambda: np.maximum(base, 0),
        "centred": lambda: base - base.mean(axis=0),
        "offset": lambda: base + 10.0 ** rng.uniform(0, 4),
        "heavy rows": lambda: np.maximum(base, 0) * np.exp(1.5 * rng.standard_normal((n, 1))),
        "channel scales": lambda: base * 10.0 ** rng.uniform(-4, 2, d),
        "low rank": lambda: rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)),
        "sparse": lambda: base * (rng.random((n, d)) < 0.1),
        "whole numbers": lambda: np.rint(3 * base),
        "unit rows": lambda: base / np.linalg.norm(base, axis=1, keepdims=True),
        "repeated rows": lambda: base[rng.integers(max(2, n // 50), size=n)],
    }
    teacher = teachers[kind]()
    added = noise * rng.standard_normal((n, d))
    size = float(np.abs(teacher).mean())
    students: dict[str, Callable[[], np.ndarray]] = {
        "relative noise": lambda: teacher * (1 + added),
        "rotation and noise": lambda: (teacher + size * added) @ np.linalg.qr(rng.standard_normal((d, d)))[0],
        "noise": lambda: teacher + size * added,
        "wider, with noise": lambda: np.hstack([teacher + size * added, noise * rng.standard_normal((n, 3))]),
    }
    return students[change](), teacher


def stored_as(X: np.ndarray, dtype: str) -> torch.Tensor:
    """A tensor of this type, with no bits further than 48 below the largest entry, so that whole numbers stay short."""
    import torch

    limit = 6e4 if dtype == "float16" else math.inf
    stored = torch.from_numpy(np.clip(X, -limit, limit)).to(getattr(torch, dtype))
    full = stored.double().numpy()
    grid = 48 - math.frexp(float(np.abs(full).max()))[1]
    return torch.from_numpy(np.ldexp(np.rint(np.ldexp(full, grid)), -grid)).to(stored.dtype)


def _at_size(seed: int, device: str) -> Iterator[Check]:
    """n = 3,000 of every route and storage type, kinds of data in turn, noise from 1e-9 to 1."""
    rng = np.random.default_rng(seed)
    outside = {(route, dtype): 0 for route in ROUTES for dtype in DTYPES}
    tried = dict.fromkeys(outside, 0)
    for number in range(20):
        dtype = DTYPES[number % len(DTYPES)]
        pair = pair_of_kind(
            KINDS[number % len(KINDS)], CHANGES[rng.integers(len(CHANGES))], 3000, 24, 10.0 ** rng.uniform(-9, 0), rng
        )
        student, teacher = (stored_as(X, dtype) for X in pair)
        truth = exact_squares(student=student.double().numpy(), teacher=teacher.double().numpy())
        for route in ROUTES:
            if route == "blocked" and number >= 8:  # it costs n² times the features
                continue
            found = transfer_loss(teacher=teacher, student=student, route=route, device=device)
            tried[route, dtype] += 1
            outside[route, dtype] += not lies_between(found.interval, truth)
    for route in ROUTES:
        missed = {dtype: outside[route, dtype] for dtype in DTYPES if outside[route, dtype]}
        count = sum(tried[route, dtype] for dtype in DTYPES)
        detail = f"{count} intervals, missed: {missed or 'none'}"
        yield Check(f"n = 3,000, exact arithmetic, route {route} on {device}", not missed, detail)


def many_rows(n: int, panel: int) -> tuple[np.ndarray, np.ndarray, tuple[Fraction, Fraction]]:
    """``(student, teacher, exact squares)`` of one feature, made so that sums by panels of this size all round up.

    The teacher's first entry is 1 and all others t, ``panel · t²`` a little above half a unit in the last place of 1.
    """
    t = np.float32(math.sqrt(1.04 * 2.0**-53 / panel))
    teacher, student = np.full((n, 1), t, np.float32), np.zeros((n, 1), np.float32)
    teacher[0], student[0] = 1, 0.5
    b = 1 + (n - 1) * Fraction(float(t)) ** 2
    return student, teacher, (Fraction(1, 16) + b * b - Fraction(1, 2), b * b)


def _many_rows(device: str) -> Check:
    missed = []
    for panel in PANELS:
        student, teacher, truth = many_rows(10_000_000, panel)
        found = transfer_loss(teacher=teacher, student=student, device=device)
        missed += [] if lies_between(found.interval, truth) and found.certified else [panel]
    name = f"n = 10,000,000 rows that all round one way, panels of {PANELS[0]} to {PANELS[-1]:,}, on {device}"
    return Check(name, not missed, f"missed: {missed or 'none'}")


def head_by_rows(*, student: np.ndarray, teacher: np.ndarray) -> float:
    """The head rung from a singular value decomposition of the student's rows, columns brought to length 1."""
    S, T = np.asarray(student, np.float64), np.asarray(teacher, np.float64)
    U, sigma, _ = np.linalg.svd(S / np.linalg.norm(S, axis=0), full_matrices=False)
    U = U[:, sigma > max(S.shape) * 2.0**-53 * sigma[0]]
    E = T - U @ (U.T @ T)
    E -= U @ (U.T @ E)
    P = T - E
    squared = float(np.sum((E.T @ E) * (2 * P.T @ P + E.T @ E)))
    return math.sqrt(squared) / float(np.linalg.norm(T.T @ T))


def _ill_conditioned_head(seed: int) -> Check:
    """Mixings of condition 1e8, channel scales to 1e-10 and offsets of 1e6 against the rows themselves."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.standard_normal((3000, 32)) + rng.standard_normal(32), 0)
    U, V = (np.linalg.qr(rng.standard_normal((32, 32)))[0] for _ in range(2))
    students = {
        "condition 1e8": X @ (U * np.logspace(0, -8, 32)) @ V.T,
        "channel scales to 1e-10": X @ U[:, :20] * np.logspace(0, -10, 20),
        "float32 channel scales": (X @ U * np.logspace(0, -7, 32)).astype(np.float32),
        "offset 1e6": 1e6 + X @ U[:, :20],
    }
    off = {}
    for name, student in students.items():
        found, truth = (
            best_head(well_scaled_sums(teacher=X, student=student)),
            head_by_rows(student=student, teacher=X),
        )
        inside = found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
        off[name] = abs(found - truth) if inside else math.inf
    detail = ", ".join(f"{name}: off by {value:.1e}" for name, value in off.items())
    return Check("a linear head on ill-conditioned features, against the rows", max(off.values()) <= 1e-8, detail)


def _constant_features(seed: int) -> Check:
    """One repeated row has no centred kernel: CKA is missing, not 1."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((500, 5))
    seen = []
    for teacher, student in (
        (np.full((500, 5), 0.1), X),
        (X, np.tile(rng.standard_normal((1, 7)), (500, 1))),
        (np.full((500, 5), 0.1), np.full((500, 5), 0.3)),
    ):
        centred = centre(well_scaled_sums(teacher=teacher, student=student))
        seen.append(cka(centred.sums))
    moved = cka(centre(well_scaled_sums(teacher=X + 1e6, student=X)).sums)
    passed = all(value is None for value in seen) and moved is not None and abs(moved - 1) < 1e-6
    return Check("constant features have no CKA, an offset does not make features constant", passed, f"CKA {seen}")
