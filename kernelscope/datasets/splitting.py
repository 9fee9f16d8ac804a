"""Splits of a data set: those it has of its own, and those drawn from a seed where it has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernelscope.datasets.examples import Examples

TRAINING = ("train", "validation", "test")
ALL = "all"
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.10


class Splits:
    """The splits of one data set, each read when it is first asked for.

    Its own are all of ``train``, ``validation`` and ``test``; or ``train`` and ``test``, and validation is then 10 %
    of the former; or ``all``, from which 25 % test and 10 % of the rest validation are drawn. Every class is cut alike.

    Args:
        own: names of the data set's own splits, which ``read`` reads.
        seed: of the splits that are drawn.
    """

    def __init__(self, name: str, own: Iterable[str], read: Callable[[str], Examples], *, seed: int = 0) -> None:
        self.name, self._own, self._reader, self.seed = name, frozenset(own), read, seed
        self._read: dict[str, Examples] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Training split first; the one to measure on, where none is named, last."""
        return (*TRAINING, ALL) if ALL in self._own else TRAINING

    @property
    def to_follow(self) -> str:
        """The split to follow a training on: validation where the data set has its own, else the one to measure on.

        A validation split drawn from training examples is not held out from whoever trains on all of those.
        """
        return "validation" if "validation" in self._own else self.names[-1]

    def split(self, split: str | None = None) -> Examples:
        """One split; by default the one to measure on.

        Raises:
            UsageError: an unknown split. Mismatch: too few examples to draw it.
        """
        split = self.names[-1] if split is None else split
        shared = split == "train" and "validation" not in self._own and ALL not in self._own
        if split in self._own and not shared:
            return self._whole(split)
        if split not in self.names:
            raise UsageError(f"{self.name} has no split {one_line(split, 40)!r}; choose one of {', '.join(self.names)}")
        return self._drawn(ALL if ALL in self._own else "train", split)

    def _whole(self, split: str) -> Examples:
        if split not in self._read:
            self._read[split] = self._reader(split)
        return self._read[split]

    def _drawn(self, source: str, split: str) -> Examples:
        """``split`` as a part of ``source``."""
        whole = self._whole(source)
        test_share = TEST_SHARE if source == ALL else 0.0
        rows = split_rows(whole.labels, whole.n, self.seed, test_share=test_share)[split]
        if not len(rows):
            raise Mismatch(f"{self.name} has {whole.n} examples, too few to draw a {split} split from; give more")
        return replace(whole.take(rows), split=split, seed=self.seed)


def split_rows(
    labels: np.ndarray | None, n: int, seed: int, *, test_share: float = TEST_SHARE
) -> dict[str, np.ndarray]:
    """Rows of each split, ascending; every class is cut in the same proportions, unless they are too small for that."""
    parts = _cut(labels if labels is not None else np.zeros(n, np.int64), seed, test_share)
    wanted = TRAINING if test_share else TRAINING[:2]
    return parts if all(len(parts[split]) for split in wanted) else _cut(np.zeros(n, np.int64), seed, test_share)


def _cut(labels: np.ndarray, seed: int, test_share: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {split: [] for split in TRAINING}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test = round(test_share * len(rows))
        validation = test + round(VALIDATION_SHARE * (len(rows) - test))
        for split, part in zip(("test", "validation", "train"), np.split(rows, [test, validation])):
            parts[split].append(part)
    return {split: np.sort(np.concatenate(rows)) for split, rows in parts.items()}
