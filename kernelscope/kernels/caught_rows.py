"""Rows caught as they pass, where all of them pass once and are not kept: by their numbers, or the heaviest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.rows import Key, Rows
    from kernelscope.kernels.shares import Share


class CaughtRows:
    """Rows by their numbers, as :func:`kernelscope.kernels.distance.layer_grid.layer_sums` passes them.

    ``vectors``: of each layer, shape ``(m, d)``, in the order of the m numbers, which may repeat.
    """

    def __init__(self, numbers: np.ndarray, layers: Mapping[Key, Rows]) -> None:
        self._numbers = numbers
        self.vectors = {key: np.zeros((len(numbers), X.shape[1])) for key, X in layers.items()}

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        at = self._numbers - start
        for key, rows in block.items():
            inside = (at >= 0) & (at < len(rows))
            self.vectors[key][inside] = rows[at[inside]]

    def take_in_others(self, share: Share) -> None:
        """The rows that other processes have seen."""
        self.vectors = dict(zip(self.vectors, share.summed(*self.vectors.values())))


class HeaviestRows:
    """Of both networks' rows those with the largest weights, at most ``most``; up to twice as many are held."""

    def __init__(self, most: int) -> None:
        self.most, self._least = most, -np.inf
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, start: int, weights: np.ndarray, X_S: np.ndarray, X_T: np.ndarray) -> None:
        """Take in rows from row ``start``; no weight is negative."""
        near = np.flatnonzero(weights > self._least)
        self._parts.append((start + near, weights[near], X_S[near], X_T[near]))
        if sum(len(part[0]) for part in self._parts) > 2 * self.most:
            self._cut()

    def _cut(self) -> None:
        held = [np.concatenate(arrays) for arrays in zip(*self._parts)]
        if len(held[0]) > self.most:
            order = np.argsort(-held[1], kind="stable")
            self._least = float(held[1][order[self.most]])
            held = [array[order[: self.most]] for array in held]
        self._parts = [tuple(held)]

    def of_all(self, share: Share) -> None:
        """Once every process has added its share."""
        self._cut()
        self._parts = [tuple(share.gathered(*self._parts[0]))]
        self._cut()

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """X_S and X_T of these rows in float64, once all were added; None where not all of them are held."""
        held, _, X_S, X_T = self._parts[0]
        order = np.argsort(held)
        at = np.searchsorted(held[order], numbers)
        if not np.array_equal(held[order[np.minimum(at, len(held) - 1)]], numbers):
            return None
        return X_S[order[at]].astype(np.float64), X_T[order[at]].astype(np.float64)
