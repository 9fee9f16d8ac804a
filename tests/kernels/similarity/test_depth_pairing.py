"""Monotone pairings against trying them all."""

import itertools

import numpy as np
import pytest

from kernelscope.kernels.similarity.depth_pairing import best_pairings


def tried_all(worth):
    """Totals of all monotone pairings by their pairs of some worth, the highest first."""
    S, T = worth.shape
    found = {}
    for path in itertools.combinations_with_replacement(range(T), S):
        found[tuple((s, t) for s, t in enumerate(path) if worth[s, t] > 0)] = sum(
            worth[s, t] for s, t in enumerate(path)
        )
    return sorted(found.items(), key=lambda each: -each[1])


def total(worth, pairing):
    return sum(worth[s, t] for s, t in pairing)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (3, 5), (5, 3), (4, 4)])
def test_first_and_second_are_those_of_trying_all_pairings(shape):
    for seed in range(40):
        worth = np.random.default_rng(seed).random(shape)
        first, second = best_pairings(worth)
        expected = tried_all(worth)
        assert first == expected[0][0]
        assert second == (expected[1][0] if len(expected) > 1 else None)


def test_pairs_of_no_worth_are_left_out_and_totals_stay_the_highest():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        worth = rng.random((4, 5)) * (rng.random((4, 5)) < 0.4)
        first, second = best_pairings(worth)
        assert total(worth, first) == pytest.approx(tried_all(worth)[0][1])
        assert all(worth[s, t] > 0 for s, t in (*first, *(second or ())))
        assert second is None or set(second) - set(first)
        assert second is None or total(worth, second) <= total(worth, first) + 1e-12


def test_nothing_of_worth_is_an_empty_pairing():
    assert best_pairings(np.zeros((3, 4))) == ((), None)
