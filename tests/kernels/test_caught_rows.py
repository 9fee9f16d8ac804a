"""Rows that are caught as they pass are those of the whole."""

import numpy as np
import pytest

from kernelscope.kernels.caught_rows import HeaviestRows
from kernelscope.kernels.shares import Share


@pytest.mark.parametrize("order", ["falling", "rising", "mixed"])
def test_the_heaviest_rows_are_known_and_no_others(order):
    rng, n, most = np.random.default_rng(0), 5000, 60
    weights = rng.exponential(size=n)
    weights = {"falling": -np.sort(-weights), "rising": np.sort(weights), "mixed": weights}[order]
    X_S, X_T = rng.standard_normal((n, 3)).astype(np.float32), rng.standard_normal((n, 4)).astype(np.float32)
    kept = HeaviestRows(most)
    for start in range(0, n, 333):
        at = slice(start, start + 333)
        kept.add(start, weights[at], X_S[at], X_T[at])
    kept.of_all(Share(n, 0, n, 1))
    heaviest = np.argsort(-weights, kind="stable")
    wanted = np.sort(heaviest[:most])
    S, T = kept.rows(wanted)
    assert np.array_equal(S, X_S[wanted]) and np.array_equal(T, X_T[wanted])
    assert kept.rows(np.sort(heaviest[: most + 1])) is None


def test_fewer_rows_than_may_be_held_are_all_held():
    kept = HeaviestRows(10)
    kept.add(4, np.zeros(3), np.ones((3, 2)), np.ones((3, 1)))
    kept.of_all(Share(7, 4, 7, 1))
    assert kept.rows(np.array([4, 6]))[0].shape == (2, 2)
    assert kept.rows(np.array([3])) is None
