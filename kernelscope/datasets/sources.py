"""A data set by its name."""

from __future__ import annotations

import difflib

from kernelscope.datasets.examples import Examples
from kernelscope.errors import UsageError

NAMES = ("digits",)


def load(name: str, split: str, *, seed: int = 0, limit: int | None = None) -> Examples:
    """The examples of one split; ``seed`` draws the split where the data set has none of its own.

    Raises:
        UsageError: an unknown data set or split.
    """
    match name:
        case "digits":
            from kernelscope.datasets.digits import digits

            examples = digits(split, seed=seed)
        case _:
            near = difflib.get_close_matches(name, NAMES, n=1)
            raise UsageError(f"unknown data set {name!r}; {f'did you mean {near[0]}' if near else 'there is digits'}")
    return examples.head(limit) if limit else examples


def splits(name: str) -> tuple[str, ...]:
    """The splits of a data set, the one to train on first and the one to measure on last."""
    match name:
        case "digits":
            from kernelscope.datasets.digits import SPLITS

            return SPLITS
        case _:
            raise UsageError(f"unknown data set {name!r}; there is {', '.join(NAMES)}")
