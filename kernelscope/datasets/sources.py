"""A data set by its name."""

from __future__ import annotations

import difflib

from kernelscope.datasets.examples import Examples
from kernelscope.errors import UsageError, one_line

NAMES = ("digits",)


def load(name: str, split: str, *, seed: int = 0, limit: int | None = None) -> Examples:
    """The examples of one split; ``seed`` draws the split where the data set has none of its own.

    Raises:
        UsageError: an unknown data set or split, or a limit below 1.
    """
    match name:
        case "digits":
            from kernelscope.datasets.digits import digits

            examples = digits(split, seed=seed)
        case _:
            raise _unknown(name)
    return examples if limit is None else examples.head(limit)


def splits(name: str) -> tuple[str, ...]:
    """The splits of a data set, the one to train on first and the one to measure on last."""
    match name:
        case "digits":
            from kernelscope.datasets.digits import SPLITS

            return SPLITS
        case _:
            raise _unknown(name)


def _unknown(name: str) -> UsageError:
    near = difflib.get_close_matches(name, NAMES, n=1)
    known = f"did you mean {near[0]}" if near else f"there is {', '.join(NAMES)}"
    return UsageError(f"unknown data set {one_line(name, 60)!r}; {known}")
