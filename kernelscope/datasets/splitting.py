"""Splits of a data set: those it has of its own, and those drawn from a seed where it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from kernelscope.datasets.sampling import Drawn, draw
from kernelscope.errors import Mismatch, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.datasets.examples import Examples

#: which rows of a source are read, by the labels of all, where they are known, and their number
Choose: TypeAlias = Callable[[np.ndarray | None, int], np.ndarray]
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
        read_chosen: where examples can be chosen by their labels and their number before one is read, reads those.
    """

    def __init__(
        self,
        name: str,
        own: Iterable[str],
        read: Callable[[str], Examples],
        *,
        seed: int = 0,
        read_chosen: Callable[[str, Choose], Examples] | None = None,
    ) -> None:
        self.name, self._own, self._reader, self.seed = name, frozenset(own), read, seed
        self._read_chosen = read_chosen
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
        source = self._source(split)
        return self._whole(split) if source is None else self._drawn(source, split)

    @property
    def can_draw(self) -> bool:
        """Whether :meth:`sampled` reads only the examples that are drawn."""
        return self._read_chosen is not None

    def sampled(self, split: str | None, count: int, seed: int) -> Examples:
        """``count`` examples of one split, see :func:`kernelscope.datasets.sampling.draw`; no others are read.

        Raises:
            UsageError: an unknown split. Mismatch: fewer examples than so many.
        """
        assert self._read_chosen is not None
        split = self.names[-1] if split is None else split
        source = self._source(split)
        drawn: list[Drawn] = []

        def choose(labels: np.ndarray | None, n: int) -> np.ndarray:
            part = np.arange(n)
            if source is not None:
                part = split_rows(labels, n, self.seed, test_share=TEST_SHARE if source == ALL else 0.0)[split]
            drawn.append(draw(None if labels is None else labels[part], len(part), count, seed, self.name))
            rows: np.ndarray = part[drawn[0].rows]
            return rows

        found = self._read_chosen(source or split, choose)
        seed_of_split = found.seed if source is None else self.seed
        notes = (*found.notes, drawn[0].note)
        return replace(found, split=split, drawn=drawn[0], notes=notes, seed=seed_of_split)

    def _source(self, split: str) -> str | None:
        """The split of its own that this one is drawn from; None for one of its own."""
        shared = split == "train" and "validation" not in self._own and ALL not in self._own
        if split in self._own and not shared:
            return None
        if split not in self.names:
            raise UsageError(f"{self.name} has no split {one_line(split, 40)!r}; choose one of {', '.join(self.names)}")
        return ALL if ALL in self._own else "train"

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
